package web

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"leasehold/internal/directory"
)

var seenInput = regexp.MustCompile(`name="seen" value="([^"]*)"`)

// seen is what a form keeps of the record that it shows.
func (a *answer) seen(t *testing.T) string {
	t.Helper()
	m := seenInput.FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("%s: no form that keeps what it shows", a.path)
	}
	return strings.NewReplacer("&#34;", `"`, "&quot;", `"`, "&amp;", "&").Replace(m[1])
}

// Two people edit the same record: the second save is refused, says what the first has
// changed, keeps what was typed, and can be repeated.
func TestTwoEditTheSame(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	s.must(s.c.CreateUser(t.Context(), s.root, &directory.User{Username: "otto", Name: "Otto", Role: directory.RoleAdmin}, password))
	olga, otto := s.as("olga"), s.as("otto")
	path := "/admin/apps/" + num(app.ID)
	first, second := olga.get(path).seen(t), otto.get(path).seen(t)
	olga.post(path, vals("name", "MATLAB R2026b", "description", "Numbers", "seen", first)).is(200).has("Saved.")
	a := otto.post(path, vals("name", "MATLAB", "description", "Matrices", "seen", second)).is(409)
	a.has("Somebody else has changed this meanwhile", "“Name” from “MATLAB” to “MATLAB R2026b”", "Nothing was saved", `value="MATLAB"`, "Matrices")
	olga.get(path).has("MATLAB R2026b", "Numbers").lacks("Matrices")
	// A mistake does not make it forget what it had shown.
	b := otto.post(path, vals("name", "", "description", "Matrices", "seen", a.seen(t))).is(422)
	if b.seen(t) != a.seen(t) {
		t.Error("a form that was wrong shows another version")
	}
	otto.post(path, vals("name", "MATLAB", "description", "Matrices", "seen", b.seen(t))).is(200).has("Saved.")
	olga.get(path).has("Matrices").lacks("R2026b")

	page := olga.get("/admin/settings").is(200)
	values := func(days, seen string) url.Values {
		return vals("housekeeping_hour", "3", "time_zone", "UTC", "stopped_days", "30", "launched_days", "2", "idle_days", "30", "audit_days", "200", "history_days", days,
			"force_seconds", "10 s", "wait_seconds", "30 s", "heartbeat_seconds", "5 min", "seen", seen)
	}
	olga.post("/admin/settings", values("99", page.seen(t))).is(200).has("The settings are saved.")
	otto.post("/admin/settings", values("98", page.seen(t))).is(409).has("“History” from “400” to “99”", `value="98"`)
}
