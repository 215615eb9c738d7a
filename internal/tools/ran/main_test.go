package main

import (
	"strings"
	"testing"
)

const stream = `{"Action":"start","Package":"leasehold/internal/a"}
{"Action":"output","Package":"leasehold/internal/a","Test":"TestX","Output":"noise\n"}
{"Action":"pass","Package":"leasehold/internal/a","Test":"TestX/sub"}
{"Action":"pass","Package":"leasehold/internal/a","Test":"TestX"}
{"Action":"skip","Package":"leasehold/internal/a","Test":"TestY"}
{"Action":"output","Package":"leasehold/internal/a","Output":"ok  \tleasehold/internal/a\t1s\n"}
{"Action":"pass","Package":"leasehold/internal/a"}
`

func TestRead(t *testing.T) {
	var out strings.Builder
	passed, err := read(strings.NewReader(stream), &out)
	if err != nil || len(passed) != 1 || passed[0] != "internal/a.TestX" || out.String() != "ok  \tleasehold/internal/a\t1s\n" {
		t.Fatalf("%v, %v, %q", passed, err, out.String())
	}
	out.Reset()
	failing := strings.ReplaceAll(stream, `{"Action":"pass","Package":"leasehold/internal/a"}`, `{"Action":"fail","Package":"leasehold/internal/a"}`)
	if _, err := read(strings.NewReader(failing), &out); err == nil || !strings.Contains(out.String(), "noise") {
		t.Errorf("a failing package: %v, %q", err, out.String())
	}
	if _, err := read(strings.NewReader(""), &out); err == nil {
		t.Error("no tests at all are no success")
	}
}

func TestCompare(t *testing.T) {
	const head = "| sentence | where | shown by |\n|---|---|---|\n"
	for _, tt := range []struct {
		rows string
		ok   bool
	}{
		{"| a | b | `internal/a.TestX` |\n", true},
		{"| a | b | `internal/a.TestX` `internal/a.TestY` |\n", false},
		{"| a | b | by hand |\n", false},
		{"", false},
	} {
		if err := compare(head+tt.rows, []string{"internal/a.TestX"}); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.rows, err)
		}
	}
}
