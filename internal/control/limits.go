package control

import (
	"fmt"
	"time"

	"leasehold/internal/store"
)

// Limits are what one user may have, whatever they are entitled to: else one person, or a
// program of theirs, takes from all others. 0 is the default.
type Limits struct {
	Sessions          int // that are not over
	Unredeemed        int // of them, launch links that no device has opened yet
	LaunchesPerMinute int
	EventStreams      int // of pages, on a node
	Viewers           int // web sockets that show streams, on a node
}

// MaxLimits are the largest that can be set, for loads that are meant to be large.
var MaxLimits = Limits{1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000}

var defaultLimits = Limits{Sessions: 200, Unredeemed: 20, LaunchesPerMinute: 30, EventStreams: 40, Viewers: 16}

// limits are the settings that are Limits, by name.
var limits = []struct {
	name string
	of   func(*Settings) *int
	std  func(*Limits) *int
}{
	{"user_sessions", func(s *Settings) *int { return &s.UserSessions }, func(l *Limits) *int { return &l.Sessions }},
	{"user_unredeemed", func(s *Settings) *int { return &s.UserUnredeemed }, func(l *Limits) *int { return &l.Unredeemed }},
	{"user_launches_per_minute", func(s *Settings) *int { return &s.UserLaunchesPerMinute }, func(l *Limits) *int { return &l.LaunchesPerMinute }},
	{"user_event_streams", func(s *Settings) *int { return &s.UserEventStreams }, func(l *Limits) *int { return &l.EventStreams }},
	{"user_viewers", func(s *Settings) *int { return &s.UserViewers }, func(l *Limits) *int { return &l.Viewers }},
}

// mayLaunch locks a user and returns a [*TooManyError] unless one more launch is within the
// limits.
func mayLaunch(tx store.Tx, user int64, set *Settings) error {
	// Launches of a user wait for each other here, so that each counts the ones before.
	if _, err := tx.LockUser(user); err != nil {
		return err
	}
	now := tx.WallNow()
	l, err := tx.LaunchLoad(user, now.Add(-time.Minute))
	switch {
	case err != nil:
		return err
	case l.Recent >= set.UserLaunchesPerMinute:
		after := min(time.Minute, max(time.Second, l.First.Add(time.Minute).Sub(now)))
		return &TooManyError{fmt.Sprintf("You have launched %s within a minute, as many as one person may. Try again in %s.", apps(l.Recent), inWords(after)), after}
	case l.Live >= set.UserSessions:
		return &TooManyError{What: fmt.Sprintf("You have %d sessions, as many as one person may have. End some of them, or ask your administrator.", l.Live)}
	case l.Unredeemed >= set.UserUnredeemed:
		return &TooManyError{What: fmt.Sprintf("%d launch links of yours wait to be opened, as many as one person may have. Open one on a device, or ask your administrator to end some of them.", l.Unredeemed)}
	}
	return nil
}

// mayOpen returns a [*TooManyError] unless a user who has n of a kind open may open another.
func mayOpen(kind OpenKind, n int, set *Settings) error {
	switch {
	case kind == EventStream && n >= set.UserEventStreams:
		return &TooManyError{What: fmt.Sprintf("You have %d pages open that are kept up to date, as many as one person may have. Close some of them.", n)}
	case kind == Viewer && n >= set.UserViewers:
		return &TooManyError{What: fmt.Sprintf("You have %d windows open that show streamed apps, as many as one person may have. Close some of them.", n)}
	}
	return nil
}

// apps is a number of apps in words.
func apps(n int) string {
	if n == 1 {
		return "1 app"
	}
	return fmt.Sprintf("%d apps", n)
}
