package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/server"
	"leasehold/internal/store"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/wire"
)

// faulty is a database in which reading, or asking whether it is there, panics.
type faulty struct {
	store.Store
	on atomic.Bool
}

func (f *faulty) View(ctx context.Context, fn func(store.Tx) error) error {
	return f.Store.View(ctx, func(tx store.Tx) error {
		if f.on.Load() {
			panic("a fault of the program")
		}
		return fn(tx)
	})
}

func (f *faulty) Update(ctx context.Context, fn func(store.Tx) error) error {
	return f.Store.Update(ctx, func(tx store.Tx) error {
		if f.on.Load() {
			panic("a fault of the program")
		}
		return fn(tx)
	})
}

func (f *faulty) Ping(ctx context.Context) error {
	if f.on.Load() {
		panic("a fault of the program")
	}
	return f.Store.Ping(ctx)
}

func openStore(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlitetest.Folder(t))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestPanicsAreAnswered: whatever panics, on any face of the server, is a problem with a
// number under which the log has the stack; the server goes on, and holds no lock.
func TestPanicsAreAnswered(t *testing.T) {
	f := &faulty{Store: openStore(t)}
	r := newRigOn(t, f)
	agent := r.agent(wire.Player)
	r.s.Routes.Handle("GET /test/unwritable", auth.Public, func(_ auth.Access, h http.Handler) http.Handler { return h },
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("a fault of the program")) }))
	checkIn := map[string]any{"v": 1, "number": 1, "epoch": 1, "complete": true}
	for _, tt := range []struct {
		method, path, token string
		body                any
	}{
		{"GET", "/api/v1/sessions", r.token, nil},
		{"POST", "/api/v1/apps", r.token, map[string]any{"name": "x"}},
		{"POST", "/api/v1/tokens", "", map[string]any{"username": "root", "password": password}},
		{"GET", "/api/v1/sessions/export", r.token, nil},
		{"POST", wire.PathCheckIn, agent, checkIn},
		{"GET", wire.PathEvents, agent, nil},
		{"GET", "/readyz", "", nil},
		{"GET", "/test/unwritable", "", nil},
		{"GET", "/setup?token=x", "", nil}, // a page
	} {
		r.log.Reset()
		f.on.Store(true)
		req, err := http.NewRequestWithContext(t.Context(), tt.method, r.url+tt.path, body(t, tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if tt.token != "" {
			req.Header.Set("Authorization", "Bearer "+tt.token)
		}
		resp, err := http.DefaultClient.Do(req)
		f.on.Store(false)
		if err != nil {
			t.Errorf("%s %s: no answer: %v", tt.method, tt.path, err)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		id := resp.Header.Get("X-Request-Id")
		if resp.StatusCode != 500 || id == "" || !strings.Contains(string(b), id) {
			t.Errorf("%s %s: %d, number %q: %s", tt.method, tt.path, resp.StatusCode, id, b)
		}
		var d struct {
			Title     string
			Status    int
			RequestID string `json:"request_id"`
		}
		if strings.HasPrefix(tt.path, "/setup") {
			if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: %s", tt.path, resp.Header.Get("Content-Type"))
			}
		} else if err := json.Unmarshal(b, &d); err != nil || d.Status != 500 || d.RequestID != id || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: not a problem: %v, %s: %s", tt.method, tt.path, err, resp.Header.Get("Content-Type"), b)
		}
		if log := r.log.String(); !strings.Contains(log, "request="+id) || !strings.Contains(log, "a fault of the program") || !strings.Contains(log, "panic_test.go") {
			t.Errorf("%s %s: the log has neither the number nor the place: %s", tt.method, tt.path, log)
		}
		if strings.Contains(string(b), "fault of the program") || strings.Contains(string(b), "goroutine") {
			t.Errorf("%s %s: the answer tells how: %s", tt.method, tt.path, b)
		}
		r.want(200, nil, "GET", "/api/v1/sessions", r.token, nil)
		r.want(200, nil, "GET", "/api/v1/provisions", r.token, nil)
	}
}

func body(t *testing.T, v any) io.Reader {
	t.Helper()
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

// TestUnwritableAnswers: what is stored and cannot be written as JSON is a problem of its
// own, not an answer of success without a word. Nothing of the kind gets in any more.
func TestUnwritableAnswers(t *testing.T) {
	r := newRig(t)
	r.app("ann")
	if err := r.s.Store.Update(t.Context(), func(tx store.Tx) error {
		p, err := tx.Provision(1)
		if err != nil {
			return err
		}
		p.EndsAt = time.Date(10000, 1, 1, 0, 59, 59, 0, time.UTC)
		return tx.SaveProvision(p)
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/provisions", "/api/v1/provisions/1"} {
		var d struct {
			RequestID string `json:"request_id"`
		}
		r.want(500, &d, "GET", path, r.token, nil)
		if d.RequestID == "" || !strings.Contains(r.log.String(), "request="+d.RequestID) {
			t.Errorf("%s: %+v", path, d)
		}
	}
}

// TestStopsWhateverHangs: a stop waits for requests and for work beside them, but not for
// ever.
func TestStopsWhateverHangs(t *testing.T) {
	for _, what := range []string{"nothing", "a request", "work beside requests"} {
		t.Run(what, func(t *testing.T) {
			st := openStore(t)
			hung := make(chan struct{})
			free := make(chan struct{})
			defer st.Close()
			hang := &hanging{Store: st, hung: hung, free: free}
			s, err := server.New(t.Context(), server.Config{Store: hang, PublicURL: "http://127.0.0.1:1", Log: slog.New(slog.DiscardHandler), StopWait: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			hang.ticks.Store(what == "work beside requests")
			go func() { served <- s.Serve(ctx, l) }()
			asked := make(chan struct{})
			switch what {
			case "a request":
				hang.pings.Store(true)
				go func() {
					defer close(asked)
					if resp, err := http.Get("http://" + l.Addr().String() + "/readyz"); err == nil {
						resp.Body.Close()
					}
				}()
				<-hung
			case "work beside requests":
				close(asked)
				<-hung
			default:
				close(asked)
			}
			stop()
			select {
			case err := <-served:
				if errors.Is(err, server.ErrStuck) != (what != "nothing") || what == "nothing" && err != nil {
					t.Errorf("Serve: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the server does not stop")
			}
			close(free)
			<-asked
		})
	}
}

// hanging is a database that does not answer, and heeds no context.
type hanging struct {
	store.Store
	pings, ticks atomic.Bool
	hung, free   chan struct{}
}

func (h *hanging) Ping(context.Context) error {
	if h.pings.CompareAndSwap(true, false) {
		close(h.hung)
		<-h.free
	}
	return nil
}

func (h *hanging) Tick(ctx context.Context) error {
	if h.ticks.CompareAndSwap(true, false) {
		close(h.hung)
		<-h.free
	}
	return h.Store.Tick(ctx)
}
