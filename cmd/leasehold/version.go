package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is built (-ldflags "-X main.version=1.2.3").
var version = "dev"

type versionCmd struct {
	JSON bool `name:"json" help:"As JSON."`
}

// build is what this program was built from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"` // of the source, with "+changes" if it was not clean
	Date    string `json:"date,omitempty"`   // of the commit, RFC 3339 in UTC
	Go      string `json:"go"`
}

// built reads what the Go command has stamped on the program. A program that was built
// outside of a repository has no commit and no date.
func built(info *debug.BuildInfo) build {
	b := build{Version: version, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if b.Commit != "" && changed {
		b.Commit += "+changes"
	}
	return b
}

func (c versionCmd) Run(std *stdio) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	b := built(info)
	if c.JSON {
		return json.NewEncoder(std.Out).Encode(b)
	}
	orUnknown := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	_, err := fmt.Fprintf(std.Out, "leasehold %s\ncommit  %s\ndate    %s\ngo      %s\n", b.Version, orUnknown(b.Commit), orUnknown(b.Date), b.Go)
	return err
}
