package main

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	b := built(&debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "1edb56e"}, {Key: "vcs.time", Value: "2026-11-26T20:00:00Z"}, {Key: "vcs.modified", Value: "true"}}})
	if b.Version != "dev" || b.Commit != "1edb56e+changes" || b.Date != "2026-11-26T20:00:00Z" {
		t.Errorf("%+v", b)
	}
	var out bytes.Buffer
	if err := (versionCmd{}).Run(&stdio{Out: &out}); err != nil {
		t.Fatal(err)
	}
	if l := strings.Split(out.String(), "\n"); len(l) != 5 || l[0] != "leasehold dev" || !strings.HasPrefix(l[1], "commit  ") || !strings.HasPrefix(l[2], "date    ") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	if err := (versionCmd{JSON: true}).Run(&stdio{Out: &out}); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &b); err != nil || b.Version != "dev" || b.Go == "" {
		t.Errorf("%s: %+v, %v", out.String(), b, err)
	}
}
