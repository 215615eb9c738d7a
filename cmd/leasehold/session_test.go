package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leasehold/internal/agent"
)

// TestPlainHTTP: neither password nor token goes to an address that is not this machine's
// in the clear, nor after a redirect.
func TestPlainHTTP(t *testing.T) {
	for _, args := range [][]string{{"session", "list"}, {"session", "evict", "1"}, {"session", "evict", "--all", "--dry-run"}, {"session", "show", "1"}, {"housekeeping", "run"}} {
		// An address of TEST-NET-1, to which nothing leads: a connection would fail otherwise.
		out, err := start(t, append(args, "--server=http://192.0.2.2:8080", "--user=admin", "--password=secret")...)
		if !strings.Contains(out, agent.ErrPlainHTTP.Error()) && !errors.Is(err, agent.ErrPlainHTTP) || !strings.Contains(out+err.Error(), "--server") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	for _, server := range []string{"leasehold.example.org", "ftp://127.0.0.1", "https://a:b@example.org", ""} {
		if out, err := start(t, "session", "list", "--server="+server, "--token=t"); err == nil || !strings.Contains(err.Error(), "--server") {
			t.Errorf("%q: %v %s", server, err, out)
		}
	}
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer here.Close()
	var out bytes.Buffer
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(here.URL, "http://"))
	err := run(t.Context(), []string{"session", "list", "--server=http://localhost:" + port + "/", "--user=admin", "--password=secret"}, &stdio{strings.NewReader(""), &out, &out})
	if err == nil || !strings.Contains(err.Error(), "307") || elsewhere > 0 {
		t.Errorf("redirected: %v, %d went there", err, elsewhere)
	}
}
