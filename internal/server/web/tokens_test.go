package web

import (
	"strings"
	"testing"

	"leasehold/internal/control"
)

// TestTokensPage makes one's own token, which is shown once, and deletes it.
func TestTokensPage(t *testing.T) {
	s := newSite(t)
	ann := s.as("ann")
	ann.get(tokensPath).is(200).has("No tokens yet")
	a := ann.post(tokensPath, vals("name", "Report", "days", "30", "scopes", "read")).is(200).has("A new token.", "Report", "reads", "never used")
	if a.path != tokensPath || a.head.Get("Cache-Control") != "no-store" {
		t.Errorf("at %s, %q", a.path, a.head.Get("Cache-Control"))
	}
	_, text, _ := strings.Cut(a.body, `id="new-token">`)
	text, _, _ = strings.Cut(text, "<")
	u, _, err := s.c.Bearer(t.Context(), text)
	s.must(err)
	if u.Username != "ann" {
		t.Errorf("it is %s's", u.Username)
	}
	ann.get(tokensPath).is(200).lacks(text, "A new token.").has("just now")
	s.as("olga").get(tokensPath).lacks("Report")
	s.as("olga").post(tokensPath+"/1/delete", nil).is(404)
	ann.post(tokensPath, vals("name", "x", "days", "1000", "scopes", "read")).is(422).has(`id="days-error"`).lacks(`id="new-token"`)
	ann.post(tokensPath, vals("name", "", "days", "3", "scopes", "admin")).is(422).has(`id="name-error"`)
	ann.post(tokensPath+"/1/delete", nil).is(200).has("The token is deleted.", "No tokens yet")
	if _, _, err := s.c.Bearer(t.Context(), text); err != control.ErrSignIn {
		t.Errorf("it is good still: %v", err)
	}
}

// TestTokensLook: the page in a browser.
func TestTokensLook(t *testing.T) {
	s := newSite(t)
	w := s.window()
	_, _, err := s.c.NewNamedToken(t.Context(), control.WhoIs(s.admin, ""), control.TokenTerms{Name: "Nightly report for the faculty of engineering"})
	s.must(err)
	w.Open(tokensPath)
	w.Run(`document.querySelector('#name').value = 'Backup'; document.querySelector('form.form').submit()`)
	w.Wait(`document.querySelector('#new-token')`)
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		w.Judge("tokens")
	}
}
