package session

import (
	"slices"
	"strings"
	"time"

	"leasehold/internal/lease"
)

// Session is one launch of one app by one user on one device or host.
//
// Its fields are what the rules need and what the store keeps; they are changed only by
// the methods of this package, which record every change of Status as a [Transition].
type Session struct {
	ID               int64
	Kind             Kind
	UserID           int64
	AppID            int64
	DeliveryMethodID int64
	ProvisionID      int64 // 0 when the provision is gone
	AgentID          int64 // the device or host; 0 until the launch is redeemed

	Status      Status
	Reason      string // why it has this status, for people; may be empty
	StatusSince time.Time
	Before      Status   // while awaiting expiry: the status to come back to where it matters
	Unneeded    []string // why it is no longer needed, a sorted set; see the Unneeded… names

	Observed      State
	ObservedSince time.Time

	Run uint32 // number of the latest run observed, 0 before the first
	// RunMethod is the delivery method of what that run runs: after an upgrade the old one
	// until it exits. 0 before the first run.
	RunMethod int64
	Mark      uint64 // revocations that the agent had stored when that run started
	Wanted    uint64 // generations up to this are revoked; the next lease is of Wanted+1
	Stored    uint64 // what the agent says it has stored of that
	Ended     uint64 // … and under which nothing runs any more

	Progress int    // percent of the package, while it is added
	Problem  string // what keeps the app from being added, started or upgraded; for people

	Viewers        int       // of a stream: how many watch it now
	UnwatchedSince time.Time // of a stream that is up: since when nobody does; zero while somebody does
	IdleAt         time.Time // of a stream: when its host ends it if nobody uses it until then, once that is near

	Said uint32 // messages to its user so far
	Told uint32 // … that are shown, or were not when the app ended

	StartedAt      time.Time
	StartBy        lease.Time // of a stream: when it has failed unless it is up
	FirstRunAt     time.Time
	LastActivityAt time.Time // a run of the app or an act of a person, never a check-in
	EndedAt        time.Time // set if and only if the status is one that has [Status.Ended]
	DeletedAt      time.Time // off the list, kept in the history

	Lease *lease.Grant // the one out, nil if none
	Order *Order       // the latest, nil if none

	transitions []Transition
	messages    []Message
}

// The reasons for which a session is no longer needed.
const (
	UnneededEntitlement = "entitlement lost"
	UnneededAppDeleted  = "app deleted"
	UnneededSuperseded  = "superseded"
)

// Actor is who moved a session.
type Actor struct {
	Role Role
	Name string // user name of a person, name of an agent; empty for the server
}

// String is "admin ann", "agent LAB-204" or "server".
func (a Actor) String() string { return strings.TrimSpace(string(a.Role) + " " + a.Name) }

// Transition is one change of a session's status. Together they explain the status.
type Transition struct {
	From   Status // "" for the launch
	To     Status
	Event  Event
	At     time.Time // when it really happened, as its actor tells
	Actor  Actor
	Reason string
}

// Launch begins a session: the user clicked Launch.
func Launch(k Kind, user, app, deliveryMethod, provision int64, by Actor, at lease.Now) *Session {
	now := at.Wall
	s := &Session{
		Kind: k, UserID: user, AppID: app, DeliveryMethodID: deliveryMethod, ProvisionID: provision,
		Observed: IsAbsent, ObservedSince: now,
		StartedAt: now, LastActivityAt: now,
	}
	to := Launched
	if k == Stream {
		to, s.StartBy = Starting, at.About(StartWithin)
	}
	s.move(EvLaunch, to, by, now, "")
	return s
}

// TakeTransitions returns the transitions recorded since the last call, oldest first,
// for the store to keep.
func (s *Session) TakeTransitions() []Transition {
	ts := s.transitions
	s.transitions = nil
	return ts
}

// fire moves the status along the table's arrow for the event and reports whether there
// is one.
func (s *Session) fire(e Event, by Actor, at time.Time, reason string) bool {
	a := find(s.Kind, e, s.Status, s.Observed == IsRunning)
	if a == nil {
		return false
	}
	to := a.To
	if to == WhatIsObserved {
		to = s.whatIsObserved()
	}
	if to == AwaitingExpiry {
		s.Before = s.Status
	}
	s.move(e, to, by, at, reason)
	return true
}

