package web

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestSignIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	// Whoever asks for a page is sent to sign in, and then to the page.
	a := b.get("/admin/sessions?q=matlab").is(200).has("Sign in", `value="/admin/sessions?q=matlab"`)
	if !strings.HasPrefix(a.path, "/sign-in") {
		t.Errorf("an unknown visitor is at %s", a.path)
	}
	a.lacks("Audit")
	b.post("/sign-in", vals("username", "olga", "password", "wrong")).is(401).has("is not right", `value="olga"`)
	b.post("/sign-in", vals("username", "nobody", "password", "wrong")).is(401).has("is not right")
	a = b.post("/sign-in", vals("username", "olga", "password", password, "return", "/admin/sessions?q=matlab")).is(200)
	if a.path != "/admin/sessions?q=matlab" {
		t.Errorf("after signing in at %s", a.path)
	}
	if a = b.post("/sign-out", nil); a.path != "/sign-in" {
		t.Errorf("after signing out at %s", a.path)
	}
	if a = b.get("/"); !strings.HasPrefix(a.path, "/sign-in") {
		t.Errorf("signed out, but sees %s", a.path)
	}
}

func TestSignInReturnsToThisSiteOnly(t *testing.T) {
	for path, want := range map[string]string{
		"/admin/sessions?q=a": "/admin/sessions?q=a", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/",
		"": "/", "javascript:alert(1)": "/", "/a\r\nSet-Cookie: x": "/",
	} {
		if got := safeReturn(path, "/"); got != want {
			t.Errorf("safeReturn(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestRoles(t *testing.T) {
	s := newSite(t)
	ann, olga := s.as("ann"), s.as("olga")
	for _, path := range []string{"/admin", "/admin/sessions", "/admin/sessions/1", "/admin/sessions/1/evict", "/admin/sessions/events", "/admin/batches", "/admin/batches/1", "/admin/batches/1/events",
		"/admin/sessions/filter?by=app", "/admin/apps", "/admin/apps/new", "/admin/delivery-methods", "/admin/provisions", "/admin/users", "/admin/groups",
		"/admin/devices", "/admin/audit", "/admin/pick/user", "/admin/nothing"} {
		ann.get(path).is(403).has("Only administrators").lacks("Audit")
	}
	for _, path := range []string{"/admin/sessions/1/evict", "/admin/apps", "/admin/users", "/admin/enrolment-keys", "/admin/enrolment-keys/1/revoke", "/admin/hosts/1/approve", "/admin/users/1/delete"} {
		ann.post(path, vals("name", "x")).is(403)
	}
	ann.get("/").is(200).lacks("Return to Admin")
	olga.get("/portal").is(200).has("Return to Admin")
	olga.get("/admin").is(200).has(">Portal<", "Sessions")
	olga.get("/admin/nothing").is(404).has("There is no such page")
	olga.get("/admin/sessions/99").is(404).has("There is no session 99")
	s.browser().get("/nothing").is(404).has("There is no such page", "Start again")
	s.browser().get("/api/v1/nothing").is(404).lacks("<html")
}

func TestForeignFormsAreRefused(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		olga.post("/admin/apps", vals("name", "Evil"), header...).is(403).has("another site", "Request <code>")
	}
	olga.get("/admin/apps").lacks("Evil")
}

func TestHeaders(t *testing.T) {
	s := newSite(t)
	a := s.as("olga").get("/admin/sessions")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store",
	} {
		if got := a.head.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a.head.Get("X-Request-Id") == "" {
		t.Error("no request id")
	}
	// Nothing inline: the policy would refuse it.
	a.lacks(" style=", " onclick=", "<style", "<script>", "data:image")
}

func TestSuspendedUserIsOut(t *testing.T) {
	s := newSite(t)
	ann, olga := s.as("ann"), s.as("olga")
	ann.get("/").is(200).has("Apps")
	olga.post("/admin/users/"+num(s.ann.ID)+"/suspend", nil).is(200).has("Suspended.")
	if a := ann.get("/"); !strings.HasPrefix(a.path, "/sign-in") {
		t.Errorf("a suspended user still sees %s", a.path)
	}
	ann.post("/sign-in", vals("username", "ann", "password", password)).is(401)
	olga.post("/admin/users/"+num(s.ann.ID)+"/activate", nil).is(200).has("Activated.")
	again := s.as("ann")
	// A new password signs out everywhere else.
	olga.post("/admin/users/"+num(s.ann.ID), vals("username", "ann", "name", "Ann Berg", "role", "user", "password", "another horse")).is(200).has("Saved.")
	if a := again.get("/"); !strings.HasPrefix(a.path, "/sign-in") {
		t.Errorf("signed in by the old password, and still sees %s", a.path)
	}
}

func TestTheme(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	olga.get("/").lacks("data-theme=")
	a := olga.post("/theme", vals("theme", "dark", "return", "/admin/sessions")).is(200).has(`data-theme="dark"`)
	if a.path != "/admin/sessions" {
		t.Errorf("back at %s", a.path)
	}
	olga.post("/theme", vals("theme", "", "return", "/")).lacks("data-theme=")
}

func TestUnbuiltPagesSayWhatToRun(t *testing.T) {
	s := newSite(t)
	s.web.assets = newAssets(fstest.MapFS{})
	s.as("olga").get("/admin/sessions").is(200).has("make web", "<h1>Sessions</h1>").lacks("<script", "stylesheet")
}

func TestSetup(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/setup?token=forged").is(403).has("not good any more")
	b.post("/setup", vals("token", "forged", "username", "eve", "password", password)).is(403)

	s = emptySite(t)
	token, err := s.c.EnsureAdmin(t.Context(), "", "")
	s.must(err)
	b = s.browser()
	b.get("/setup?token="+token).is(200).has("Make the first administrator", token)
	b.post("/setup", vals("token", token, "username", "olga", "password", "short")).is(422).has(`id="password-error"`, `value="olga"`).lacks("short")
	a := b.post("/setup", vals("token", token, "username", "olga", "name", "Olga Admin", "password", password)).is(200).has("You are the first administrator.", "No sessions yet")
	if a.path != "/admin/sessions" {
		t.Errorf("after setting up at %s", a.path)
	}
	// Once only.
	s.browser().get("/setup?token=" + token).is(403)
	s.as("olga").get("/portal").is(200).has("Return to Admin")
}
