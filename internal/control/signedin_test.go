package control_test

import (
	"context"
	"errors"

	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// comes signs the user in as a browser does and returns the sign-in.
func (s *stepped) comes() int64 {
	s.t.Helper()
	u, err := s.Control.SignIn(s.t.Context(), control.Credentials{Username: "ann", Password: annsPassword})
	if err != nil {
		s.t.Fatal(err)
	}
	x, err := s.Control.BeginSignIn(s.t.Context(), u, "192.0.2.1", "Firefox")
	if err != nil {
		s.t.Fatal(err)
	}
	return x.ID
}

func (s *stepped) isIn(what string, id int64, want, used bool) {
	s.t.Helper()
	_, err := s.Control.SignedIn(s.t.Context(), id, used)
	if err != nil && !errors.Is(err, control.ErrSignIn) || (err == nil) != want {
		s.t.Errorf("%s: signed in is %v, want %v (%v)", what, err == nil, want, err)
	}
}

func (s *stepped) change(what func(*directory.User), password string) {
	s.t.Helper()
	if _, err := s.Control.UpdateUser(s.t.Context(), s.Admin, s.User.UserID, password, control.Ending{}, func(u *directory.User) error { what(u); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// TestSignInLimits: a sign-in ends when nobody has used it for as long as the setting says,
// and after the longest time in any case.
func TestSignInLimits(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(set *control.Settings) error {
			set.SignInIdleSeconds, set.SignInSeconds = 600, 3600
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		idle, used := s.comes(), s.comes()
		for range 7 {
			s.step(8 * time.Minute)
			s.isIn("one that is used", used, true, true)
			// A page that is left open asks, too, and does not use it.
			_, _ = s.Control.SignedIn(t.Context(), idle, false)
		}
		s.isIn("one that nobody uses", idle, false, true)
		if list, err := s.Control.SignIns(t.Context(), s.User); err != nil || len(list) != 1 || list[0].ID != used || list[0].Browser != "Firefox" {
			t.Errorf("sign-ins %v, %v", list, err)
		}
		s.step(5 * time.Minute)
		s.isIn("after the longest time", used, false, true)
	})
}

// TestWhatEndsSignIns: whatever takes something from a user ends all that they are signed in
// by, with what is open by it, and giving it back revives none of it.
func TestWhatEndsSignIns(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		for _, x := range []struct {
			name     string
			do, undo func()
		}{
			{"suspend", func() { s.change(func(u *directory.User) { u.Status = directory.Suspended }, "") }, func() { s.change(func(u *directory.User) { u.Status = directory.Active }, "") }},
			{"promotion", func() { s.change(func(u *directory.User) { u.Role = directory.RoleAdmin }, "") }, func() {}},
			{"demotion", func() { s.admin("second"); s.change(func(u *directory.User) { u.Role = directory.RoleUser }, "") }, func() {}},
			{"a new password", func() { s.change(func(*directory.User) {}, "another long one") }, func() { s.change(func(*directory.User) {}, annsPassword) }},
		} {
			id := s.comes()
			s.owns()
			token, _, err := s.Control.NewToken(t.Context(), control.Credentials{Username: "ann", Password: annsPassword})
			if err != nil {
				t.Fatal(err)
			}
			var open []<-chan struct{}
			for _, kind := range []control.OpenKind{control.EventStream, control.Viewer, control.Download} {
				ctx, closed, err := s.Control.Open(t.Context(), kind, s.User.UserID, control.By{SignIn: id})
				if err != nil {
					t.Fatal(err)
				}
				defer closed()
				open = append(open, ctx.Done())
			}
			_, k, err := s.Control.Bearer(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			ctx, closed, err := s.Control.Open(t.Context(), control.Download, s.User.UserID, control.By{Token: k.ID})
			if err != nil {
				t.Fatal(err)
			}
			defer closed()
			open = append(open, ctx.Done())
			s.isIn("before "+x.name, id, true, true)
			x.do()
			for i, done := range open {
				select {
				case <-done:
				default:
					t.Errorf("%s: what is open (%d) is not ended at once", x.name, i)
				}
			}
			for _, when := range []string{"after ", "after the end of "} {
				s.isIn(when+x.name, id, false, true)
				if _, _, err := s.Control.Bearer(t.Context(), token); !errors.Is(err, control.ErrSignIn) {
					t.Errorf("%s%s: the token is good: %v", when, x.name, err)
				}
				x.undo()
			}
		}
	})
}

// TestSignInDuringSuspension: a sign-in whose password was checked just before the account
// was suspended does not begin after it.
func TestSignInDuringSuspension(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		u, err := s.Control.SignIn(t.Context(), control.Credentials{Username: "ann", Password: annsPassword})
		if err != nil {
			t.Fatal(err)
		}
		s.change(func(u *directory.User) { u.Status = directory.Suspended }, "")
		if _, err := s.Control.BeginSignIn(t.Context(), u, "", ""); !errors.Is(err, control.ErrSignIn) {
			t.Errorf("it begins: %v", err)
		}
		s.change(func(u *directory.User) { u.Status = directory.Active }, annsPassword+"!")
		if _, err := s.Control.BeginSignIn(t.Context(), u, "", ""); !errors.Is(err, control.ErrSignIn) {
			t.Errorf("it begins with the old password: %v", err)
		}
	})
}

// TestOwnSignIns: people end their own sign-ins, one or all others, and nobody else's. What
// is open by them on another node ends within a beat.
func TestOwnSignIns(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		one, two, three := s.comes(), s.comes(), s.comes()
		ctx, closed, err := s.Control.Open(t.Context(), control.EventStream, s.User.UserID, control.By{SignIn: three})
		if err != nil {
			t.Fatal(err)
		}
		defer closed()
		other, err := control.New(t.Context(), control.Config{Store: s.Store, PublicURL: s.Control.PublicURL})
		if err != nil {
			t.Fatal(err)
		}
		stranger := control.Who{UserID: s.User.UserID + 1}
		if err := other.EndSignIn(t.Context(), stranger, one); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a stranger ends it: %v", err)
		}
		if err := other.EndOtherSignIns(t.Context(), stranger, 0); err != nil {
			t.Fatal(err)
		}
		if err := other.EndSignIn(t.Context(), s.User, one); err != nil {
			t.Fatal(err)
		}
		s.isIn("one that was ended", one, false, true)
		s.isIn("another one", three, true, true)
		if err := other.EndOtherSignIns(t.Context(), s.User, two); err != nil {
			t.Fatal(err)
		}
		s.isIn("the one that was kept", two, true, true)
		s.isIn("the third", three, false, true)
		s.step(time.Second)
		if !errors.Is(context.Cause(ctx), control.ErrSignIn) {
			t.Errorf("what is open on this node: %v", context.Cause(ctx))
		}
	})
}

// TestViewerIsUse: whoever watches a stream uses their sign-in.
func TestViewerIsUse(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.withPassword()
		watching, idle := s.comes(), s.comes()
		for id, kind := range map[int64]control.OpenKind{watching: control.Viewer, idle: control.EventStream} {
			_, closed, err := s.Control.Open(t.Context(), kind, s.User.UserID, control.By{SignIn: id})
			if err != nil {
				t.Fatal(err)
			}
			defer closed()
		}
		for range 13 {
			s.step(10 * time.Minute)
		}
		s.isIn("watching", watching, true, false)
		s.isIn("a page left open", idle, false, false)
	})
}

// owns says that the user's password is theirs alone.
func (s *stepped) owns() {
	s.t.Helper()
	s.change(func(u *directory.User) { u.MustChangePassword = false }, "")
}