func (s *Session) move(e Event, to Status, by Actor, at time.Time, reason string) {
	s.transitions = append(s.transitions, Transition{From: s.Status, To: to, Event: e, At: at, Actor: by, Reason: reason})
	s.Status, s.Reason, s.StatusSince = to, reason, at
	if to != AwaitingExpiry {
		s.Before = ""
	}
	if to.Ended() {
		s.hush()
		if s.EndedAt.IsZero() {
			s.EndedAt = at
		}
	}
}

// whatIsObserved is the status that says what is known, for the arrows that lead back
// from a request or a flag.
func (s *Session) whatIsObserved() Status {
	switch {
	case s.Observed == IsRunning && s.Lease != nil:
		return Running
	case s.Before == Evicted:
		return Evicted
	case s.Observed == IsAbsent && s.Before == Launched:
		return Launched
	case !s.FirstRunAt.IsZero():
		return Stopped
	}
	return Added
}

// Actions lists by which actions an administrator may move the session's status now.
func (s *Session) Actions() []Action {
	if !s.DeletedAt.IsZero() {
		return nil
	}
	return Allowed(s.Kind, s.Status, s.Observed == IsRunning)
}

// Check returns why an action does not apply to the session now, or nil where it does.
func (s *Session) Check(a Action) *RefusedError {
	return Check(a, s.Kind, s.Status, s.Observed == IsRunning, !s.DeletedAt.IsZero())
}

// Duration is how long the session has been active: to its end, or to now.
func (s *Session) Duration(now time.Time) time.Duration {
	if !s.EndedAt.IsZero() {
		now = s.EndedAt
	}
	return max(0, now.Sub(s.StartedAt))
}

// NotNeeded adds a reason why the session is no longer needed and flags it if it is not
// in use; one in use is flagged when it stops.
func (s *Session) NotNeeded(reason string, now time.Time) {
	if i, found := slices.BinarySearch(s.Unneeded, reason); !found {
		s.Unneeded = slices.Insert(s.Unneeded, i, reason)
	}
	s.flag(now)
}

// flag moves a session that is no longer needed to awaiting expiry where the table lets it.
func (s *Session) flag(now time.Time) {
	if len(s.Unneeded) == 0 || s.Observed == IsRunning {
		return
	}
	s.fire(EvNotNeeded, Actor{Role: Server}, now, strings.Join(s.Unneeded, ", "))
	if s.Lease != nil && slices.Contains(s.Unneeded, UnneededSuperseded) {
		// The newer session has its seat as soon as the agent has stored this.
		s.Wanted = max(s.Wanted, s.Lease.Generation)
	}
}

// NeededAgain takes a reason back; with the last one gone the flag goes too.
func (s *Session) NeededAgain(reason string, now time.Time) {
	i, found := slices.BinarySearch(s.Unneeded, reason)
	if !found {
		return
	}
	s.Unneeded = slices.Delete(s.Unneeded, i, i+1)
	if len(s.Unneeded) == 0 {
		again := reason + " no longer"
		if reason == UnneededEntitlement {
			again = "entitled again"
		}
		s.fire(EvNeeded, Actor{Role: Server}, now, again)
	}
}

// DailyExpiry lets housekeeping expire the session, and reports whether it did. What may
// still hold a lease is revoked, so that nothing is left that could run. What runs without
// a lease waits for a reading of lease time.
func (s *Session) DailyExpiry(reason string, now lease.Now) bool {
	by := Actor{Role: Housekeeping}
	if !s.orderable(now) || !s.fire(EvDailyExpiry, by, now.Wall, reason) {
		return false
	}
	s.order(Expire, by, reason, now, 0)
	return true
}

// Delete takes the session off the list: only its history is kept from now on. An open
// order and a lease still out live on until they are over, and its agent is told to remove
// the app.
func (s *Session) Delete(now time.Time) {
	if s.DeletedAt.IsZero() {
		s.DeletedAt = now
	}
}

// Supersede says that there is a newer session of the same app, user and device: this one
// is no longer needed. One at rest is flagged at once and its lease revoked, so that the
// newer one can have the seat (docs/adr/0009); one that runs goes on, and is dealt with so
// when it stops.
func (s *Session) Supersede(now time.Time) {
	s.NotNeeded(UnneededSuperseded, now)
}
