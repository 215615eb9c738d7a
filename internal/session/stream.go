package session

import (
	"time"

	"leasehold/internal/lease"
)

// Of a streamed session, beside what the table says.
const (
	// StartWithin is how long a host has to bring a session up, from its launch. It is more
	// than a host that is busy needs; one that is later is told to end it.
	StartWithin = 2 * time.Minute
	// SilentAfter is when a host that is not heard from has missed three check-ins, and its
	// sessions are unknown (spec §3).
	SilentAfter = 30 * time.Second
)

// watched applies what a host says of its viewers, and that it is back.
func (s *Session) watched(snap Snapshot, now time.Time, src Source) {
	if s.Kind != Stream {
		return
	}
	if snap.State != IsRunning {
		s.unwatched()
		return
	}
	if snap.Up {
		s.cameUp(src.Agent, now) // it waited for its lease, or the entry that said so was lost
	}
	s.fire(EvBack, src.Agent, now, "")
	s.Viewers, s.UnwatchedSince, s.IdleAt = snap.Viewers, snap.UnwatchedSince, snap.IdleAt
	if s.UnwatchedSince.After(now) {
		s.UnwatchedSince = now // by the host's clock
	}
}

func (s *Session) unwatched() { s.Viewers, s.UnwatchedSince, s.IdleAt = 0, time.Time{}, time.Time{} }

// cameUp says that the display and the app are up. Without a lease, as when the server hears
// of that and of the start at once, it is connected as soon as it has one.
func (s *Session) cameUp(by Actor, at time.Time) {
	if s.covered() && s.fire(EvUp, by, at, "") && s.Viewers == 0 {
		s.UnwatchedSince = later(s.UnwatchedSince, at)
	}
}

// ended ends a stream whose app is over: it failed if it never came up.
func (s *Session) ended(by Actor, at time.Time, reason string) {
	if s.Status == Starting {
		s.fire(EvFailed, by, at, orElse(reason, "the app did not start"))
	} else {
		s.fire(EvEnded, by, at, orElse(reason, "the app was closed"))
	}
	s.unwatched()
}

// cannotStart ends a stream that its host cannot even begin to start. A host needs nothing
// that could be there later, so nobody is kept waiting.
func (s *Session) cannotStart(by Actor, at time.Time, problem string) {
	if s.Status == Starting {
		s.fire(EvFailed, by, at, problem)
	}
}

// End ends a stream because its user wants that: the status moves at once, what runs is
// ended by its host. It reports whether the table lets it.
func (s *Session) End(by Actor, reason string, now time.Time) bool {
	if s.Kind != Stream || !s.fire(EvEnded, by, now, reason) {
		return false
	}
	s.LastActivityAt = now
	s.Wanted++
	return true
}

// Overdue is what time does to a stream whose host is silent, or has not brought it up.
// heard is when the host was last heard from. It reports whether anything changed.
func (s *Session) Overdue(heard Contact, now lease.Now) bool {
	switch {
	case s.Kind != Stream:
	case s.Status == Starting && s.Lease == nil && now.Earliest >= s.StartBy:
		return s.fire(EvFailed, Actor{Role: Server}, now.Wall, "the host did not bring it up in time")
	case s.Status == Connected && now.Earliest >= heard.Lease.Add(SilentAfter):
		return s.fire(EvSilent, Actor{Role: Server}, now.Wall, "nothing heard from the host")
	}
	return false
}

// Outlived takes a stream that ended before a moment off the list as of its end, so that its
// history goes in the same run of the housekeeping, and reports whether it did.
func (s *Session) Outlived(before time.Time) bool {
	if s.Kind != Stream || !s.DeletedAt.IsZero() || !s.Status.Ended() || !s.EndedAt.Before(before) {
		return false
	}
	s.Delete(s.EndedAt)
	return true
}

func orElse(reason, otherwise string) string {
	if reason == "" {
		return otherwise
	}
	return reason
}
