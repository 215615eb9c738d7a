package session

import (
	"fmt"
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
	ClosedBy    string     // ByAgent or ByLapse
	Already     bool       // the app had exited before the order arrived
	ETA         lease.Time // by then the app is closed whatever happens
	Promised    time.Time  // the ETA by the wall clock, as of when the order was given, or closed
	ClosesAt    time.Time  // when the device says that it closes the app; zero until it answers
}

// Who closes an order.
const (
	ByAgent = "agent" // it reports the revocation stored and nothing running under it
	ByLapse = "lapse" // the ETA has passed
)

// Forecast is when the app of an open order is closed: as the device has said, or at the
// latest moment, while it has not answered.
type Forecast struct {
	At     time.Time // by the wall clock; zero if no order is open
	Latest bool      // it may be earlier
}

// Forecast says when the app that an order is for is closed.
func (o *Order) Forecast(now lease.Now) Forecast {
	switch {
	case !o.Open():
		return Forecast{}
	case !o.ClosesAt.IsZero():
		return Forecast{At: o.ClosesAt}
	}
	return Forecast{At: now.Shown(o.ETA), Latest: true}
}

// answered notes when the device says that it closes the app, in so long from now. It says
// so again with every check-in, and what differs by less than a second is the same.
func (o *Order) answered(in time.Duration, now lease.Now) {
	at := now.Wall.Add(in)
	if d := at.Sub(o.ClosesAt); d.Abs() >= time.Second {
		o.ClosesAt = at
	}
}

// close closes the order. Lease time may have gone slower than the wall clock since it was
// given, which put its ETA off.
func (o *Order) close(at time.Time, by string) {
	o.ClosedAt, o.ClosedBy, o.Promised = at, by, later(o.Promised, at)
}

// Open reports whether the app may still be running under what was revoked.
func (o *Order) Open() bool { return o != nil && o.ClosedAt.IsZero() }

// Act carries out an administrator's action: the status moves at once, and an order
// follows the app until it is closed. A message leaves the status as it is; its text is
// the reason. unauthorised is how long an app may run from its
// start without any lease: it bounds the ETA of a run that holds none.
//
// It returns a [*RefusedError], and changes nothing, where the table has no such arrow, or
// too many messages wait; and [lease.ErrNoReading] where the ETA cannot be told now.
func (s *Session) Act(a Action, by Actor, reason string, now lease.Now, unauthorised time.Duration) error {
	if err := s.Check(a); err != nil {
		return err
	}
	if a == Tell {
		return s.say(by, reason, now.Wall)
	}
	if !s.orderable(now) {
		return lease.ErrNoReading
	}
	s.fire(actionEvents[a], by, now.Wall, reason)
	s.LastActivityAt = now.Wall
	s.order(a, by, reason, now, unauthorised)
	return nil
}

// orderable reports whether an order's ETA can be told now: one over a run that holds no
// lease needs the latest reading of lease time.
func (s *Session) orderable(now lease.Now) bool {
	return now.Signs || s.Lease != nil || s.Observed != IsRunning
}

// order revokes every generation so far and opens an order that ends what runs under
// them. One that replaces an open order keeps the earlier deadline. The caller has checked
// that it is orderable.
func (s *Session) order(a Action, by Actor, reason string, now lease.Now, unauthorised time.Duration) {
	old := s.Order
	s.Wanted++
	o := &Order{Action: a, By: by, Reason: reason, UpTo: s.Wanted, RequestedAt: now.Wall, ETA: now.Earliest}
	switch {
	case s.Lease != nil:
		o.ETA = s.Lease.FreeAt
	case s.Observed == IsRunning:
		// It runs without a lease, on its guard's own first deadline, which began before now.
		o.ETA = now.Latest.Add(unauthorised)
	}
	if old.Open() {
		o.ETA, o.WarnedAt = min(o.ETA, old.ETA), old.WarnedAt
	}
	o.ETA = max(o.ETA, now.Earliest) // a lease may be over and not swept yet
	o.Promised = later(now.Wall, now.Shown(o.ETA))
	if now.Earliest >= o.ETA {
		// Nothing is out that could run: it is done, and nobody has to wait for the time.
		o.close(now.Wall, ByLapse)
	}
	s.Order = o
}

// settle closes the order if the agent has stored the revocation and nothing runs under
// it any more. Reports from before that never close it.
func (s *Session) settle(now lease.Now, without lease.Rule) {
	o := s.Order
	if o == nil || s.Ended < o.UpTo {
		return
	}
	closed := later(o.RequestedAt, now.Wall)
	if s.Observed != IsRunning && !s.FirstRunAt.IsZero() && s.ObservedSince.After(o.RequestedAt) {
		closed = s.ObservedSince
	}
	if eta := now.Shown(o.ETA); closed.After(eta) {
		// Nothing that it was for has run since then, though nobody had looked; what was
		// started without a lease before it arrived is not put down to it.
		closed = later(o.RequestedAt, eta)
	}
	switch {
	case o.Open():
		o.close(closed, ByAgent)
	case o.ClosedBy == ByLapse && closed.Before(o.ClosedAt):
		o.ClosedAt = closed // refined, never reopened
	}
}

// ReasonLapsed begins the reason of a session that is not running any more because its
// lease has certainly ended and nobody renewed it.
const ReasonLapsed = "lease lapsed"

// Contact is when the agent of a session was last heard from. The zero Contact is an agent
// that never was.
type Contact struct {
	Agent string     // its name
	At    time.Time  // for people
	Lease lease.Time // by the earliest reading
}

// lapsed says of a lapse what was not heard, and since when.
func lapsed(l *lease.Grant, now lease.Now, heard Contact) string {
	const at = "2006-01-02 15:04:05 MST"
	switch {
	case heard.Lease == 0:
		return ReasonLapsed + ": nothing was heard from the device"
	case l != nil && heard.Lease >= l.ExpiresAt:
		return fmt.Sprintf("%s: not renewed since %s, though %s was heard from until %s", ReasonLapsed, now.Shown(l.GrantedAt).UTC().Format(at), heard.Agent, heard.At.UTC().Format(at))
	}
	return fmt.Sprintf("%s: nothing heard from %s since %s", ReasonLapsed, heard.Agent, heard.At.UTC().Format(at))
}

// Tick is what time alone does: a lease that has certainly ended is no longer out, a
// session without one is not running, and an order closes at its ETA. heard is when its
// agent was last heard from. It reports whether anything changed.
func (s *Session) Tick(now lease.Now, heard Contact, without lease.Rule) bool {
	changed := false
	was := s.Lease
	if s.Lease != nil && s.Lease.Over(now, without) {
		s.Lease = nil
		changed = true
	}
	if s.Lease == nil && (s.Status != Starting) && !without.Has(lease.LapseEnds) {
		if s.fire(EvLapsed, Actor{Role: Server}, now.Wall, lapsed(was, now, heard)) {
			// As far as anybody knows the app ran until now.
			s.LastActivityAt = later(s.LastActivityAt, now.Wall)
			changed = true
		}
	}
	if s.Order.Open() && now.Earliest >= s.Order.ETA && !without.Has(lease.OrderEndsAtETA) {
		s.Order.close(later(s.Order.RequestedAt, now.Shown(s.Order.ETA)), ByLapse)
		changed = true
	}
	if changed {
		s.flagSilent(now.Wall)
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
