package control_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/servertest"
)

// limit sets the limits of a user.
func (s *stepped) limit(change func(*control.Settings)) {
	s.t.Helper()
	if _, err := s.Control.UpdateSettings(s.t.Context(), s.Admin, func(set *control.Settings) error { change(set); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// many returns how long the error of a limit says to wait, and fails the test unless it says
// that.
func many(t *testing.T, err error, says string) time.Duration {
	t.Helper()
	var e *control.TooManyError
	if !errors.As(err, &e) || !strings.Contains(e.What, says) {
		t.Errorf("got %v, want %q", err, says)
		return 0
	}
	return e.After
}

// TestLaunchLimits: nobody has more sessions or unopened links, or launches more within a
// minute, than the settings let them, however many launches they send at once; others go on.
func TestLaunchLimits(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		launch := func() error {
			_, err := s.Control.Launch(t.Context(), s.User, app.ID, 0)
			return err
		}
		s.limit(func(set *control.Settings) { set.UserUnredeemed = 3 })
		var all sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 12 {
			all.Go(func() {
				err := launch()
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				} else {
					many(t, err, "3 launch links of yours wait to be opened")
				}
			})
		}
		all.Wait()
		if done != 3 {
			t.Errorf("%d launches at once, want 3", done)
		}
		s.limit(func(set *control.Settings) { set.UserUnredeemed, set.UserLaunchesPerMinute = 1000, 4 })
		s.step(20 * time.Second)
		if err := launch(); err != nil {
			t.Fatal(err)
		}
		if after := many(t, launch(), "4 apps within a minute"); after <= 0 || after > 40*time.Second {
			t.Errorf("to be tried again in %v", after)
		}
		s.step(41 * time.Second)
		a := s.agent("LAB-1")
		id := s.added(a, app.ID)
		s.limit(func(set *control.Settings) { set.UserLaunchesPerMinute, set.UserSessions = 1000, 5 })
		if after := many(t, launch(), "You have 5 sessions"); after != 0 {
			t.Errorf("to be tried again in %v", after)
		}
		s.Act(id, "expire", "")
		if err := launch(); err != nil {
			t.Errorf("once one is over: %v", err)
		}
		many(t, launch(), "You have 5 sessions")
	})
}

// TestOpenLimits: nobody has more open at once than the settings let them.
func TestOpenLimits(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		s.limit(func(set *control.Settings) { set.UserEventStreams, set.UserViewers = 3, 2 })
		open := func(kind control.OpenKind, user int64) (func(), error) {
			_, closed, err := s.Control.Open(t.Context(), kind, user, control.By{SignIn: 1})
			return closed, err
		}
		var last func()
		for kind, n := range map[control.OpenKind]int{control.EventStream: 3, control.Viewer: 2} {
			for range n {
				closed, err := open(kind, 7)
				if err != nil {
					t.Fatal(err)
				}
				defer closed()
				if kind == control.Viewer {
					last = closed
				}
			}
		}
		_, err := open(control.EventStream, 7)
		many(t, err, "3 pages open")
		_, err = open(control.Viewer, 7)
		many(t, err, "2 windows open")
		if closed, err := open(control.Viewer, 8); err != nil {
			t.Errorf("another user: %v", err)
		} else {
			closed()
		}
		last()
		if closed, err := open(control.Viewer, 7); err != nil {
			t.Errorf("once one is closed: %v", err)
		} else {
			closed()
		}
	})
}
