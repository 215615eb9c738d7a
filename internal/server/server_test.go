package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/pgtest"
	"leasehold/internal/server"
	"leasehold/internal/store"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/wire"
)

// rig is a whole server with an administrator.
type rig struct {
	t     *testing.T
	url   string
	s     *server.Server
	log   *bytes.Buffer
	token string
}

const password = "correct horse battery"

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, sqlitetest.Open(t))
}

// each runs a test on either database.
func each(t *testing.T, do func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { do(t, newRig(t)) })
	t.Run("postgres", func(t *testing.T) { do(t, newRigOn(t, pgtest.Open(t))) })
}

// newRigOn is a server on a database, which is closed after the test.
func newRigOn(t *testing.T, st store.Store) *rig {
	t.Helper()
	t.Cleanup(func() { st.Close() })
	r := &rig{t: t, log: &bytes.Buffer{}}
	var err error
	r.s, err = server.New(t.Context(), server.Config{Store: st, PublicURL: "http://127.0.0.1:1", Limits: control.MaxLimits, Version: "test", Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.s.Control.EnsureAdmin(t.Context(), "root", password); err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(r.s.Handler())
	t.Cleanup(hs.Close)
	t.Cleanup(r.s.Close)
	r.url = hs.URL
	r.token = r.signIn("root", password)
	return r
}

func (r *rig) signIn(user, pw string) string {
	r.t.Helper()
	var out struct{ Token string }
	r.want(200, &out, "POST", "/api/v1/tokens", "", map[string]string{"username": user, "password": pw})
	return out.Token
}

// request is a call. body may be a string.
func (r *rig) request(method, path, token string, body any) *http.Request {
	r.t.Helper()
	var rd io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		rd = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		rd = bytes.NewReader(j)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, r.url+path, rd)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

// do makes a call and returns its status, content type and body.
func (r *rig) do(method, path, token string, body any) (int, string, []byte) {
	r.t.Helper()
	req := r.request(method, path, token, body)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), b
}

func (r *rig) want(status int, out any, method, path, token string, body any) {
	r.t.Helper()
	got, _, b := r.do(method, path, token, body)
	if got != status {
		r.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

type ref struct{ ID int64 }

// app makes an app that the named user may launch, and returns its number and theirs.
func (r *rig) app(user string) (app, userID int64) {
	var u, a, d, p ref
	r.want(201, &u, "POST", "/api/v1/users", r.token, map[string]any{"username": user, "name": user, "email": user + "@example.org", "password": password})
	r.want(201, &a, "POST", "/api/v1/apps", r.token, map[string]any{"name": "App of " + user})
	r.want(201, &d, "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": a.ID, "name": "M", "packages": []any{map[string]any{"type": "command", "command": []string{"true"}}}})
	r.want(201, &p, "POST", "/api/v1/provisions", r.token, map[string]any{"name": "P of " + user, "user_ids": []int64{u.ID}, "delivery_method_ids": []int64{d.ID}})
	return a.ID, u.ID
}

// agent enrols an agent and returns its credential.
func (r *rig) agent(kind wire.AgentKind) string {
	var key struct{ Key string }
	r.want(201, &key, "POST", "/api/v1/enrolment-keys", r.token, map[string]any{"kind": kind, "approved": true})
	var out wire.Enrolled
	r.want(200, &out, "POST", wire.PathEnrol, "", wire.Enrol{V: 1, Key: key.Key, Kind: kind, Name: "LAB", OS: "linux", Arch: "amd64"})
	return out.Credential
}

type launched struct {
	Session struct {
		ID     int64
		Status string
	}
	Link string
}

func (l launched) ticket() string {
	u, _ := url.Parse(l.Link)
	return u.Query().Get("ticket")
}

// TestBadInput: each is a clear problem that names the field, changes nothing and leaks
// nothing (issue "First light", "What bad input gets").
func TestBadInput(t *testing.T) {
	r := newRig(t)
	app, _ := r.app("ann")
	ann := r.signIn("ann", password)
	lab, other := r.agent(wire.Player), r.agent(wire.Player)
	var first, second launched
	r.want(201, &first, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	r.want(201, &second, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	r.want(200, nil, "POST", wire.PathRedeem, lab, wire.Redeem{V: 1, Ticket: first.ticket()})
	r.want(200, nil, "POST", wire.PathRedeem, lab, wire.Redeem{V: 1, Ticket: first.ticket()}) // the same device may
	foreign, err := lease.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	forged, err := foreign.SignTicket(second.Session.ID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		NextPageToken string `json:"next_page_token"`
	}
	r.want(200, &page, "GET", "/api/v1/sessions?page_size=1", r.token, nil)
	checkIn := func(change func(m map[string]any)) map[string]any {
		m := map[string]any{"v": 1, "number": 9, "epoch": 1, "complete": true}
		change(m)
		return m
	}
	state := func() string {
		_, _, a := r.do("GET", "/api/v1/sessions?sort=id", r.token, nil)
		_, _, b := r.do("GET", "/api/v1/apps", r.token, nil)
		// That a call was refused is recorded, and is all that it leaves.
		var audit struct{ Audit []store.AuditEntry }
		r.want(200, &audit, "GET", "/api/v1/audit?page_size=500", r.token, nil)
		c, _ := json.Marshal(slices.DeleteFunc(audit.Audit, func(e store.AuditEntry) bool {
			return e.Action == control.ActionRefuseSignIn || e.Action == control.ActionRefuseRequest
		}))
		var list struct{ Sessions []map[string]any }
		json.Unmarshal(a, &list)
		for _, s := range list.Sessions {
			delete(s, "duration_seconds")
			delete(s, "last_seen_at")
		}
		j, _ := json.Marshal(list)
		return string(j) + string(b) + string(c)
	}
	before := state()
	for _, tt := range []struct {
		name         string
		method, path string
		token        string
		body         any
		status       int
		field        string
	}{
		{"unknown field", "POST", "/api/v1/apps", r.token, `{"name":"x","colour":"red"}`, 422, "colour"},
		{"wrong type", "POST", "/api/v1/apps", r.token, `{"name":7}`, 422, "name"},
		{"missing field", "POST", "/api/v1/apps", r.token, `{}`, 422, "name"},
		{"empty name", "POST", "/api/v1/apps", r.token, `{"name":"  "}`, 422, "name"},
		{"too long", "POST", "/api/v1/apps", r.token, map[string]any{"name": strings.Repeat("x", 201)}, 422, "name"},
		{"taken", "POST", "/api/v1/apps", r.token, map[string]any{"name": "app OF ann"}, 422, "name"},
		{"not JSON", "POST", "/api/v1/apps", r.token, `{"name"`, 400, "body"},
		{"unknown id", "GET", "/api/v1/sessions/999", r.token, nil, 404, ""},
		{"no number", "GET", "/api/v1/sessions/x", r.token, nil, 422, "id"},
		{"a body over the limit", "POST", "/api/v1/apps", r.token, `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "body"},
		{"unknown parameter", "GET", "/api/v1/sessions?colour=red", r.token, nil, 422, "colour"},
		{"a page too large", "GET", "/api/v1/sessions?page_size=501", r.token, nil, 422, "page_size"},
		{"a page token from another query", "GET", "/api/v1/sessions?q=x&page_token=" + page.NextPageToken, r.token, nil, 422, "page_token"},
		{"an unknown sort", "GET", "/api/v1/sessions?sort=colour", r.token, nil, 422, "sort"},
		{"an unknown status", "GET", "/api/v1/sessions?status=happy", r.token, nil, 422, "status"},
		{"a date that is none", "GET", "/api/v1/sessions?from=yesterday", r.token, nil, 422, "from"},
		{"a zone that is none", "GET", "/api/v1/sessions?tz=Moon", r.token, nil, 422, "tz"},
		{"an action that does not apply", "POST", fmt.Sprintf("/api/v1/sessions/%d/evict", first.Session.ID), r.token, `{}`, 409, ""},
		{"an action of the other kind", "POST", fmt.Sprintf("/api/v1/sessions/%d/kill", first.Session.ID), r.token, `{}`, 409, ""},
		{"a reason too long", "POST", fmt.Sprintf("/api/v1/sessions/%d/evict", first.Session.ID), r.token, map[string]any{"reason": strings.Repeat("x", 501)}, 422, "reason"},
		{"no such app", "POST", "/api/v1/launches", ann, `{"app_id":99}`, 422, "app_id"},
		{"a device of somebody else", "POST", "/api/v1/launches", ann, map[string]any{"app_id": app, "device_id": 2}, 422, "device_id"},
		{"not entitled", "POST", "/api/v1/launches", r.token, map[string]any{"app_id": app}, 403, ""},
		{"no delivery method", "POST", "/api/v1/provisions", r.token, `{"name":"x","delivery_method_ids":[77]}`, 422, "delivery_method_ids"},
		{"a package without a program", "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": app, "name": "x", "packages": []any{map[string]any{"type": "command", "command": []string{}}}}, 422, "packages.0.command"},
		{"an archive without a digest", "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": app, "name": "x", "packages": []any{map[string]any{"type": "archive", "url": "https://x/y", "command": []string{"a"}}}}, 422, "packages.0.sha256"},
		{"an archive over plain HTTP", "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": app, "name": "x", "packages": []any{map[string]any{"type": "archive", "url": "http://example.org/y", "sha256": strings.Repeat("a", 64), "command": []string{"a"}}}}, 422, "packages.0.url"},
		{"a short password", "POST", "/api/v1/users", r.token, `{"username":"bo","password":"short"}`, 422, "password"},
		{"the last administrator", "PATCH", "/api/v1/users/1", r.token, `{"status":"suspended"}`, 422, "status"},
		{"the last administrator's role", "PATCH", "/api/v1/users/1", r.token, `{"role":"user"}`, 422, "role"},
		{"the last administrator's end", "DELETE", "/api/v1/users/1", r.token, nil, 409, ""},
		{"a wrong password", "POST", "/api/v1/tokens", "", `{"username":"root","password":"guess"}`, 401, ""},
		{"an unknown user", "POST", "/api/v1/tokens", "", `{"username":"eve","password":"guess"}`, 401, ""},
		{"no such call", "GET", "/api/v1/nothing", r.token, nil, 404, ""},

		{"a forged ticket", "POST", wire.PathRedeem, lab, wire.Redeem{V: 1, Ticket: forged}, 422, "ticket"},
		{"a ticket that is none", "POST", wire.PathRedeem, lab, wire.Redeem{V: 1, Ticket: "x.y.z"}, 422, "ticket"},
		{"a ticket redeemed by another device", "POST", wire.PathRedeem, other, wire.Redeem{V: 1, Ticket: first.ticket()}, 409, "ticket"},
		{"another agent's session, state", "POST", wire.PathCheckIn, other, checkIn(func(m map[string]any) {
			m["sessions"] = []any{map[string]any{"session": first.Session.ID, "state": "running", "run": 1}}
		}), 422, "sessions.0.session"},
		{"another agent's session, observation", "POST", wire.PathCheckIn, other, checkIn(func(m map[string]any) {
			m["observations"] = []any{map[string]any{"seq": 1, "session": first.Session.ID, "type": "added", "at": "2026-01-01T00:00:00Z"}}
		}), 422, "observations.0.session"},
		{"another version", "POST", wire.PathCheckIn, lab, checkIn(func(m map[string]any) { m["v"] = 2 }), 400, "v"},
		{"a number of none", "POST", wire.PathCheckIn, lab, checkIn(func(m map[string]any) { m["number"] = 0 }), 422, "number"},
		{"unknown field of the wire", "POST", wire.PathCheckIn, lab, checkIn(func(m map[string]any) { m["colour"] = "red" }), 422, "colour"},
		{"an unknown observation", "POST", wire.PathCheckIn, lab, checkIn(func(m map[string]any) {
			m["observations"] = []any{map[string]any{"seq": 1, "session": 1, "type": "danced", "at": "2026-01-01T00:00:00Z"}}
		}), 422, "observations.0.type"},
		{"a gap in the journal's numbers", "POST", wire.PathCheckIn, lab, checkIn(func(m map[string]any) {
			m["observations"] = []any{map[string]any{"seq": 1, "session": 1, "type": "added", "at": "2026-01-01T00:00:00Z"}, map[string]any{"seq": 3, "session": 1, "type": "added", "at": "2026-01-01T00:00:00Z"}}
		}), 422, "observations.1.seq"},
		{"a session listed twice", "POST", wire.PathCheckIn, lab, checkIn(func(m map[string]any) {
			m["sessions"] = []any{map[string]any{"session": 1, "state": "idle"}, map[string]any{"session": 1, "state": "idle"}}
		}), 422, "sessions.1.session"},
		{"an unknown credential", "POST", wire.PathCheckIn, "1.nonsense", checkIn(func(map[string]any) {}), 401, ""},
		{"a key that is none", "POST", wire.PathEnrol, "", wire.Enrol{V: 1, Key: "x", Kind: wire.Player, Name: "n", OS: "linux", Arch: "amd64"}, 401, ""},
		{"an agent of no kind", "POST", wire.PathEnrol, "", wire.Enrol{V: 1, Key: "x", Kind: "cat", Name: "n", OS: "linux", Arch: "amd64"}, 422, "kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, ctype, b := r.do(tt.method, tt.path, tt.token, tt.body)
			if status != tt.status {
				t.Fatalf("%d, want %d: %s", status, tt.status, b)
			}
			if ctype != "application/problem+json" {
				t.Errorf("content type %q", ctype)
			}
			var d struct {
				Title, Detail string
				Status        int
				Errors        []struct{ Field, Message string }
			}
			if err := json.Unmarshal(b, &d); err != nil || d.Title == "" || d.Detail == "" || d.Status != tt.status {
				t.Fatalf("not a problem: %v: %s", err, b)
			}
			if tt.field != "" && (len(d.Errors) == 0 || d.Errors[0].Field != tt.field || d.Errors[0].Message == "") {
				t.Errorf("names %+v, want the field %q", d.Errors, tt.field)
			}
			for _, leak := range []string{"goroutine", ".go:", "SELECT", "sqlite", "argon2"} {
				if strings.Contains(string(b), leak) {
					t.Errorf("the answer tells of %q: %s", leak, b)
				}
			}
		})
	}
	if after := state(); after != before {
		t.Errorf("bad input changed something:\n before %s\n after  %s", before, after)
	}
	for _, secret := range []string{password, r.token, ann, strings.SplitN(lab, ".", 2)[1], first.ticket()} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log holds a secret: %s…", secret[:6])
		}
	}
}

func TestOpenAPI(t *testing.T) {
	r := newRig(t)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Access string `json:"x-access"`
		}
	}
	r.want(200, &doc, "GET", "/api/v1/openapi.json", "", nil)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if op.Access == "" {
				t.Errorf("%s %s does not say who may call it", method, path)
			}
		}
	}
	for _, want := range []string{"/tokens", "/sessions", "/sessions/{id}", "/sessions/{id}/transitions", "/sessions/{id}/evict", "/sessions/{id}/expire", "/sessions/{id}/kill",
		"/users", "/groups", "/apps", "/delivery-methods", "/provisions", "/devices", "/hosts", "/audit", "/launches", "/enrolment-keys"} {
		if doc.Paths[want] == nil {
			t.Errorf("%s is not described", want)
		}
	}
}

// TestSortsAreDescribed: the document names every sort of the list, and each is one.
func TestSortsAreDescribed(t *testing.T) {
	r := newRig(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name   string
				Schema struct {
					Enum    []string
					Default any
				}
			}
		}
	}
	r.want(200, &doc, "GET", "/api/v1/openapi.json", "", nil)
	var sorts []string
	for _, p := range doc.Paths["/sessions"]["get"].Parameters {
		if p.Name == "sort" {
			sorts = p.Schema.Enum
			if p.Schema.Default != "-id" {
				t.Errorf("the default is %q", p.Schema.Default)
			}
		}
	}
	for _, want := range []string{"id", "-id", "started_at", "duration", "-duration"} {
		if !slices.Contains(sorts, want) {
			t.Errorf("%s is not among the sorts: %v", want, sorts)
		}
	}
	for _, sort := range sorts {
		r.want(200, nil, "GET", "/api/v1/sessions?sort="+sort, r.token, nil)
	}
}

func TestHealth(t *testing.T) {
	st, err := sqlite.Open(t.Context(), sqlitetest.Folder(t))
	if err != nil {
		t.Fatal(err)
	}
	r := newRigOn(t, st)
	if status, _, b := r.do("GET", "/readyz", "", nil); status != 503 {
		t.Errorf("ready before the lease clock can be read: %d %q", status, b)
	}
	if err := r.s.Control.AwaitClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if status, _, b := r.do("GET", path, "", nil); status != 200 || string(b) != want {
			t.Errorf("%s: %d %q", path, status, b)
		}
	}
	if status, _, b := r.do("GET", "/metrics", "", nil); status != 200 || !bytes.Contains(b, []byte("leasehold_http_requests_total")) {
		t.Errorf("metrics: %d", status)
	}
}
