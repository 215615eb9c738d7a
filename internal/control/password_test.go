package control_test

import (
	"errors"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

// wrongField fails the test unless the error is about the field and says that.
func wrongField(t *testing.T, err error, field, says string) {
	t.Helper()
	var bad invalid.Error
	if !errors.As(err, &bad) || bad[0].Name != field || !strings.Contains(bad[0].Message, says) {
		t.Errorf("got %v, want %s: %s", err, field, says)
	}
}

// TestChangePassword: people change their own password; common ones and those made of their
// names are refused, wherever one is set; the current one cannot be guessed there.
func TestChangePassword(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		ctx := t.Context()
		set := func(password string) error {
			_, err := s.Control.UpdateUser(ctx, s.Admin, s.User.UserID, password, control.Ending{}, func(*directory.User) error { return nil })
			return err
		}
		wrongField(t, set("password1"), "password", "most common")
		wrongField(t, set("Ann-Berg-2026"), "password", "made of your name")
		wrongField(t, s.Control.CreateUser(ctx, s.Admin, &directory.User{Username: "cleo", Name: "Cleo Diaz"}, "cleodiaz!"), "password", "made of your name")
		if _, err := s.Control.EnsureAdmin(ctx, "root", "iloveyou"); err == nil {
			t.Error("the first administrator has a common password")
		}
		s.withPassword()
		u, err := s.Control.SignIn(ctx, control.Credentials{Username: "ann", Password: annsPassword})
		if err != nil || !u.MustChangePassword {
			t.Fatalf("%+v, %v: a reset need not be changed", u, err)
		}
		// Before it is changed there is no token for it.
		if _, _, err := s.Control.NewToken(ctx, control.Credentials{Username: "ann", Password: annsPassword}); !errors.Is(err, control.ErrMustChange) {
			t.Errorf("a token: %v", err)
		}
		if _, _, err := s.Control.NewNamedToken(ctx, s.User, control.TokenTerms{Name: "x"}); !errors.Is(err, control.ErrMustChange) {
			t.Errorf("a token with a name: %v", err)
		}
		here, there := s.comes(), s.comes()
		change := func(current, password string) error {
			return s.Control.ChangePassword(ctx, s.User, here, current, password)
		}
		wrongField(t, change(annsPassword, "sunshine"), "new_password", "most common")
		wrongField(t, change(annsPassword, annsPassword), "new_password", "must be another one")
		wrongField(t, change(annsPassword, strings.Repeat("x", 1<<20)), "new_password", "too long")
		const own = "a kettle in the harbour"
		wrongField(t, change("guess", own), "current_password", "is not right")
		if err := change(annsPassword, own); err != nil {
			t.Fatal(err)
		}
		s.isIn("here", here, true, true)
		s.isIn("elsewhere", there, false, true)
		if u, err := s.Control.SignIn(ctx, control.Credentials{Username: "ann", Password: own}); err != nil || u.MustChangePassword {
			t.Errorf("with the new password: %+v, %v", u, err)
		}
		if _, err := s.Control.SignIn(ctx, control.Credentials{Username: "ann", Password: annsPassword}); !errors.Is(err, control.ErrSignIn) {
			t.Errorf("with the old one: %v", err)
		}
		for range 5 {
			wrongField(t, change("guess", "another kettle there"), "current_password", "is not right")
		}
		wait(t, change(own, "another kettle there"))
		none := &directory.User{Username: "dana", Name: "Dana"}
		if err := s.Control.CreateUser(ctx, s.Admin, none, ""); err != nil {
			t.Fatal(err)
		}
		if err := s.Control.ChangePassword(ctx, control.WhoIs(none, ""), 0, "", "another kettle there"); !errors.Is(err, control.ErrNoPassword) {
			t.Errorf("without a password: %v", err)
		}
		// An administrator's own new password is theirs.
		id := s.admin("second")
		admin := control.Who{UserID: id, Username: "second", Admin: true}
		if u, err := s.Control.UpdateUser(ctx, admin, id, own, control.Ending{}, func(*directory.User) error { return nil }); err != nil || u.MustChangePassword {
			t.Errorf("%+v, %v", u, err)
		}
		list, _, err := s.Control.Audit(ctx, store.AuditQuery{Action: "user.password", Page: store.Page{}})
		if err != nil || len(list) != 1 {
			t.Errorf("audit %v, %v", list, err)
		}
	})
}
