package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leasehold/internal/server"
	"leasehold/internal/store/sqlite/sqlitetest"
)

// TestForeignHosts asks every route under the name of another site that points to this
// server's address: none answers, but for what probes and scrapers ask.
func TestForeignHosts(t *testing.T) {
	type answer struct {
		to string
		h  http.Header
	}
	var answers []answer
	st := sqlitetest.Open(t)
	t.Cleanup(func() { st.Close() })
	s, err := server.New(t.Context(), server.Config{Store: st, PublicURL: "https://Apps.example.org:8443/", NodeURL: "https://node1.example.org", LoopbackHosts: []string{"localhost", "127.0.0.1", "[::1]"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	hs := httptest.NewServer(s.Handler())
	t.Cleanup(hs.Close)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path, host string, header ...string) (int, string) {
		req, err := http.NewRequest(method, hs.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer{method + " " + path, resp.Header})
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	// Whatever it says and to whom, it says how browsers are to treat it.
	defer func() {
		for _, a := range answers {
			for name, want := range map[string]string{"Strict-Transport-Security": "max-age=", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "same-origin", "Access-Control-Allow-Origin": ""} {
				if got := a.h.Get(name); !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("%s: %s is %q", a.to, name, got)
				}
			}
		}
	}()
	n := 0
	for _, line := range s.Routes.List() {
		pattern, _, _ := strings.Cut(line, ": ")
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = "GET", pattern
		}
		path = strings.NewReplacer("{$}", "", "{id}", "1", "{action}", "1", "{change}", "1", "{kind}", "1", "{file}", "1").Replace(path)
		code, body := ask(method, path, "evil.example:8443", "X-Forwarded-Host", "apps.example.org")
		switch path {
		case "/healthz", "/readyz", "/metrics":
			if code == http.StatusMisdirectedRequest {
				t.Errorf("%s: %d", line, code)
			}
		default:
			if n++; code != http.StatusMisdirectedRequest || !strings.Contains(body, "it is at https://Apps.example.org:8443") {
				t.Errorf("%s: %d %s", line, code, body)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d routes", n)
	}
	for _, host := range []string{"apps.example.org", "APPS.example.org.:443", "apps.example.org:8443", "node1.example.org", "localhost:1", "127.0.0.1", "[::1]:8080"} {
		if code, _ := ask("GET", "/sign-in", host); code != 200 {
			t.Errorf("under its own name %s: %d", host, code)
		}
	}
	for _, host := range []string{"apps.example.org.evil.example", "evil.example", "127.0.0.2", "xapps.example.org", "a.localhost", "apps.example.org@evil.example"} {
		if code, body := ask("GET", "/sign-in", host, "Accept", "text/html"); code != 421 && code != 400 || strings.Contains(body, "{") {
			t.Errorf("under the name %s: %d %s", host, code, body)
		}
	}
	for _, bad := range []string{"evil.example", "10.0.0.1", "", "localhost.evil.example"} {
		if _, err := server.New(t.Context(), server.Config{Store: st, PublicURL: "https://apps.example.org", LoopbackHosts: []string{bad}}); err == nil {
			t.Errorf("%q passes for a loopback name", bad)
		}
	}
}
