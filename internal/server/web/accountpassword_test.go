package web

import (
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/directory"
)

// TestPasswordPage changes one's own password; after an administrator's reset nothing else can
// be done first.
func TestPasswordPage(t *testing.T) {
	s := newSite(t)
	ann := s.as("ann")
	other := s.as("ann")
	const own = "a kettle in the harbour"
	ann.get(passwordPath).is(200).has("Change password").lacks("An administrator has set your password")
	ann.post(passwordPath, vals("current_password", "wrong", "new_password", own)).is(422).has(`id="current_password-error"`).lacks(own)
	ann.post(passwordPath, vals("current_password", password, "new_password", "ann-berg-1")).is(422).has(`id="new_password-error"`, "made of your name")
	ann.post(passwordPath, vals("current_password", password, "new_password", own)).is(200).has("The password is changed.")
	ann.get("/portal").is(200)
	if a := other.get("/portal"); a.path == "/portal" {
		t.Error("the other browser is signed in still")
	}
	_, err := s.c.UpdateUser(t.Context(), s.root, s.ann.ID, password, control.Ending{}, func(*directory.User) error { return nil })
	s.must(err)
	b := s.browser()
	if a := b.post("/sign-in", vals("username", "ann", "password", password, "return", "/portal")).is(200).has("An administrator has set your password"); a.path != passwordPath {
		t.Errorf("at %s", a.path)
	}
	for _, path := range []string{"/", "/portal", signInsPath, tokensPath} {
		if a := b.get(path); a.path != passwordPath {
			t.Errorf("%s: sees %s", path, a.path)
		}
	}
	b.get("/events").is(403)
	if a := b.post(tokensPath, vals("name", "x", "days", "1", "scopes", "read")); a.path != passwordPath {
		t.Errorf("makes a token: %s", a.path)
	}
	b.post(passwordPath, vals("current_password", password, "new_password", own)).is(200).has("The password is changed.")
	b.get(tokensPath).is(200).has("No tokens yet")
}

// TestPasswordLook: the page in a browser.
func TestPasswordLook(t *testing.T) {
	s := newSite(t)
	w := s.window()
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		w.Open(passwordPath)
		w.Judge("password")
	}
}
