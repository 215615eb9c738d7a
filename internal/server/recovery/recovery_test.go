package recovery_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"leasehold/internal/server/recovery"
)

// TestServe: a handler that panics is answered if nothing was sent yet, and broken off else.
func TestServe(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // 0: broken off
		body    string
		logged  bool
	}{
		{"answers", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); fmt.Fprint(w, "made") }, 201, "made", false},
		{"a status alone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 404, "", false},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, 200, "", false},
		{"the first status counts", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) }, 404, "", false},
		{"panics", func(http.ResponseWriter, *http.Request) { panic("oops") }, 500, "sorry", true},
		{"panics with an error", func(_ http.ResponseWriter, r *http.Request) { fmt.Println(r.URL.Path[100:]) }, 500, "sorry", true},
		{"panics after its status", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(200)
			panic("oops")
		}, 500, "sorry", true},
		{"panics in the middle", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "half"); panic("oops") }, 0, "", true},
		{"panics after a flush", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			panic("oops")
		}, 0, "", true},
		{"breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "", false},
		{"breaks off in the middle", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "half"); panic(http.ErrAbortHandler) }, 0, "", false},
		{"panics after it took the connection", func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				c.Close()
			}
			panic("oops")
		}, 0, "", true},
		{"the answer panics", func(_ http.ResponseWriter, r *http.Request) { r.Header.Set("Panic", "too"); panic("oops") }, 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			done := make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				w.Header().Set("X-Request-Id", "n1")
				recovery.Serve(tt.handler, recovery.NewWriter(w), r, slog.New(slog.NewTextHandler(&log, nil)), func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Panic") != "" {
						panic("again")
					}
					w.WriteHeader(http.StatusInternalServerError)
					io.WriteString(w, "sorry")
				})
			}))
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
			defer s.Close()
			resp, err := http.Get(s.URL)
			var body []byte
			if err == nil {
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			<-done
			if tt.status == 0 {
				if err == nil {
					t.Errorf("answered %d %q, want the connection broken off", resp.StatusCode, body)
				}
			} else if err != nil || resp.StatusCode != tt.status || string(body) != tt.body || resp.Header.Get("X-Request-Id") != "n1" {
				t.Errorf("%v, %q, %v; want %d %q", resp, body, err, tt.status, tt.body)
			}
			if got := strings.Contains(log.String(), "request panicked"); got != tt.logged {
				t.Errorf("logged %v: %s", got, log.String())
			}
			if tt.logged && (!strings.Contains(log.String(), "request=n1") || !strings.Contains(log.String(), "recovery_test.go")) {
				t.Errorf("neither the number nor the place is in the log: %s", log.String())
			}
		})
	}
}

// TestWriter: deadlines and flushes reach the connection, and a failed flush is told.
func TestWriter(t *testing.T) {
	flushed := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(recovery.NewWriter(w))
		if err := rc.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "x")
		flushed <- rc.Flush()
	}))
	defer s.Close()
	if resp, err := http.Get(s.URL); err == nil {
		resp.Body.Close()
	}
	if err := <-flushed; err == nil {
		t.Error("a flush beyond the deadline is said to have succeeded")
	}
}
