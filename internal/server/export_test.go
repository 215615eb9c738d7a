package server_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/server/problem"
	"leasehold/internal/servertest"
	"leasehold/internal/store"
)

// sessionsLike makes a session of ann's and n-1 like it, an hour apart, all with a reason.
func (r *rig) sessionsLike(n int, reason string) (ids []int64) {
	r.t.Helper()
	app, _ := r.app("ann")
	var l launched
	r.want(201, &l, "POST", "/api/v1/launches", r.signIn("ann", password), map[string]any{"app_id": app})
	err := r.s.Store.Update(r.t.Context(), func(tx store.Tx) error {
		was, err := tx.LockSession(l.Session.ID)
		if err != nil {
			return err
		}
		is := store.Clone(was)
		is.Reason, is.StartedAt = reason, time.Date(2026, 3, 28, 22, 30, 0, 0, time.UTC)
		if err := tx.SaveSession(was, is); err != nil {
			return err
		}
		ids = []int64{is.ID}
		for i := range n - 1 {
			c := store.Clone(is)
			c.ID, c.Lease, c.Order = 0, nil, nil
			c.StartedAt = is.StartedAt.Add(time.Duration(i+1) * time.Hour)
			if err := tx.CreateSession(c); err != nil {
				return err
			}
			ids = append(ids, c.ID)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func (r *rig) get(ctx context.Context, path string) *http.Response {
	r.t.Helper()
	resp, err := r.ask(ctx, path)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func (r *rig) ask(ctx context.Context, path string) (*http.Response, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		r.t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

const exportPath = "/api/v1/sessions/export"

// TestExport: the file holds what the filter matches, hostile texts come out harmless, and
// the days of the period are those of the zone.
func TestExport(t *testing.T) {
	r := newRig(t)
	ids := r.sessionsLike(6, "=HYPERLINK(\"http://evil\")\n\"x\",")
	resp := r.get(t.Context(), exportPath+"?bom=true")
	for h, want := range map[string]string{"Content-Type": "text/csv; charset=utf-8; header=present", "Content-Disposition": `attachment; filename="sessions.csv"`, "Cache-Control": "no-store"} {
		if got := resp.Header.Get(h); got != want {
			t.Errorf("%s: %s", h, got)
		}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	file, had := bytes.CutPrefix(b, []byte("\xef\xbb\xbf"))
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || !had || len(rows) != 7 || strings.Join(rows[0], ",") != strings.Join(export.Columns, ",") {
		t.Fatalf("%v, %q", err, b)
	}
	for i, id := range ids {
		row := rows[i+1]
		if row[0] != fmt.Sprint(id) || row[1] != "ann" || row[4] != "App of ann" || row[7] != "Launched" || row[9] != "'=HYPERLINK(\"http://evil\")\n\"x\"," || row[17] != "UTC" {
			t.Errorf("%q", row)
		}
	}

	// 22:30 and 23:30 UTC on the 28th are the 28th in London, but the second is the 29th in
	// Berlin, whose 29th has 23 hours.
	for _, tt := range []struct {
		query, name, first string
		n                  int
	}{
		{"from=2026-03-28&to=2026-03-28", "sessions-2026-03-28-to-2026-03-28.csv", "2026-03-28 22:30:00", 2},
		{"from=2026-03-28&to=2026-03-28&tz=Europe/Berlin", "sessions-2026-03-28-to-2026-03-28.csv", "2026-03-28 23:30:00", 1},
		{"from=2026-03-29&tz=Europe/Berlin", "sessions-2026-03-29-on.csv", "2026-03-29 00:30:00", 5},
		{"to=2026-03-27", "sessions-to-2026-03-27.csv", "", 0},
		{"status=running", "sessions.csv", "", 0},
		{"kind=stream", "sessions.csv", "", 0},
		{"q=launched&username=ANN", "sessions.csv", "2026-03-28 22:30:00", 6},
	} {
		resp := r.get(t.Context(), exportPath+"?"+tt.query)
		rows, err := csv.NewReader(resp.Body).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Content-Disposition"); got != `attachment; filename="`+tt.name+`"` || len(rows) != tt.n+1 || tt.n > 0 && rows[1][5] != tt.first {
			t.Errorf("%s: %s, %q", tt.query, got, rows)
		}
	}
	// The settings' zone is the one that is not named.
	r.want(200, nil, "PATCH", "/api/v1/settings", r.token, map[string]any{"time_zone": "Europe/Berlin"})
	d := json.NewDecoder(r.get(t.Context(), exportPath+"?format=ndjson&from=2026-03-29&to=2026-03-29").Body)
	n := 0
	for ; d.More(); n++ {
		var line struct {
			ID        int64
			Reason    string `json:"status_reason"`
			StartedAt string `json:"started_at"`
		}
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if n == 0 && (line.ID != ids[1] || line.StartedAt != "2026-03-29T00:30:00+01:00" || !strings.HasPrefix(line.Reason, "=HYPER")) {
			t.Errorf("%+v", line)
		}
	}
	if n != 5 {
		t.Errorf("%d lines", n)
	}
}

// TestExportRefused: nothing is sent but a problem that names the field.
func TestExportRefused(t *testing.T) {
	r := newRig(t)
	for query, field := range map[string]string{
		"format=xlsx": "format", "format=ndjson&bom=true": "bom", "tz=Mars/Olympus": "tz", "tz=Local": "tz", "from=yesterday": "from", "from=2026-02-02&to=2026-02-01": "to",
		"status=sleeping": "status", "kind=other": "kind", "app_id=0": "app_id", "page_size=50": "page_size", "sort=id": "sort",
	} {
		r.field(field, "GET", exportPath+"?"+query, nil)
	}
	if code, ct, b := r.do("GET", exportPath, "", nil); code != 401 || ct != problem.ContentType {
		t.Errorf("nobody: %d %s %s", code, ct, b)
	}
	req, _ := http.NewRequest("HEAD", r.url+exportPath, nil)
	req.Header.Set("Authorization", "Bearer "+r.token)
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Disposition") == "" {
		t.Errorf("HEAD: %v %v", resp, err)
	}
	if list, _, err := r.s.Control.Audit(t.Context(), store.AuditQuery{Action: control.ActionExport, Page: store.Page{Size: 5}}); err != nil || len(list) != 0 {
		t.Errorf("audit: %v %v", list, err)
	}
}

// hooked is a store that does something before each list of sessions is read.
type hooked struct {
	store.Store
	before func(ctx context.Context, list int) error
	lists  int // of one export: their reads do not overlap
}

func (h *hooked) View(ctx context.Context, fn func(store.Tx) error) error {
	return h.Store.View(ctx, func(tx store.Tx) error { return fn(&hookedTx{tx, ctx, h}) })
}

type hookedTx struct {
	store.Tx
	ctx context.Context
	h   *hooked
}

func (t *hookedTx) ListSessions(q store.SessionQuery) (store.SessionPage, error) {
	t.h.lists++
	if err := t.h.before(t.ctx, t.h.lists); err != nil {
		return store.SessionPage{}, err
	}
	return t.Tx.ListSessions(q)
}

// outcome waits for the audit log's latest entry of an export.
func (r *rig) outcome() (out string) {
	r.t.Helper()
	servertest.Eventually(r.t, 20*time.Second, "the export stands in the audit log", func() bool {
		list, _, err := r.s.Control.Audit(context.Background(), store.AuditQuery{Action: control.ActionExport, Page: store.Page{Size: 1}})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(list) == 1 {
			out = list[0].Outcome
		}
		return out != ""
	})
	return out
}

// TestExportFails: what fails before the first byte is a problem, and what fails later
// breaks the connection off, so that nobody takes half for a whole.
func TestExportFails(t *testing.T) {
	for _, at := range []int{1, 2} {
		t.Run(fmt.Sprint("at step ", at), func(t *testing.T) {
			r := newRig(t)
			r.sessionsLike(3*control.ExportStep, "")
			r.s.Control.Store = &hooked{Store: r.s.Control.Store, before: func(_ context.Context, list int) error {
				if list == at {
					return errors.New("the disk is on fire")
				}
				return nil
			}}
			resp := r.get(t.Context(), exportPath)
			b, err := io.ReadAll(resp.Body)
			if at == 1 {
				if resp.StatusCode != 500 || resp.Header.Get("Content-Type") != problem.ContentType || err != nil || bytes.Contains(b, []byte("fire")) {
					t.Errorf("%d, %v: %s", resp.StatusCode, err, b)
				}
			} else if resp.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d, %v after %d bytes", resp.StatusCode, err, len(b))
			}
			if got, want := r.outcome(), fmt.Sprintf("broken off: at most %d sessions as csv", (at-1)*control.ExportStep); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// TestExportHangUp: an export ends when nobody is there any more to read it.
func TestExportHangUp(t *testing.T) {
	r := newRig(t)
	r.sessionsLike(3*control.ExportStep, "")
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	r.s.Control.Store = &hooked{Store: r.s.Control.Store, before: func(asked context.Context, list int) error {
		if list == 2 {
			hangUp()
			select {
			case <-asked.Done():
			case <-time.After(20 * time.Second):
				t.Error("the server does not notice")
			}
		}
		return nil
	}}
	resp, err := r.ask(ctx, exportPath)
	if err == nil { // it may have hung up before it read the head of the answer
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := r.outcome(); got != fmt.Sprintf("broken off: at most %d sessions as csv", control.ExportStep) {
		t.Error(got)
	}
	if status := r.s.Control.Store.(*hooked).lists; status > 3 {
		t.Errorf("%d steps", status)
	}
}

// TestExportIsDescribed: the file stands in the OpenAPI document with its two kinds.
func TestExportIsDescribed(t *testing.T) {
	r := newRig(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Access     string `json:"x-access"`
			Parameters []struct{ Name, Description string }
			Responses  map[string]struct{ Content map[string]any }
		}
	}
	r.want(200, &doc, "GET", "/api/v1/openapi.json", "", nil)
	o := doc.Paths["/sessions/export"]["get"]
	if o.Access != "admin" || len(o.Responses["200"].Content) != 2 || o.Responses["200"].Content["text/csv"] == nil {
		t.Errorf("%+v", o)
	}
	for _, p := range doc.Paths["/sessions"]["get"].Parameters {
		if p.Name == "tz" && !strings.Contains(p.Description, "UTC by default") {
			t.Errorf("the list's tz: %s", p.Description)
		}
	}
	for _, p := range o.Parameters {
		if p.Name == "tz" && !strings.Contains(p.Description, "settings") {
			t.Errorf("tz: %s", p.Description)
		}
	}
}
