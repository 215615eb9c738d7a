package control_test

import (
	"errors"
	"fmt"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

func (s *stepped) admins() (n int) {
	s.t.Helper()
	if err := s.Store.View(s.t.Context(), func(tx store.Tx) (err error) {
		n, err = tx.CountAdmins()
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestSetupOnce posts the one-time set-up link many times at once, with different names: it
// makes one administrator.
func TestSetupOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		link, err := s.Control.EnsureAdmin(t.Context(), "", "")
		if err != nil || link == "" {
			t.Fatalf("%q, %v", link, err)
		}
		const n = 12
		errs := make(chan error, n)
		for i := range n {
			go func() {
				_, err := s.Control.Setup(t.Context(), link, fmt.Sprint("admin", i), "Admin", annsPassword, "192.0.2.1")
				errs <- err
			}()
		}
		made := 0
		for range n {
			if err := <-errs; err == nil {
				made++
			} else if !errors.Is(err, control.ErrDenied) {
				t.Error(err)
			}
		}
		if made != 1 || s.admins() != 1 {
			t.Errorf("%d were told that they are the administrator, %d are", made, s.admins())
		}
	})
}

// TestFirstAdminOnce starts several nodes at once with a first administrator's name and
// password: there is one, and every node starts.
func TestFirstAdminOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		const n = 6
		errs := make(chan error, n)
		for i := range n {
			go func() {
				_, err := s.Control.EnsureAdmin(t.Context(), fmt.Sprint("root", i%2), annsPassword)
				errs <- err
			}()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if s.admins() != 1 {
			t.Errorf("%d administrators", s.admins())
		}
	})
}

// TestLastAdminOnce has two administrators take the role from each other at once: one stays.
func TestLastAdminOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		ids := make([]int64, 2)
		for i := range ids {
			ids[i] = s.admin(fmt.Sprint("admin", i))
		}
		errs := make(chan error, 2)
		for _, id := range ids {
			go func() { errs <- s.Control.DeleteUser(t.Context(), s.Admin, id, control.Ending{}) }()
		}
		done := 0
		for range ids {
			if err := <-errs; err == nil {
				done++
			} else if !errors.Is(err, control.ErrLastAdmin) {
				t.Error(err)
			}
		}
		if done != 1 || s.admins() != 1 {
			t.Errorf("%d were deleted, %d administrators are left", done, s.admins())
		}
	})
}

// admin makes an administrator without a password and returns their id.
func (s *stepped) admin(username string) int64 {
	s.t.Helper()
	u := &directory.User{Username: username, Name: username, Role: directory.RoleAdmin}
	if err := s.Control.CreateUser(s.t.Context(), s.Admin, u, ""); err != nil {
		s.t.Fatal(err)
	}
	return u.ID
}
