package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Ending says what becomes of the sessions that a change leaves without entitlement. One
// that runs is refused at its next renewal; with Now it is evicted at once. One that does
// not run is flagged either way.
type Ending struct {
	Now    bool
	Reason string // for the order and the audit log
}

// checkScan is how many sessions one transaction of a check looks at.
const checkScan = 200

// check leaves the work that a change makes: the entitlement of the sessions in the scope
// is looked at again, by whichever node comes first.
func check(tx store.Tx, by session.Actor, from string, end Ending, scope store.Scope, refs ...int64) error {
	for _, ref := range refs {
		err := tx.AddCheck(&store.Check{Scope: scope, Ref: ref, EndRunning: end.Now, Reason: end.Reason, By: by, From: from, CreatedAt: tx.WallNow()})
		if err != nil {
			return err
		}
	}
	return nil
}

// left is check for a change that a person makes. Ending what runs asks for a reason as
// evicting it does.
func (c *Control) left(tx store.Tx, who Who, end Ending, scope store.Scope, refs ...int64) error {
	if end.Now {
		set, err := c.settings(tx)
		if err != nil {
			return err
		}
		if err := set.reasonGiven(end.Reason); err != nil {
			return err
		}
	}
	return check(tx, who.Actor(), who.From, end, scope, refs...)
}

// changedIDs are those in one of two lists and not in both.
func changedIDs(a, b []int64) []int64 {
	var out []int64
	for _, id := range a {
		if !slices.Contains(b, id) {
			out = append(out, id)
		}
	}
	for _, id := range b {
		if !slices.Contains(a, id) {
			out = append(out, id)
		}
	}
	return out
}

// Check does what changes to the directory and the catalogue have left to do, and flags
// the sessions of provisions that began or ended meanwhile. Any number of nodes may do it
// at once: a check is locked while it is worked on.
func (c *Control) Check(ctx context.Context) error {
	if err := c.turn(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		more, err := c.checkStep(ctx)
		if err != nil || !more {
			return err
		}
	}
	return ctx.Err()
}

// checkStep works on the oldest check for one transaction. It reports whether there was one.
func (c *Control) checkStep(ctx context.Context) (bool, error) {
	var oldest *store.Check
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		oldest, err = orNil(tx.NextCheck())
		return err
	})
	if err != nil || oldest == nil {
		return false, err
	}
	var moved, agents []int64
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		moved, agents = nil, nil
		k, err := orNil(tx.LockCheck(oldest.ID))
		if err != nil || k == nil {
			return err // another node has finished it
		}
		if k.Scope.Sorts() {
			k.Reached, err = tx.Resort(k.Scope, k.Ref, k.Reached, checkScan)
			if err != nil {
				return err
			}
			return tx.SaveCheck(k, k.Reached == 0)
		}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		ids, next, err := tx.ToCheck(k.Scope, k.Ref, k.Reached, checkScan)
		if err != nil {
			return err
		}
		t := newTurn()
		for i, id := range ids {
			if i > 0 && t.over() {
				next = ids[i-1]
				break
			}
			s, err := tx.LockSession(id)
			if err != nil {
				return err
			}
			before := store.Clone(s)
			if err := v.recheck(s, k, tx.LeaseNow()); err != nil {
				return err
			}
			if !changed(before, s) {
				continue
			}
			if err := saveSession(tx, before, s); err != nil {
				return err
			}
			moved, agents = append(moved, id), append(agents, s.AgentID)
		}
		k.Reached = next
		return tx.SaveCheck(k, next == 0)
	})
	if err != nil {
		return false, fmt.Errorf("control: check entitlements: %w", err)
	}
	c.told(moved, agents)
	return true, nil
}

// recheck looks at a locked session's entitlement again.
func (v view) recheck(s *session.Session, k *store.Check, at lease.Now) error {
	now := at.Wall
	if s.Status.Ended() || !s.DeletedAt.IsZero() {
		return nil
	}
	var where directory.Where // the network of a session at rest is not known
	if s.AgentID != 0 {
		a, err := orNil(v.tx.Agent(s.AgentID))
		if err != nil {
			return err
		}
		if a != nil {
			where = whereFrom("", a)
		}
	}
	p, refusal, err := v.decide(s.UserID, s.AppID, s.LeaseDeliveryMethod(), where, now)
	if err != nil {
		return err
	}
	if refusal == nil {
		s.NeededAgain(session.UnneededEntitlement, now)
		s.NeededAgain(session.UnneededAppDeleted, now)
		s.ProvisionID = p.ID
		return nil
	}
	a, err := v.app(s.AppID)
	if err != nil {
		return err
	}
	reason := session.UnneededEntitlement
	if a == nil || !a.DeletedAt.IsZero() {
		reason = session.UnneededAppDeleted
	}
	s.NotNeeded(reason, now)
	end := session.Ending(s.Kind)
	if k.EndRunning && session.Check(end, s.Kind, s.Status, s.Observed == session.IsRunning, false) == nil {
		why := k.Reason
		if why == "" {
			why = refusal.Message
		}
		return v.act(s, end, k.By, why, at)
	}
	return nil
}

// dutyTurns is the duty of noticing that a provision begins or ends by its dates. Its mark
// is the moment up to which that was noticed.
const (
	dutyTurns = "provisions"
	turnEvery = 10 * time.Second
)

// turn leaves checks for the provisions that have begun or ended since it was last called.
func (c *Control) turn(ctx context.Context) error {
	c.turns.Lock()
	defer c.turns.Unlock()
	now := c.Elapsed()
	if c.turns.begun && now-c.turns.last < turnEvery {
		return nil
	}
	c.turns.begun, c.turns.last = true, now
	return c.Store.Update(ctx, func(tx store.Tx) error {
		term, mark, err := tx.ClaimDuty(dutyTurns, c.node, turnEvery)
		if errors.Is(err, store.ErrHeld) {
			return nil
		}
		if err != nil {
			return err
		}
		from := tx.WallNow()
		if mark != "" {
			if from, err = time.Parse(time.RFC3339Nano, mark); err != nil {
				return fmt.Errorf("control: mark of the duty %s: %w", dutyTurns, err)
			}
		}
		ids, err := tx.ProvisionsTurned(from, tx.WallNow())
		if err != nil {
			return err
		}
		for _, id := range ids {
			p, err := orNil(tx.Provision(id))
			if err != nil {
				return err
			}
			if p == nil {
				continue
			}
			if err := check(tx, session.Actor{Role: session.Server}, "", Ending{}, store.OfMethod, p.DeliveryMethodIDs...); err != nil {
				return err
			}
		}
		return tx.MarkDuty(dutyTurns, term, tx.WallNow().Format(time.RFC3339Nano))
	})
}
