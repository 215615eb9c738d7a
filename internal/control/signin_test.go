package control_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/servertest"
)

const annsPassword = "violet harbour 7"

// withPassword gives the user ann a password, which she must change.
func (s *stepped) withPassword() {
	s.t.Helper()
	if _, err := s.Control.UpdateUser(s.t.Context(), s.Admin, s.User.UserID, annsPassword, control.Ending{}, func(*directory.User) error { return nil }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stepped) signIn(username, password, from, browser string) error {
	_, err := s.Control.SignIn(s.t.Context(), control.Credentials{Username: username, Password: password, From: from, Browser: browser})
	return err
}

// wait returns how long an error says to wait; the test fails if it says something else.
func wait(t *testing.T, err error) time.Duration {
	t.Helper()
	var many *control.TooManyError
	if !errors.As(err, &many) || many.After <= 0 {
		t.Fatalf("got %v, want to be told to wait", err)
	}
	return many.After
}

// TestGuessing guesses the password of one account: from where that is done it gets ever
// slower, even for the right password; from everywhere else, and in a browser that has
// signed in before, its owner notices nothing.
func TestGuessing(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		const stranger, owner = "2001:db8:1:2::99", "2001:db8:1:3::7"
		browser, err := s.Control.RememberBrowser(t.Context(), s.User.UserID, "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			// Other spellings and other addresses of one /64 are the same.
			if err := s.signIn([]string{"ann", "ANN"}[i%2], fmt.Sprint("guess ", i), fmt.Sprintf("2001:db8:1:2::%x", i), ""); !errors.Is(err, control.ErrSignIn) {
				t.Fatalf("guess %d: %v", i, err)
			}
		}
		guesses := 5
		for begin := s.leaseNow().Earliest; s.leaseNow().Earliest.Sub(begin) < time.Hour; guesses++ {
			left := wait(t, s.signIn("ann", annsPassword, stranger, ""))
			s.step(left - 500*time.Millisecond)
			wait(t, s.signIn("ann", annsPassword, stranger, ""))
			s.step(time.Second)
			if err := s.signIn("ann", "wrong again", stranger, ""); !errors.Is(err, control.ErrSignIn) {
				t.Fatal(err)
			}
		}
		if guesses > 20 {
			t.Errorf("%d guesses in an hour", guesses)
		}
		wait(t, s.signIn("ann", annsPassword, stranger, ""))
		for what, err := range map[string]error{
			"from elsewhere":         s.signIn("ann", annsPassword, owner, ""),
			"in a known browser":     s.signIn("ann", annsPassword, stranger, browser),
			"another account":        unless(control.ErrSignIn, s.signIn("bo", "nobody", stranger, "")),
			"another person's":       unless(control.ErrSignIn, s.signIn("bo", "nobody", stranger, browser)),
			"from the IPv4 internet": s.signIn("ann", annsPassword, "192.0.2.1", ""),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		// A known browser may guess no more than others.
		for range 5 {
			if err := s.signIn("ann", "wrong", stranger, browser); !errors.Is(err, control.ErrSignIn) {
				t.Fatal(err)
			}
		}
		wait(t, s.signIn("ann", annsPassword, stranger, browser))
		// A sign-in that is right ends the wait.
		s.step(15 * time.Minute)
		if err := s.signIn("ann", annsPassword, stranger, ""); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := s.signIn("ann", "wrong", stranger, ""); !errors.Is(err, control.ErrSignIn) {
				t.Fatal(err)
			}
		}
	})
}

func unless(want, err error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %w", err)
}

// TestGuessingOnAnotherNode: what one node counts, another one knows.
func TestGuessingOnAnotherNode(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		other, err := control.New(t.Context(), control.Config{Store: s.Store, PublicURL: s.Control.PublicURL})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			c := []*control.Control{s.Control, other}[i%2]
			_, err := c.SignIn(t.Context(), control.Credentials{Username: "ann", Password: "wrong", From: "192.0.2.1"})
			if i < 5 && !errors.Is(err, control.ErrSignIn) {
				t.Fatalf("try %d: %v", i, err)
			}
			if i == 5 {
				wait(t, err)
			}
		}
	})
}

// TestGuessingAtOnce: guesses that are sent at the same moment are counted before they are
// made.
func TestGuessingAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		const n = 30
		errs := make(chan error, n)
		for i := range n {
			go func() { errs <- s.signIn("ann", fmt.Sprint("guess ", i), "192.0.2.1", "") }()
		}
		made := 0
		for range n {
			if err := <-errs; errors.Is(err, control.ErrSignIn) {
				made++
			} else {
				wait(t, err)
			}
		}
		if made > 5 {
			t.Errorf("%d of %d guesses were made", made, n)
		}
	})
}

// TestManyAccounts tries one password with many accounts from one network: it gets slower
// for whoever has not signed in there before, and for nobody elsewhere.
func TestManyAccounts(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		const campus = "192.0.2.1"
		browser, err := s.Control.RememberBrowser(t.Context(), s.User.UserID, "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			if err := s.signIn(fmt.Sprint("student", i), "Winter2026", campus, ""); !errors.Is(err, control.ErrSignIn) {
				t.Fatalf("account %d: %v", i, err)
			}
		}
		// The first one may be tried, then it takes longer and longer.
		if err := s.signIn("student50", "Winter2026", campus, ""); !errors.Is(err, control.ErrSignIn) {
			t.Fatal(err)
		}
		left := wait(t, s.signIn("ann", annsPassword, campus, ""))
		if err := s.signIn("ann", annsPassword, campus, browser); err != nil {
			t.Errorf("in a known browser: %v", err)
		}
		if err := s.signIn("ann", annsPassword, "192.0.2.2", ""); err != nil {
			t.Errorf("from elsewhere: %v", err)
		}
		s.step(left + time.Second)
		if err := s.signIn("ann", annsPassword, campus, ""); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		s.step(time.Hour)
		for i := range 5 {
			if err := s.signIn(fmt.Sprint("staff", i), "wrong", campus, ""); !errors.Is(err, control.ErrSignIn) {
				t.Errorf("an hour later: %v", err)
			}
		}
	})
}

// TestLongNames: what is too long for a user name or password is neither hashed nor written
// to the log.
func TestLongNames(t *testing.T) {
	var log strings.Builder
	s := servertest.New(t, control.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, in := range []control.Credentials{
		{Username: strings.Repeat("a", 1<<20), Password: "x"},
		{Username: "ann", Password: strings.Repeat("p", 1<<20)},
		{Username: strings.Repeat("\x00\n", 300), Password: "x"},
	} {
		start := time.Now()
		for range 20 {
			if _, err := s.Control.SignIn(t.Context(), in); !errors.Is(err, control.ErrSignIn) {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("20 sign-ins with %d bytes took %v: they were hashed", len(in.Username)+len(in.Password), took)
		}
	}
	if log.Len() > 20_000 {
		t.Errorf("the log has %d bytes: %.300s …", log.Len(), log.String())
	}
}
