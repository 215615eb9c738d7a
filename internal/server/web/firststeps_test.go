package web

import (
	"strings"
	"testing"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// TestAdministratorLands: who has no apps of their own and sees to everybody else's is not
// left on an empty portal.
func TestAdministratorLands(t *testing.T) {
	s := newSite(t)
	olga := s.browser()
	olga.get("/").is(200).has("Sign in")
	if a := olga.post("/sign-in", vals("username", "olga", "password", password)).is(200); a.path != "/admin/sessions" {
		t.Errorf("an administrator without apps lands on %s", a.path)
	}
	// What to do first is said where they are, and the portal is still theirs to look at.
	olga.get("/admin/sessions").has("No sessions yet", `href="/admin/apps/new"`, `href="/admin/provisions/new"`, `href="/admin/devices"`, `href="/portal">Portal</a>`)
	olga.get("/admin/streams").has("No sessions yet", `href="/admin/hosts"`)
	olga.get("/portal").is(200).has("You have no apps of your own", `href="/admin/provisions"`).lacks("An administrator gives them to you")
	for _, path := range []string{"/", "/sign-in"} {
		if a := olga.get(path).is(200); a.path != "/admin/sessions" {
			t.Errorf("%s leads an administrator without apps to %s", path, a.path)
		}
	}

	// Others, and administrators who have apps, land among their apps.
	app, _ := s.app("MATLAB")
	if a := s.as("ann").get("/").is(200).has("MATLAB"); a.path != "/" {
		t.Errorf("a user is led to %s", a.path)
	}
	s.user("bo", "Bo Chen")
	s.as("bo").get("/").is(200).has("You have no apps yet", "An administrator gives them to you")
	s.provide(app.ID, s.admin.ID)
	if a := s.as("olga").get("/").is(200).has("MATLAB"); a.path != "/" {
		t.Errorf("an administrator with apps is led to %s", a.path)
	}
}

// TestLaunchWithoutHandler: on a device that does not open launch links by itself, the page
// has all that it takes.
func TestLaunchWithoutHandler(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	s.provide(app.ID, s.admin.ID)
	for _, who := range []string{"ann", "olga"} {
		a := s.as(who).post("/launch/"+num(app.ID), vals("device_id", "")).is(200)
		a.has("If nothing opens", `leasehold player launch &#34;leasehold://launch?`, "Copy link", "Copy command",
			"leasehold player install", "leasehold player enroll --server http://127.0.0.1 --key KEY", "--state")
		if has := strings.Contains(a.body, `href="/admin/devices"`); has != (who == "olga") {
			t.Errorf("%s is led to the page that makes keys: %v", who, has)
		}
		a.lacks("Ask your administrator for it")
	}
}

// provide gives an app to a user, by its first delivery method.
func (s *site) provide(app, user int64) {
	s.t.Helper()
	methods, _, err := s.c.ListDeliveryMethods(s.t.Context(), app, "", store.Page{Size: 1})
	s.must(err)
	s.must(s.c.CreateProvision(s.t.Context(), s.root, &directory.Provision{
		Name: "For user " + num(user), UserIDs: []int64{user}, DeliveryMethodIDs: []int64{methods[0].ID}, Enabled: true}))
}

// TestFirstStepsLook: the pages of a new server in a browser, and the buttons that copy.
func TestFirstStepsLook(t *testing.T) {
	s := newSite(t)
	w := s.window()
	app, _ := s.app("MATLAB")
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		for _, path := range []string{"/portal", "/admin/sessions", "/admin/streams"} {
			w.Open(path)
			w.Judge("first" + path)
		}
	}
	s.provide(app.ID, s.admin.ID)
	l, err := s.c.Launch(t.Context(), s.root, app.ID, 0)
	s.must(err)
	w.Open("/launch/" + num(app.ID))
	w.Run(`sessionStorage.clear(); document.querySelector('.launch form').submit()`)
	w.Wait(`location.pathname.startsWith('/sessions/') && document.querySelector('[data-copy]')`)
	if w.Text(`location.pathname`) == "/sessions/"+num(l.Session.ID) {
		t.Error("the launch is not its own")
	}
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		w.Judge("launched")
	}
	w.Run(`window.copied = ''; navigator.clipboard.writeText = async (text) => { copied = text }`)
	w.Run(`document.querySelector('[data-copy="#copy-command"]').click()`)
	w.Wait(`document.querySelector('[data-copy="#copy-command"]').innerText === 'Copied'`)
	if got := w.Text(`copied`); !strings.HasPrefix(got, `leasehold player launch "leasehold://launch?server=`) || !strings.HasSuffix(got, `"`) {
		t.Errorf("copied %q", got)
	}
	w.Wait(`document.querySelector('[data-copy="#copy-command"]').innerText === 'Copy command'`)
}
