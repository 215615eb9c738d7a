package control

import (
	"fmt"

	"leasehold/internal/catalog"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// takeSeat takes a seat of the delivery method for the session and reports whether there
// was one.
func (ci *checkIn) takeSeat(s *session.Session, dm *catalog.DeliveryMethod) (bool, error) {
	ok, err := ci.tx.TakeSeat(dm.ID, s.ID, dm.Licence.Seats)
	if ok || err != nil {
		return ok, err
	}
	if err := ci.release(); err != nil {
		return false, err
	}
	return ci.tx.TakeSeat(dm.ID, s.ID, dm.Licence.Seats)
}

// release stores the sessions that gave their leases up with this message, so that others
// find their seats free in the same transaction.
func (ci *checkIn) release() error {
	for _, id := range ci.order {
		if ci.before[id].Lease != nil && ci.sessions[id].Lease == nil {
			if err := ci.saveOne(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// noSeat is what a user is told whose app finds every seat taken; nil if a seat on this very
// device is about to be free, because the session that has it was superseded at rest.
func (ci *checkIn) noSeat(s *session.Session, dm *catalog.DeliveryMethod) *session.Refusal {
	then := "Try again when somebody has closed the app."
	for _, id := range ci.order {
		o, had := ci.sessions[id], ci.before[id].Lease
		if o == s || had == nil || had.DeliveryMethod != dm.ID || o.UserID != s.UserID || o.AppID != s.AppID {
			continue
		}
		if o.Observed != session.IsRunning && o.Wanted >= had.Generation {
			return nil
		}
		then = "You have the app open on this device already: close it there, then start it here again."
		if s.Kind == session.Stream {
			then = "You have the app open already: end that first."
		}
	}
	return &session.Refusal{Code: session.RefusedNoSeat, Message: allSeats(dm.Licence.Seats) + " " + then}
}

func allSeats(n int) string {
	if n == 1 {
		return "The only seat is in use."
	}
	return fmt.Sprintf("All %d seats are in use.", n)
}

func (ci *checkIn) refuse(s *session.Session, r *session.Refusal) error {
	if ci.mode == reads {
		return errMustWrite
	}
	ci.out.answer.Refusals = append(ci.out.answer.Refusals, wire.Refusal{Session: s.ID, Run: s.Run, Code: r.Code, Message: r.Message})
	return ci.tx.AddDenial(store.Denial{
		At: ci.now.Wall, Session: s.ID, Run: s.Run, UserID: s.UserID, AppID: s.AppID,
		DeliveryMethodID: s.DeliveryMethodID, AgentID: s.AgentID, Code: r.Code, Message: r.Message,
	})
}
