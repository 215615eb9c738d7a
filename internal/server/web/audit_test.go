package web

import (
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// changes makes entries of several kinds, and returns the page of one that has changes.
func (s *site) changes() string {
	s.t.Helper()
	s.organisation()
	_, err := s.c.UpdateUser(s.t.Context(), s.root, s.ann.ID, "a kettle in the harbour", control.Ending{}, func(u *directory.User) error {
		u.Email, u.Role = "ann.berg@engineering.example.org", directory.RoleAdmin
		return nil
	})
	s.must(err)
	for range 4 {
		s.c.SignIn(s.t.Context(), control.Credentials{Username: "nobody", Password: "guess", From: "192.0.2.77"})
	}
	list, _, err := s.c.Audit(s.t.Context(), store.AuditQuery{Action: "user.update"})
	s.must(err)
	return auditPath + "/" + itoa(list[0].ID)
}

// TestAuditPage: the audit log is filtered by each of its parts, an entry shows what it
// changed without secrets, and what the filter shows is exported.
func TestAuditPage(t *testing.T) {
	s := newSite(t)
	entry := s.changes()
	olga := s.as("olga")
	olga.get("/admin/audit").has("user update", `href="`+entry+`"`, "sign-in refuse", "refused, 4 times", "192.0.2.77")
	olga.get("/admin/audit?action=user.update&who=OLGA&target=Ann").has("user update", "Filters that are set").lacks("sign-in refuse", "app create")
	olga.get("/admin/audit?who=anonymous").has("sign-in refuse").lacks("user update")
	olga.get("/admin/audit?target=nothing+like+it").has("No entry matches the filter.")
	olga.get("/admin/audit?from=yesterday").has("From").lacks("user update")
	olga.get(entry).has("What changed", "ann.berg@engineering.example.org", "admin", "changed").lacks("argon2", "kettle")
	olga.get("/admin/audit/99999").is(404)
	file := olga.get("/admin/audit/export?format=csv&action=user.update")
	file.has(`"user.update"`, "password: ").lacks("app.create")
	if got := file.head.Get("Content-Type"); !strings.HasPrefix(got, "text/csv") {
		t.Error(got)
	}
	olga.get("/admin/audit/export?format=ndjson&action=user.update").has(`"action":"user.update"`)
	olga.get("/admin/audit/export?format=xml").is(400)
	s.as("bo").get("/admin/audit/export?format=csv").is(403)
}

// TestAuditInTheBrowser looks at the audit log and an entry, in either theme and width.
func TestAuditInTheBrowser(t *testing.T) {
	s := newSite(t)
	entry := s.changes()
	w := s.window()
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		for _, path := range []string{"/admin/audit", "/admin/audit?who=olga&action=user.update", entry} {
			w.Open(path)
			w.Judge(path)
		}
	}
}
