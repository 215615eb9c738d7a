package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// logged returns the entries of an action, newest first.
func (s *stepped) logged(action string) []store.AuditEntry {
	s.t.Helper()
	list, _, err := s.Control.Audit(s.t.Context(), store.AuditQuery{Action: action, Page: store.Page{Size: 500}})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// said is an entry's changes as one text.
func said(e store.AuditEntry) string {
	var out []string
	for _, c := range e.Changes {
		out = append(out, fmt.Sprintf("%s: %s → %s", c.Field, c.Before, c.After))
	}
	return strings.Join(out, "; ")
}

// TestAuditChanges: what administrators make, change and delete is in the audit log with the
// fields before and after, with its request, and without secrets.
func TestAuditChanges(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		ctx := control.WithRequest(t.Context(), &control.Request{ID: "REQUEST1"})
		want := func(action, changes string) {
			t.Helper()
			list := s.logged(action)
			if len(list) == 0 || said(list[0]) != changes || list[0].RequestID != "REQUEST1" {
				t.Fatalf("%s: %+v, want %s", action, list, changes)
			}
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		app := &catalog.App{Name: "Blender", Description: "3D"}
		check(s.Control.CreateApp(ctx, s.Admin, app))
		want("app.create", "name:  → Blender; description:  → 3D; status:  → active")
		_, err := s.Control.UpdateApp(ctx, s.Admin, app.ID, control.Ending{}, func(a *catalog.App) error { a.Description = "3D and film"; return nil })
		check(err)
		want("app.update", "description: 3D → 3D and film")
		check(s.Control.DeleteApp(ctx, s.Admin, app.ID, control.Ending{}))
		want("app.delete", "name: Blender → ; description: 3D and film → ; status: active → ")

		u := &directory.User{Username: "cleo", Name: "Cleo Diaz"}
		check(s.Control.CreateUser(ctx, s.Admin, u, annsPassword))
		want("user.create", "username:  → cleo; name:  → Cleo Diaz; role:  → user; status:  → active; source:  → local; password:  → changed")
		_, err = s.Control.UpdateUser(ctx, s.Admin, u.ID, "a kettle in the harbour", control.Ending{}, func(u *directory.User) error { u.Email = "c@example.org"; return nil })
		check(err)
		want("user.update", "email:  → c@example.org; password: changed → changed; must_change_password: false → true")
		cleo := control.WhoIs(u, "192.0.2.1")
		check(s.Control.ChangePassword(ctx, cleo, 0, "a kettle in the harbour", annsPassword))
		want("user.password", "password: changed → changed; must_change_password: true → false")

		g := &directory.Group{Name: "Staff", UserIDs: []int64{u.ID}}
		check(s.Control.CreateGroup(ctx, s.Admin, g))
		_, err = s.Control.UpdateGroup(ctx, s.Admin, g.ID, control.Ending{}, func(g *directory.Group) error { g.UserIDs = nil; return nil })
		check(err)
		want("group.update", fmt.Sprintf("user_ids: %d → ", u.ID))
		check(s.Control.DeleteGroup(ctx, s.Admin, g.ID, control.Ending{}))
		want("group.delete", "name: Staff → ; source: local → ")

		_, err = s.Control.UpdateSettings(ctx, s.Admin, func(c *control.Settings) error { c.HostSlots, c.ReasonRequired = 9, true; return nil })
		check(err)
		want("settings.update", "reason_required: false → true; host_slots: 64 → 9")

		_, k, err := s.Control.NewEnrolmentKey(ctx, s.Admin, control.KeyTerms{Kind: "host", Uses: 2})
		check(err)
		if got := said(s.logged("enrolment-key.create")[0]); !strings.Contains(got, "key:  → changed; ") || !strings.Contains(got, "uses_left:  → 2") {
			t.Error(got)
		}
		check(s.Control.RevokeEnrolmentKey(ctx, s.Admin, k.ID))
		if got := said(s.logged("enrolment-key.revoke")[0]); !strings.HasPrefix(got, "revoked_at:  → ") {
			t.Error(got)
		}
		for _, e := range s.logged("") {
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, "argon2") || strings.Contains(text, annsPassword) || strings.Contains(text, "kettle") {
				t.Error("a secret is in the audit log:", text)
			}
		}
	})
}

