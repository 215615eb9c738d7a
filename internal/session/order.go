package session

import (
	"time"

	"leasehold/internal/lease"
)

// Order is what an administrator, or a rule, wants of a session, and how far it has got:
// requested, delivered to the agent, user warned, app closed.
type Order struct {
	Action      Action
	By          Actor
	Reason      string
	UpTo        uint64 // generations up to this are revoked by it
	RequestedAt time.Time
	DeliveredAt time.Time // the agent has stored it
	WarnedAt    time.Time // the user has seen the first warning
	ClosedAt    time.Time
	ClosedBy    string    // ByAgent or ByLapse
	Already     bool      // the app had exited before the order arrived
	ETA         time.Time // by then the app is closed whatever happens
}

// Who closes an order.
const (
	ByAgent = "agent" // it reports the revocation stored and nothing running under it
	ByLapse = "lapse" // the ETA has passed
)

// Open reports whether the app may still be running under what was revoked.
func (o *Order) Open() bool { return o != nil && o.ClosedAt.IsZero() }

// Act carries out an administrator's action: the status moves at once, and an order
// follows the app until it is closed. A message leaves the status as it is; its text is
// the reason. unauthorised is how long an app may run from its
// start without any lease: it bounds the ETA of a run that holds none.
//
// It returns a [*RefusedError], and changes nothing, where the table has no such arrow, or
// too many messages wait.
func (s *Session) Act(a Action, by Actor, reason string, now time.Time, unauthorised time.Duration) error {
	if err := s.Check(a); err != nil {
		return err
	}
	if a == Tell {
		return s.say(by, reason, now)
	}
	s.fire(actionEvents[a], by, now, reason)
	s.LastActivityAt = now
	s.order(a, by, reason, now, unauthorised)
	return nil
}

// order revokes every generation so far and opens an order that ends what runs under
// them. One that replaces an open order keeps the earlier deadline.
func (s *Session) order(a Action, by Actor, reason string, now time.Time, unauthorised time.Duration) {
	old := s.Order
	s.Wanted++
	o := &Order{Action: a, By: by, Reason: reason, UpTo: s.Wanted, RequestedAt: now, ETA: now}
	switch {
	case s.Lease != nil:
		o.ETA = s.Lease.FreeAt
	case s.Observed == IsRunning:
		// It runs without a lease, on its guard's own first deadline.
		o.ETA = later(now, s.ObservedSince.Add(unauthorised))
	}
	if old.Open() && old.ETA.Before(o.ETA) {
		o.ETA = old.ETA
	}
	o.ETA = later(o.ETA, now) // a lease may be over and not swept yet
	if old.Open() {
		o.WarnedAt = old.WarnedAt
	}
	if !now.Before(o.ETA) {
		// Nothing is out that could run: it is done, and nobody has to wait for the time.
		o.ClosedAt, o.ClosedBy = o.ETA, ByLapse
	}
	s.Order = o
}

// settle closes the order if the agent has stored the revocation and nothing runs under
// it any more. Reports from before that never close it.
func (s *Session) settle(now time.Time, without lease.Rule) {
	o := s.Order
	if o == nil || s.Ended < o.UpTo {
		return
	}
	closed := later(o.RequestedAt, now)
	if s.Observed != IsRunning && !s.FirstRunAt.IsZero() && s.ObservedSince.After(o.RequestedAt) {
		closed = s.ObservedSince
	}
	if closed.After(o.ETA) {
		// Nothing that it was for has run since then, though nobody had looked; what was
		// started without a lease before it arrived is not put down to it.
		closed = o.ETA
	}
	switch {
	case o.Open():
		o.ClosedAt, o.ClosedBy = closed, ByAgent
	case o.ClosedBy == ByLapse && closed.Before(o.ClosedAt):
		o.ClosedAt = closed // refined, never reopened
	}
}

// ReasonLapsed is why a session is not running any more whose agent was not heard from until
// its lease had certainly ended.
const ReasonLapsed = "lease lapsed"

// Tick is what time alone does: a lease that has certainly ended is no longer out, a
// session without one is not running, and an order closes at its ETA. now is by the
// lease clock. It reports whether anything changed.
func (s *Session) Tick(now time.Time, without lease.Rule) bool {
	changed := false
	if s.Lease != nil && s.Lease.Over(now) {
		s.Lease = nil
		changed = true
	}
	if s.Lease == nil && (s.Status != Starting) && !without.Has(lease.LapseEnds) {
		if s.fire(EvLapsed, Actor{Role: Server}, now, ReasonLapsed) {
			// As far as anybody knows the app ran until now.
			s.LastActivityAt = later(s.LastActivityAt, now)
			changed = true
		}
	}
	if s.Order.Open() && !now.Before(s.Order.ETA) && !without.Has(lease.OrderEndsAtETA) {
		s.Order.ClosedAt, s.Order.ClosedBy = s.Order.ETA, ByLapse
		changed = true
	}
	if changed {
		s.flagSilent(now)
	}
	return changed
}

// flagSilent flags a session that nobody is heard from: its app cannot run any more,
// whatever was last observed.
func (s *Session) flagSilent(now time.Time) {
	if len(s.Unneeded) == 0 || s.Lease != nil {
		return
	}
	observed := s.Observed
	s.Observed = IsIdle
	s.flag(now)
	s.Observed = observed
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
