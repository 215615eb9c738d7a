package web

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"leasehold/internal/directory"
)

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// hidden are the hidden fields of a page.
func (a *answer) hidden() url.Values {
	v := url.Values{}
	for _, m := range hiddenInput.FindAllStringSubmatch(a.body, -1) {
		v.Add(m[1], html.UnescapeString(m[2]))
	}
	return v
}

// TestSignInEndsInAForm: what was typed is there after signing in again, nothing is done by
// itself, and nobody else is shown it.
func TestSignInEndsInAForm(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	s.must(s.c.CreateUser(t.Context(), s.root, &directory.User{Username: "otto", Name: "Otto", Role: directory.RoleAdmin}, password))
	lab := s.device("LAB-204")
	id := num(s.launch(app.ID, lab, true))
	const typed = "An hour’s <work> & more"
	for _, x := range []struct {
		what, page, path string
		fields           url.Values
		shows            string
	}{
		{"a new record", "/admin/apps/new", "/admin/apps", vals("name", "Editor", "description", typed), "Create app"},
		{"a record", "/admin/apps/" + num(app.ID), "/admin/apps/" + num(app.ID), vals("name", "Editor", "description", typed), "<h1>MATLAB</h1>"},
		{"a user, with a password", "/admin/users/new", "/admin/users", vals("username", "bo", "name", typed, "password", "top secret word"), "Create user"},
		{"a delivery method", "/admin/delivery-methods/new", "/admin/delivery-methods", vals("app_id", num(app.ID), "name", typed, "packages", "1", "packages.0.type", "command", "packages.0.command", "/bin/true"), "/bin/true"},
		{"the settings", "/admin/settings", "/admin/settings", vals("time_zone", typed, "stopped_days", "7"), `value="7"`},
		{"an account", "/account", "/account", vals("time_zone", typed), "Your account"},
		{"a reason", "/admin/sessions/" + id + "/evict", "/admin/sessions/" + id + "/evict", vals("reason", typed), "Evict Ann Berg’s MATLAB"},
		{"a message", "/admin/sessions/" + id + "/message", "/admin/sessions/" + id + "/message", vals("text", typed), "Message to Ann Berg"},
		{"a revocation", "/admin/sessions/" + id + "/revoke", "/admin/sessions/" + id + "/revoke", vals("reason", typed), "Revoke Ann Berg’s access"},
		{"a change", "/admin/apps/" + num(app.ID) + "/suspend", "/admin/apps/" + num(app.ID) + "/suspend", vals("end_running", "true", "reason", typed), "checked"},
	} {
		t.Run(x.what, func(t *testing.T) {
			s.t = t
			olga := s.as("olga")
			by := olga.get(x.page).is(200).hidden()
			for name, v := range by {
				if _, set := x.fields[name]; !set && (name == byField || name == seenField) {
					x.fields[name] = v
				}
			}
			olga.post("/sign-out", nil)
			a := olga.post(x.path, x.fields).is(401).has("You were signed out, and nothing was saved", `name="password"`, `value="olga"`).lacks("top secret word")
			again := a.hidden()
			again.Set("username", "olga")
			again.Set("password", "wrong")
			a = olga.post("/sign-in", again).is(401).has("is not right")
			again = a.hidden()
			again.Set("password", password)

			// Somebody else's sign-in does not show it.
			again.Set("username", "otto")
			b := s.browser()
			b.post("/sign-in", again).is(200).has("is another person’s").lacks(html.EscapeString(typed))
			b.get(x.page).is(200).lacks(html.EscapeString(typed))

			again.Set("username", "olga")
			a = olga.post("/sign-in", again).is(200).has(html.EscapeString(typed), x.shows, "Nothing was saved yet. What you typed is here.").lacks("top secret word")
			if a.path != x.page {
				t.Errorf("shown at %s", a.path)
			}
			// Once: then the page is as it is for anybody.
			olga.get(x.page).is(200).lacks(html.EscapeString(typed))
		})
	}
	// Nothing was done.
	s.t = t
	olga := s.as("olga")
	olga.get("/admin/apps").lacks("Editor").has("MATLAB", "active")
	olga.get("/admin/users").lacks("bo</a>")
	olga.get("/admin/sessions/" + id).has("running").lacks("evicted")

	// What has no page of its own, is too long or is nobody's, is not kept; and it says so.
	olga.post("/sign-out", nil)
	for path, fields := range map[string]url.Values{
		"/admin/apps":           vals("by", "olga", "name", "x", "description", strings.Repeat("x", maxKept)),
		"/admin/apps/1":         vals("name", "x"),
		"/admin/batches":        vals("by", "olga", "action", "evict", "session", "1"),
		"/admin/enrolment-keys": vals("by", "olga"),
	} {
		a := olga.post(path, fields).is(401).has("You were signed out, and nothing was done.")
		if a.hidden().Has(keptField) {
			t.Errorf("%s is kept", path)
		}
	}
	// A page that somebody made up is not shown.
	a := olga.post("/sign-in", vals("username", "olga", "password", password, keptField, `{"By":"olga","Page":"https://example.org","Path":"//example.org","Values":{}}`)).is(200)
	if a.path != "/admin/sessions" {
		t.Errorf("led to %s", a.path)
	}
}
