package session

import (
	"slices"
	"time"

	"leasehold/internal/lease"
)

// Periods are how long a session at rest is kept without activity: a run of the app or an
// act of a person, never a check-in.
type Periods struct {
	Stopped  time.Duration // default 30 days
	Launched time.Duration // default 2 days
	Idle     time.Duration // added, evicted, and an upgrade asked for while not running; default 30 days
}

// Cleanup is one row of the daily cleanup: a session of this status without activity for
// that long expires, to be deleted the following day.
type Cleanup struct {
	Status Status
	After  func(Periods) time.Duration
	Reason string
}

// Cleanups is the daily cleanup (managing-app-sessions, "Possible Statuses"; spec §2,
// "Housekeeping"), in its order. The first three are the reference's.
var Cleanups = []Cleanup{
	{Stopped, func(p Periods) time.Duration { return p.Stopped }, "not used"},
	{Launched, func(p Periods) time.Duration { return p.Launched }, "never added"},
	{AwaitingExpiry, func(Periods) time.Duration { return 0 }, "no longer needed"},
	{Added, func(p Periods) time.Duration { return p.Idle }, "not used since it was added"},
	{Evicted, func(p Periods) time.Duration { return p.Idle }, "not used since it was evicted"},
	{UpgradeRequested, func(p Periods) time.Duration { return p.Idle }, "not used since its upgrade was asked for"},
}

// ExpiresAt is when the daily cleanup may expire the session, as things stand, and the row
// that says so; nil if it never does.
func (s *Session) ExpiresAt(p Periods) (time.Time, *Cleanup) {
	if !s.DeletedAt.IsZero() || find(s.Kind, EvDailyExpiry, s.Status, s.Observed == IsRunning) == nil {
		return time.Time{}, nil
	}
	for i := range Cleanups {
		if c := &Cleanups[i]; c.Status == s.Status {
			if c.Status == AwaitingExpiry {
				return s.StatusSince, c
			}
			return s.LastActivityAt.Add(c.After(p)), c
		}
	}
	return time.Time{}, nil
}

// Clean lets the daily cleanup that runs at now expire the session if it is due, and
// reports whether it did.
func (s *Session) Clean(p Periods, now lease.Now) bool {
	at, c := s.ExpiresAt(p)
	return c != nil && !now.Wall.Before(at) && s.DailyExpiry(c.Reason, now)
}

// Deletable lists the statuses whose sessions the daily cleanup deletes once they have had
// them since before the calendar day.
var Deletable = []Status{Removed, Expired}

// DeleteBefore deletes the session if it became removed or expired before the beginning of
// the day on which the cleanup runs, and reports whether it did.
func (s *Session) DeleteBefore(day, now time.Time) bool {
	if !s.DeletedAt.IsZero() || !slices.Contains(Deletable, s.Status) || !s.StatusSince.Before(day) {
		return false
	}
	s.Delete(now)
	return true
}
