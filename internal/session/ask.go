package session

import "leasehold/internal/lease"

// RefusalCode is why an agent gets no lease.
type RefusalCode string

const (
	RefusedEnded      RefusalCode = "ended"        // expired, removed, killed … or deleted
	RefusedEntitled   RefusalCode = "not_entitled" // no provision lets this user run it now
	RefusedSuspended  RefusalCode = "suspended"    // the app or the user
	RefusedNoSeat     RefusalCode = "no_seat"      //
	RefusedNoHost     RefusalCode = "no_host"      // no host of the pool has room
	RefusedQuarantine RefusalCode = "quarantined"  // a copied state folder
)

// Refusal tells an agent, and through it the user, why there is no lease and what to do.
type Refusal struct {
	Code    RefusalCode
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Asking is what a request for a lease is decided on.
type Asking struct {
	Now   lease.Now
	Terms lease.Terms
	Heard Contact // the last contact with the agent before this one
	// Entitled says whether the user may run this app now, nil if so.
	Entitled func() *Refusal
	// Seat takes a seat for a new holder and reports whether it did. Without a refusal one
	// is about to be free, and the answer waits for it. It is asked last.
	Seat func() (taken bool, refusal *Refusal)
	// Hold is set while seats may be out that a restored database has forgotten: then only
	// an agent that still holds its lease is renewed, and nobody is refused for good.
	Hold    bool
	Agent   Actor
	Without lease.Rule
}

// Ask decides whether the session's agent gets a lease with this answer. It is called
// after the check-in's observations were applied, never for a stale check-in or a
// quarantined agent.
//
// It returns a grant to sign, or a refusal, or neither: nothing is due, or the answer is
// pending. While the latest lease time is not known nothing is granted or refused. A
// refused renewal evicts.
func (s *Session) Ask(snap Snapshot, a Asking) (*lease.Grant, *Refusal) {
	// A lease that is over gives no claim to its seat, though nobody has swept it yet.
	s.Tick(a.Now, a.Heard, a.Without)
	if s.Status.Ended() || !s.DeletedAt.IsZero() {
		if s.Observed == IsRunning {
			return nil, &Refusal{RefusedEnded, "This session is " + label(s.Status) + ". Launch the app again from the portal."}
		}
		return nil, nil
	}
	if a.Terms.Kind == lease.Floating && s.Observed != IsRunning {
		return nil, nil
	}
	if s.Observed == IsAbsent {
		return nil, nil
	}
	// After a revocation only a run that started when it was stored may have the next
	// generation; one that runs on from before is being ended.
	mark := s.Stored
	if s.Observed == IsRunning {
		mark = s.Mark
	}
	if mark < s.Wanted && !a.Without.Has(lease.RunAfterRevocation) {
		return nil, nil
	}
	if !a.Now.Signs {
		return nil, nil
	}
	generation := s.Wanted + 1
	current := s.Lease != nil && s.Lease.Generation == generation && (s.Lease.Kind == lease.Fixed || s.Lease.Run == s.Run)
	if !current && a.Terms.Kind == lease.Fixed && s.Observed != IsRunning && s.Wanted > 0 {
		// What was returned or revoked comes back with the next run, not by itself.
		return nil, nil
	}
	deliveryMethod := s.LeaseDeliveryMethod()
	// A holder has its seat already. After a restored database an agent may hold a lease
	// that the server has forgotten: renewing it puts no further seat out. The other way
	// round, a row may name a holder whose seat has gone to somebody else since.
	holder := s.Lease != nil && s.Lease.DeliveryMethod == deliveryMethod || a.Hold && snap.Holds
	if a.Hold && !snap.Holds && !a.Without.Has(lease.HoldRenewals) {
		return nil, nil
	}
	if current && snap.Holds && !s.Lease.RenewalDue(a.Terms, a.Now, snap.Left, a.Without) {
		return nil, nil
	}
	was := *s
	if current && a.Terms.Kind == lease.Fixed {
		s.fire(EvRenewalAsked, a.Agent, a.Now.Wall, "")
	}
	refusal := a.Entitled()
	if refusal == nil && !holder {
		if a.Hold {
			return nil, nil
		}
		var taken bool
		if taken, refusal = a.Seat(); !taken && refusal == nil {
			return nil, nil
		}
	}
	if refusal != nil {
		if holder {
			s.refuseRenewal(refusal, a)
		}
		return nil, refusal
	}
	s.Lease = lease.NewGrant(a.Terms, s.ID, deliveryMethod, generation, s.Run, a.Now, s.Lease, a.Without)
	if snap.Holds && !a.Without.Has(lease.HoldReported) {
		s.Lease.Cover(a.Terms, a.Now, snap.Left)
	}
	if s.Observed == IsRunning && !s.fire(EvRenewalGranted, Actor{Role: Server}, a.Now.Wall, "") && !current {
		s.fire(EvStarted, Actor{Role: Server}, a.Now.Wall, "lease granted")
	}
	if current && s.Status == was.Status {
		// Asked and granted at once: since when it runs, and why, is as before.
		s.StatusSince, s.Reason = was.StatusSince, was.Reason
	}
	if snap.Up {
		s.cameUp(a.Agent, a.Now.Wall)
	}
	g := *s.Lease
	return &g, nil
}

// LeaseDeliveryMethod is the delivery method whose terms and seats the next grant is
// under: the session's, but after an upgrade a run of the old version goes on under the
// old one until it exits, and so does a fixed lease until the agent gives it back.
func (s *Session) LeaseDeliveryMethod() int64 {
	switch {
	case s.Observed == IsRunning && s.RunMethod != 0:
		return s.RunMethod
	case s.Lease != nil:
		return s.Lease.DeliveryMethod
	}
	return s.DeliveryMethodID
}

// refuseRenewal evicts a holder: the refusal is an order by the server.
func (s *Session) refuseRenewal(r *Refusal, a Asking) {
	s.fire(EvRenewalAsked, a.Agent, a.Now.Wall, "")
	if s.fire(EvRenewalRefused, Actor{Role: Server}, a.Now.Wall, r.Message) || s.Lease != nil {
		s.order(Evict, Actor{Role: Server}, r.Message, a.Now, 0)
	}
}
