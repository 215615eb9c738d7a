package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// api notes what the command line sends, and answers with an empty object.
type api struct {
	url  string
	sent []string // method, path and body
}

func newAPI(t *testing.T) *api {
	a := &api{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		a.sent = append(a.sent, r.Method+" "+r.URL.RequestURI()+" "+string(b))
		w.Write([]byte("{}"))
	}))
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

// cli runs a command and returns what it wrote.
func (a *api) cli(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), append(args, "--server", a.url, "--token", "t"), &stdio{strings.NewReader(""), &out, &out})
	return out.String(), err
}

// TestFilterThatVanishes: a filter that was given and stands for nothing is refused before
// anything is sent. Passed over, it would mean every session.
func TestFilterThatVanishes(t *testing.T) {
	for _, args := range [][]string{
		{"--silent=500ms"}, {"--silent=0s"}, {"--silent=1500ms"}, {"--silent=-1h"}, {"--older=0s"}, {"--older=999ms"}, {"--older=876001h"}, {"--silent=2562047h"},
		{"--query", ""}, {"--query", "  "}, {"--username", ""}, {"--email="}, {"--kind="}, {"--from", ""}, {"--to", ""}, {"--tz", ""},
		{"--app-id", "0"}, {"--user-id=0"}, {"--provision-id=-1"}, {"--delivery-method-id", "0"}, {"--device-id", "0"}, {"--host-id", "0"},
		{"--status", ""}, {"--status="},
		{"--status=running", "--silent=0s"}, // another filter does not make it right
	} {
		flag, _, _ := strings.Cut(args[len(args)-1], "=")
		if len(args) == 2 && !strings.Contains(args[1], "=") {
			flag = args[0]
		}
		for _, cmd := range [][]string{{"evict", "--all"}, {"expire", "--all"}, {"kill", "--all", "--dry-run"}, {"cancel", "--all"}, {"list"}} {
			a := newAPI(t)
			out, err := a.cli(t, append(append([]string{"session"}, cmd...), args...)...)
			if err == nil || !strings.Contains(err.Error()+out, flag) || len(a.sent) > 0 {
				t.Errorf("session %v %v: %v %s, sent %v", cmd, args, err, out, a.sent)
			}
		}
	}
}

// TestFilter: the command line has every filter of the API, in lists and mass actions.
func TestFilter(t *testing.T) {
	args := []string{"--kind=device", "--status=running,stopped", "--status", "evicted", "--username=ann", "--email", "@example.org", "--app-id=1", "--user-id=2",
		"--provision-id=3", "--delivery-method-id=4", "--device-id=5", "--from=2026-01-01", "--to=2026-01-31", "--tz=Europe/Berlin", "--older=48h", "--silent=90s", "--history"}
	want := `{"kind":"device","status":["running","stopped","evicted"],"q":"matlab","username":"ann","email":"@example.org","app_id":1,"user_id":2,"provision_id":3,` +
		`"delivery_method_id":4,"device_id":5,"from":"2026-01-01","to":"2026-01-31","tz":"Europe/Berlin","older_seconds":172800,"silent_seconds":90,"history":true}`
	a := newAPI(t)
	if out, err := a.cli(t, append([]string{"session", "evict", "--all", "-q", "matlab"}, args...)...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var sent struct{ Filter json.RawMessage }
	_, body, _ := strings.Cut(a.sent[0], " /api/v1/sessions/batch ")
	if err := json.Unmarshal([]byte(body), &sent); err != nil || string(sent.Filter) != want {
		t.Errorf("%v, sent\n%s, want\n%s", err, sent.Filter, want)
	}
	if out, err := a.cli(t, append([]string{"session", "list", "matlab"}, args...)...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	query := "GET /api/v1/sessions?app_id=1&delivery_method_id=4&device_id=5&email=%40example.org&from=2026-01-01&history=true&kind=device&older_seconds=172800&page_size=50" +
		"&provision_id=3&q=matlab&silent_seconds=90&sort=-id&status=running&status=stopped&status=evicted&to=2026-01-31&tz=Europe%2FBerlin&user_id=2&username=ann "
	if a.sent[1] != query {
		t.Errorf("sent\n%s, want\n%s", a.sent[1], query)
	}
	if _, err := a.cli(t, "session", "list", "--host-id=6"); err != nil || !strings.Contains(a.sent[2], "host_id=6") {
		t.Errorf("%v, sent %s", err, a.sent[2])
	}
	if _, err := a.cli(t, "session", "list", "--sort=-duration"); err != nil || !strings.Contains(a.sent[3], "sort=-duration") {
		t.Errorf("%v, sent %s", err, a.sent[3:])
	}
	for _, bad := range [][]string{{"session", "evict"}, {"session", "evict", "1", "--all"}, {"session", "evict", "--status", "running"}, {"session", "evict", "1", "--device-id", "2"}, {"session", "list", "a", "-q", "b"}} {
		if out, err := a.cli(t, bad...); err == nil || len(a.sent) > 4 {
			t.Errorf("%v is taken: %s", bad, out)
		}
	}
}
