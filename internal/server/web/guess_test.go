package web

import (
	"strconv"
	"strings"
	"testing"

	"leasehold/internal/control"
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

// TestLaunchTooOften: a launch beyond a limit ends in the form that says so.
func TestLaunchTooOften(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	_, err := s.c.UpdateSettings(t.Context(), s.root, func(set *control.Settings) error { set.UserLaunchesPerMinute = 1; return nil })
	s.must(err)
	ann := s.as("ann")
	ann.post("/launch/"+num(app.ID), nil).is(200)
	a := ann.post("/launch/"+num(app.ID), nil).is(429).has("You have launched 1 app within a minute")
	if a.head.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// TestLivePagesLimit: no more pages of a user are kept up to date than the setting lets.
func TestLivePagesLimit(t *testing.T) {
	s := newSite(t)
	_, err := s.c.UpdateSettings(t.Context(), s.root, func(set *control.Settings) error { set.UserEventStreams = 2; return nil })
	s.must(err)
	ann := s.as("ann")
	for range 2 {
		ann.stream("/events")
	}
	ann.get("/events").is(429).has("You have 2 pages open")
	s.as("olga").stream("/events")
}
