package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExportAsks: the flags are the API's parameters.
func TestExportAsks(t *testing.T) {
	a := newAPI(t)
	for _, tt := range []struct{ args, want string }{
		{"", "format=csv"},
		{"matlab --from 2026-11-01 --to 2026-11-22 --tz Europe/Berlin --bom", "bom=true&format=csv&from=2026-11-01&q=matlab&to=2026-11-22&tz=Europe%2FBerlin"},
		{"--kind stream --status killed,failed --history --format ndjson", "format=ndjson&history=true&kind=stream&status=killed&status=failed"},
		{"--json --host-id 3", "format=ndjson&host_id=3"},
	} {
		a.sent = nil
		if out, err := a.cli(t, append([]string{"session", "export"}, strings.Fields(tt.args)...)...); err != nil || out != "{}" {
			t.Errorf("%s: %v: %s", tt.args, err, out)
		}
		if want := "GET /api/v1/sessions/export?" + tt.want + " "; len(a.sent) != 1 || a.sent[0] != want {
			t.Errorf("%s: sent %q, want %s", tt.args, a.sent, want)
		}
	}
	a.sent = nil
	for _, args := range []string{"--format xlsx", "--json --format csv", "--from=", "matlab --query matlab", "--app-id 0"} {
		if out, err := a.cli(t, append([]string{"session", "export"}, strings.Fields(args)...)...); err == nil {
			t.Errorf("%s is taken: %s", args, out)
		}
	}
	if len(a.sent) > 0 {
		t.Errorf("sent %q", a.sent)
	}
}

// TestExportFile: a file appears whole or not at all, and one that was there stays.
func TestExportFile(t *testing.T) {
	const whole = "Session ID\r\n1\r\n"
	mode := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch mode {
		case "refused":
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, `{"detail":"from must be a date"}`)
		case "broken off":
			io.WriteString(w, whole)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			io.WriteString(w, whole)
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "out.csv")
	do := func(to string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), []string{"session", "export", "--server", s.URL, "--token", "t", "-o", to}, &stdio{strings.NewReader(""), &out, &out})
		return out.String(), err
	}
	is := func(want string) {
		t.Helper()
		b, err := os.ReadFile(file)
		if want == "" && !os.IsNotExist(err) || want != "" && string(b) != want {
			t.Errorf("%s: %q, %v", mode, b, err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) > 1 {
			t.Errorf("%s: left over: %v %v", mode, list, err)
		}
	}
	for _, before := range []string{"", "what was there"} {
		if before != "" {
			if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for how, say := range map[string]string{"refused": "from must be a date", "broken off": "not all of it"} {
			mode = how
			if out, err := do(file); err == nil || !strings.Contains(err.Error(), say) || out != "" {
				t.Errorf("%s: %v, %q", how, err, out)
			}
			is(before)
		}
	}
	mode = ""
	if out, err := do(file); err != nil || out != "" {
		t.Errorf("%v, %q", err, out)
	}
	is(whole)
	if out, err := do("-"); err != nil || out != whole {
		t.Errorf("%v, %q", err, out)
	}
	if _, err := do(dir); err == nil {
		t.Error("a folder is replaced")
	}
	if _, err := do(os.DevNull); err == nil {
		t.Error("a device is replaced")
	}
}
