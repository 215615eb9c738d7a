package web

import (
	"strconv"
	"strings"
	"testing"
)

// TestSignInTooOften: guessing at the page ends in a page that says when to go on, and a
// browser that has signed in before is not slowed down by those beside it.
func TestSignInTooOften(t *testing.T) {
	s := newSite(t)
	own := s.as("ann")
	own.post("/sign-out", nil)
	stranger := s.browser()
	for range 5 {
		stranger.post("/sign-in", vals("username", "ann", "password", "wrong")).is(401)
	}
	a := stranger.post("/sign-in", vals("username", "ann", "password", password)).is(429).has("Too many wrong passwords for this account from here", `value="ann"`)
	if n, err := strconv.Atoi(a.head.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After: %q", a.head.Get("Retry-After"))
	}
	if a := own.post("/sign-in", vals("username", "ann", "password", password)); a.code != 200 || a.path != "/" {
		t.Errorf("its owner is at %s with %d", a.path, a.code)
	}
	stranger.post("/sign-in", vals("username", strings.Repeat("a", 900_000), "password", "x")).is(401)
}
