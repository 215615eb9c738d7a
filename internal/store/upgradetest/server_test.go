//go:build unix

package upgradetest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"leasehold/internal/server"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/upgradetest"
	"leasehold/internal/wire"
)

// Everything works on a database of an earlier version, and its agents go on checking in.
func TestEverythingWorksAfterTheUpgrade(t *testing.T) {
	for _, v := range upgradetest.Versions {
		t.Run(v+" sqlite", func(t *testing.T) {
			dir, k := upgradetest.SQLite(t, v)
			st, err := sqlite.Open(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			works(t, st, k)
		})
		t.Run(v+" postgres", func(t *testing.T) {
			url, k := upgradetest.Postgres(t, v)
			st, err := postgres.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			works(t, st, k)
		})
	}
}

func works(t *testing.T, st store.Store, k upgradetest.Known) {
	defer st.Close()
	var log bytes.Buffer
	s, err := server.New(t.Context(), server.Config{Store: st, PublicURL: "http://127.0.0.1:1", Version: "test", Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Control.AwaitClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s.Handler())
	defer hs.Close()
	call := func(want int, out any, method, path, token string, in any) {
		t.Helper()
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if in == nil {
			b = nil
		}
		req, err := http.NewRequestWithContext(t.Context(), method, hs.URL+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, body, err)
		}
		if out != nil {
			if err := json.Unmarshal(body, out); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	signIn := func(name string) string {
		t.Helper()
		var out struct{ Token string }
		call(200, &out, "POST", "/api/v1/tokens", "", map[string]string{"username": name, "password": upgradetest.Password})
		return out.Token
	}
	root, ann := signIn("root"), signIn("ann")
	// Nobody is shut out by how a name is folded now, not even who had to be renamed.
	names := []string{"émile", "ÉMILE", "иван", "JOSE\u0301", "Zoë"}
	if k.Renamed != "" {
		names = append(names, k.Renamed)
	}
	for _, name := range names {
		signIn(name)
	}
	for _, path := range []string{"/sessions", "/sessions?history=true&sort=-duration", "/sessions?q=matlab", "/sessions/export?format=csv", "/users", "/groups", "/apps",
		"/delivery-methods", "/provisions", "/devices", "/hosts", "/audit", "/settings", "/batches/1", "/batches/1/results"} {
		call(200, nil, "GET", "/api/v1"+path, root, nil)
	}
	status := func(id int64, want session.Status) {
		t.Helper()
		var out struct {
			Status session.Status
			Lease  *struct{ Generation int }
		}
		call(200, &out, "GET", "/api/v1/sessions/"+strconv.FormatInt(id, 10), root, nil)
		call(200, nil, "GET", "/api/v1/sessions/"+strconv.FormatInt(id, 10)+"/transitions", root, nil)
		if out.Status != want {
			t.Errorf("session %d is %s, want %s", id, out.Status, want)
		}
		if runs := want == session.Running; runs && out.Lease == nil {
			t.Errorf("session %d runs and has no lease", id)
		}
	}
	status(k.IDs.Launched, session.Launched)
	status(k.IDs.Running, session.Running)
	status(k.IDs.Evicted, session.Evicted)
	status(k.IDs.Expired, session.Expired)

	// What its agent goes on with is as the version before wrote it.
	m := wire.CheckIn{V: wire.Version, Number: k.Number + 1, Token: k.Token, Granted: k.Granted, Epoch: 1, Complete: true, Sessions: k.Sessions}
	var a wire.Answer
	call(200, &a, "POST", wire.PathCheckIn, k.Credential, m)
	if a.Quarantined || a.NextEpoch != 0 || a.JumpTo != 0 || a.Ack.Seq != k.Seq {
		t.Fatalf("the agent is not known any more: %+v", a)
	}
	told := map[int64]wire.DirectiveType{}
	for _, d := range a.Directives {
		told[d.Session] = d.Type
	}
	if told[k.IDs.Evicted] != wire.DirRevoke || told[k.IDs.Launched] != wire.DirAdd {
		t.Errorf("directives %v", told)
	}
	// It carries the eviction out, and the fixed lease that it is given now can be told.
	for i := range m.Sessions {
		if st := &m.Sessions[i]; st.Session == k.IDs.Evicted {
			st.State, st.Guard, st.Holds, st.Stored, st.Ended = session.IsIdle, false, false, 1, 1
		}
	}
	m.Number++
	if a.Token != "" {
		m.Token, m.Granted = a.Token, m.Number-1
	}
	call(200, &a, "POST", wire.PathCheckIn, k.Credential, m)
	var order struct {
		Order struct {
			ClosedBy string `json:"closed_by"`
		}
	}
	call(200, &order, "GET", "/api/v1/sessions/"+strconv.FormatInt(k.IDs.Evicted, 10), root, nil)
	if order.Order.ClosedBy != session.ByAgent {
		t.Errorf("the order is closed by %q", order.Order.ClosedBy)
	}

	// And what is new works beside what was there.
	var apps struct {
		Apps []struct {
			ID   int64
			Name string
		}
	}
	call(200, &apps, "GET", "/api/v1/apps", root, nil)
	for _, app := range apps.Apps {
		call(201, nil, "POST", "/api/v1/launches", ann, map[string]int64{"app_id": app.ID})
	}
	call(201, nil, "POST", "/api/v1/users", root, map[string]string{"username": "new", "name": "New", "email": "n@example.org", "password": upgradetest.Password})
	call(200, nil, "POST", "/api/v1/sessions/"+strconv.FormatInt(k.IDs.Running, 10)+"/evict", root, map[string]string{"reason": "moved"})
	call(200, nil, "POST", "/api/v1/housekeeping/run", root, map[string]bool{"dry_run": true})
	call(200, nil, "POST", "/api/v1/sessions/batch", root, map[string]any{"action": "evict", "filter": map[string]string{"q": "matlab"}})
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.Bytes())
	}
}