// TestAuditSignIns: sign-ins, refused ones and tokens are in the audit log; the same refusal
// within a minute is one entry with a count, and however many accounts are tried, a node adds
// a bounded number.
func TestAuditSignIns(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		ctx := control.WithRequest(t.Context(), &control.Request{ID: "REQUEST2"})
		for range 3 {
			s.signIn("Ann", "guess", "192.0.2.7", "")
		}
		s.signIn("nobody", "guess", "192.0.2.7", "")
		list := s.logged(control.ActionRefuseSignIn)
		if len(list) != 2 || list[0].Count+list[1].Count != 4 {
			t.Fatalf("%+v", list)
		}
		for _, e := range list {
			if e.Actor != "anonymous" || e.From != "192.0.2.7" || e.Outcome != "refused" || (e.Target != "account" || e.Name != "nobody") && e.Target != fmt.Sprintf("user %d", s.User.UserID) {
				t.Errorf("%+v", e)
			}
		}
		s.signIn("Ann", "guess", "192.0.2.7", "") // after they were stored
		if list := s.logged(control.ActionRefuseSignIn); len(list) != 2 {
			t.Errorf("counted anew: %+v", list)
		}
		for i := range 300 {
			s.signIn(fmt.Sprint("guess", i, strings.Repeat("x", 380)), strings.Repeat("p", 5000), fmt.Sprintf("192.0.2.%d", i%250), "")
		}
		if list := s.logged(control.ActionRefuseSignIn); len(list) > 110 || !slices.ContainsFunc(list, func(e store.AuditEntry) bool { return e.Target == "others" && e.Count > 190 }) {
			t.Errorf("%d entries for guesses of one minute", len(list))
		}
		in := control.Credentials{Username: "ann", Password: annsPassword, From: "192.0.2.9"}
		if _, err := s.Control.SignIn(ctx, in); err != nil {
			t.Fatal(err)
		}
		e := s.logged(control.ActionSignIn)
		if len(e) != 1 || e[0].Actor != "user ann" || e[0].From != "192.0.2.9" || e[0].RequestID != "REQUEST2" {
			t.Errorf("%+v", e)
		}
		if err := s.Control.EndSignIn(ctx, s.User, s.comes()); err != nil || len(s.logged(control.ActionEndSignIn)) != 1 {
			t.Errorf("the end of a sign-in: %v", err)
		}
	})
}

// TestAuditForbidden: what is forbidden is counted by who asks, or the network, and the route.
func TestAuditForbidden(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		ask := func(actor, from, route string, n int) {
			ctx := control.WithRequest(t.Context(), &control.Request{ID: "R", From: from, Actor: actor})
			for range n {
				s.Control.NoteForbidden(ctx, route)
			}
		}
		ask("user ann", "192.0.2.1", "GET /admin/apps", 5)
		ask("user ann", "192.0.2.2", "GET /admin/apps", 2)
		ask("", "2001:db8::1", "GET /metrics", 3)
		ask("", "2001:db8::2", "GET /metrics", 1)
		// Strangers fill their share of the minute, and no more.
		for i := range 500 {
			ask("", fmt.Sprintf("198.51.%d.%d", i/250, i%250), "GET /metrics", 1)
		}
		ask("user bo", "192.0.2.1", "GET /admin/users", 1)
		list := s.logged(control.ActionRefuseRequest)
		if len(list) > 110 || !slices.ContainsFunc(list, func(e store.AuditEntry) bool { return e.Actor == "user bo" && e.Name == "GET /admin/users" }) {
			t.Errorf("%d entries, and of Bo none", len(list))
		}
		got := map[string]int{}
		for _, e := range list {
			if strings.HasPrefix(e.From, "198.51.") || e.Target == "others" || e.Actor == "user bo" {
				continue
			}
			got[e.Actor+" "+e.Name] += e.Count
		}
		if len(got) != 2 || got["user ann GET /admin/apps"] != 7 || got["anonymous GET /metrics"] != 4 {
			t.Errorf("%v", got)
		}
	})
}

// TestAuditLogAfterCommit: the log of the process has what was committed, and nothing else.
func TestAuditLogAfterCommit(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		var got []store.AuditEntry
		c, err := control.New(t.Context(), control.Config{Store: s.Store, PublicURL: s.Control.PublicURL, AuditLog: func(e store.AuditEntry) { got = append(got, e) }})
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		if err := c.CreateApp(t.Context(), s.Admin, &catalog.App{Name: "Gimp"}); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].ID == 0 || got[0].Action != "app.create" || len(got[0].Changes) == 0 {
			t.Fatalf("%+v", got)
		}
		if err := c.CreateApp(t.Context(), s.Admin, &catalog.App{Name: "Gimp"}); err == nil || len(got) != 1 {
			t.Errorf("%v, %+v", err, got)
		}
		late, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.CreateApp(late, s.Admin, &catalog.App{Name: "Krita"}); err == nil || len(got) != 1 {
			t.Errorf("%v, %+v", err, got)
		}
	})
}
