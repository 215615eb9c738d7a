package server_test

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/store"
)

// TestAuditOfForbidden: what a face of the server forbids is in the audit log with who asked,
// from where, for which route and by which request, however often, in one entry.
func TestAuditOfForbidden(t *testing.T) {
	r := newRig(t)
	r.app("ann")
	ann := r.signIn("ann", password)
	for range 5 {
		r.want(403, nil, "GET", "/api/v1/apps", ann, nil)
	}
	// On a page, too: there by a form that another site posts, before anybody is known.
	q, err := http.NewRequest("POST", r.url+"/sign-in", strings.NewReader("username=ann"))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", "https://elsewhere.example")
	q.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(q)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatal(err, resp)
	}
	resp.Body.Close()
	var out struct{ Audit []store.AuditEntry }
	r.want(200, &out, "GET", "/api/v1/audit?action="+control.ActionRefuseRequest, r.token, nil)
	if len(out.Audit) != 2 {
		t.Fatalf("%+v", out)
	}
	slices.SortFunc(out.Audit, func(a, b store.AuditEntry) int { return strings.Compare(a.Actor, b.Actor) })
	if e := out.Audit[0]; e.Actor != "anonymous" || e.Name != "POST /sign-in" || e.RequestID != resp.Header.Get("X-Request-Id") {
		t.Errorf("%+v", e)
	}
	if e := out.Audit[1]; e.Actor != "user ann" || e.Name != "GET /api/v1/apps" || e.Count != 5 || e.From == "" || e.RequestID == "" {
		t.Errorf("%+v", e)
	}
}

// TestAuditFilter selects by each parameter, names one that is not right, and exports what a
// filter selects.
func TestAuditFilter(t *testing.T) {
	r := newRig(t)
	r.want(201, nil, "POST", "/api/v1/apps", r.token, map[string]any{"name": "=Straße\"1\""})
	r.want(201, nil, "POST", "/api/v1/apps", r.token, map[string]any{"name": "Gimp"})
	count := func(query string) int {
		t.Helper()
		var out struct{ Audit []store.AuditEntry }
		r.want(200, &out, "GET", "/api/v1/audit?action=app.create&"+query, r.token, nil)
		for _, e := range out.Audit {
			if len(e.Changes) == 0 || e.RequestID == "" {
				t.Errorf("%+v", e)
			}
		}
		return len(out.Audit)
	}
	for query, want := range map[string]int{"": 2, "target=STRASSE": 1, "who=ROOT": 2, "who=nobody": 0, "from=2000-01-01": 2, "to=2000-01-01": 0, "page_size=1": 1} {
		if got := count(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	for query, field := range map[string]string{"from=x": "from", "tz=Nowhere": "tz", "who=" + strings.Repeat("x", 300): "who"} {
		code, _, body := r.do("GET", "/api/v1/audit?"+query, r.token, nil)
		if code != 422 || !strings.Contains(string(body), `"`+field+`"`) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	code, _, body := r.do("GET", "/api/v1/audit/export?action=app.create&target=stra%C3%9Fe", r.token, nil)
	rows, err := csv.NewReader(strings.NewReader(string(body))).ReadAll()
	if code != 200 || err != nil || len(rows) != 2 || rows[1][7] != "'=Straße\"1\"" || !strings.Contains(rows[1][11], "name: ") {
		t.Errorf("%d, %v, %q", code, err, rows)
	}
	code, _, body = r.do("GET", "/api/v1/audit/export?format=ndjson&action=app.create", r.token, nil)
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	var e store.AuditEntry
	if code != 200 || len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &e) != nil || e.Name != "=Straße\"1\"" || len(e.Changes) == 0 {
		t.Errorf("%d %s", code, body)
	}
	var out struct{ Audit []store.AuditEntry }
	r.want(200, &out, "GET", "/api/v1/audit?action="+control.ActionExportAudit, r.token, nil)
	if len(out.Audit) != 2 || out.Audit[0].Outcome != "done: 2 entries as ndjson" {
		t.Errorf("%+v", out.Audit)
	}
}
