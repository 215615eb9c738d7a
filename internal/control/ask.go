package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// ask decides on a lease for every session that the agent lists.
func (ci *checkIn) ask() error {
	for i := range ci.m.Sessions {
		st := &ci.m.Sessions[i]
		s, err := ci.own(st.Session, fmt.Sprintf("sessions.%d.session", i))
		if err != nil {
			return err
		}
		if s == nil || st.Defer {
			continue
		}
		method := s.LeaseDeliveryMethod()
		dm, err := ci.view.method(method)
		if err != nil {
			return err
		}
		if dm == nil {
			continue
		}
		terms := dm.Terms(ci.set.force())
		snap := snapshot(st)
		hold, err := ci.hold(s, dm.ID, terms, snap)
		if err != nil {
			return err
		}
		var failed error
		grant, refusal := s.Ask(snap, session.Asking{
			Now: ci.now, Terms: terms, Agent: ci.src.Agent, Heard: ci.agent.Contact(), Hold: hold,
			Entitled: func() *session.Refusal {
				_, r, err := ci.view.decide(s.UserID, s.AppID, method, ci.where, ci.now.Wall)
				failed = errors.Join(failed, err)
				return r
			},
			Seat: func() (bool, *session.Refusal) {
				if ci.mode == reads {
					failed = errMustWrite
					return false, nil
				}
				ok, err := ci.takeSeat(s, dm)
				failed = errors.Join(failed, err)
				if ok || err != nil {
					return ok, nil
				}
				return false, ci.noSeat(s, dm)
			},
		})
		if failed != nil {
			return failed
		}
		if grant != nil {
			ci.out.grants = append(ci.out.grants, granted{grant, terms.Length(), st.Challenge})
		}
		if refusal != nil {
			if err := ci.refuse(s, refusal); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold reports whether seats of a delivery method may be out that a restored database has
// forgotten. While they may, a lease that an agent reports and the database does not know
// makes the hold last: others of its length may be out.
func (ci *checkIn) hold(s *session.Session, method int64, terms lease.Terms, snap session.Snapshot) (bool, error) {
	restored, reported, err := ci.tx.RestoreHold(method)
	if err != nil || restored == 0 {
		return false, err
	}
	until := max(reported, restored.Add(terms.Length()+terms.Margin(terms.Length())))
	if ci.now.Earliest >= until {
		return false, nil
	}
	if !snap.Holds || snap.Left < 0 || !ci.now.Signs {
		return true, nil
	}
	end := ci.now.Latest.Add(snap.Left)
	longest := end.Add(terms.Margin(end.Sub(restored)))
	if known := s.Lease != nil && end <= s.Lease.ExpiresAt.Add(time.Second); known || longest <= until {
		return true, nil
	}
	if ci.mode == reads {
		return false, errMustWrite
	}
	return true, ci.tx.ExtendRestoreHold(method, longest)
}

// restored notes that the database is behind this agent, and so behind others: no new
// seat is granted until every lease from before must be over.
func (ci *checkIn) restored() error {
	if ci.mode == reads {
		return errMustWrite
	}
	ci.out.restored = true
	return noteRestored(ci.tx)
}

// noteRestored begins the hold after a restore. It returns lease.ErrNoReading while this
// node cannot read the lease clock.
func noteRestored(tx store.Tx) error {
	now := tx.LeaseNow()
	if !now.Signs {
		return lease.ErrNoReading
	}
	return tx.ExtendRestoreHold(store.NoMethod, now.Latest)
}

// RestartClock is for a database that was restored: nobody may read its lease clock by
// readings from before. It returns once this node reads it anew.
func (c *Control) RestartClock(ctx context.Context) error {
	if err := c.Store.RestartClock(ctx); err != nil {
		return err
	}
	return c.AwaitClock(ctx)
}

// Restored says that the database was restored from a backup: it has forgotten leases, so
// no new seat is granted until every lease from before must be over. Agents that still hold
// theirs are renewed. longest is the longest lease that may be out, beyond what the
// restored database itself says; 0 if that is enough. Call RestartClock first.
func (c *Control) Restored(ctx context.Context, longest time.Duration) error {
	return c.Store.Update(ctx, func(tx store.Tx) error {
		if err := noteRestored(tx); err != nil {
			return err
		}
		if longest > 0 {
			set, err := c.settings(tx)
			if err != nil {
				return err
			}
			margin := lease.Terms{ForceMargin: set.force()}.Margin(longest)
			if err := tx.ExtendRestoreHold(store.EveryMethod, tx.LeaseNow().Latest.Add(longest+margin)); err != nil {
				return err
			}
		}
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: "server", Action: "database.restored", Target: "server", Outcome: "done"})
	})
}
