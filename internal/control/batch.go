package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Limits of batches.
const (
	MaxBatch    = 1_000_000 // sessions in one
	MaxTicked   = 10_000    // of which by their ids
	BatchAtOnce = 1000      // up to which the caller waits for the outcome
	freezeStep  = 1000      // ids in one transaction
	batchStep   = 200       // sessions acted on in one transaction
)

// BatchRequest asks for an action on many sessions: those of the ids, or all that match
// the filter as it is now.
type BatchRequest struct {
	Action session.Action
	Reason string
	IDs    []int64
	Filter *store.SessionQuery
}

func (r *BatchRequest) validate() error {
	r.Reason = strings.TrimSpace(r.Reason)
	var e invalid.Error
	e.Text("reason", r.Reason, 0, maxReason)
	checkAction(&e, r.Action)
	if (len(r.IDs) == 0) == (r.Filter == nil) {
		e.Add("ids", "must name sessions, or filter must be there in their place: one of both")
	}
	if i := slices.IndexFunc(r.IDs, func(id int64) bool { return id < 1 }); i >= 0 {
		e.Add("ids", "must be the numbers of sessions, from 1 on; %d is none", r.IDs[i])
	}
	if len(r.IDs) > MaxTicked {
		e.Add("ids", "must name at most %d sessions; use filter for more", MaxTicked)
	}
	if r.Filter != nil {
		q := *r.Filter
		q.Sort, q.PageSize, q.PageToken = "id", 1, ""
		var bad invalid.Error
		checkQuery(&bad, q)
		e = append(e, bad.Within("filter")...)
		q.PageSize = 0
		r.Filter = &q
	}
	return e.Err()
}

// Group counts sessions of a batch that are alike.
type Group struct {
	App    string
	Status session.Status
	Why    string // why they are skipped; empty for those affected
	N      int
}

// BatchView is a batch and, before it runs, what it would do now.
type BatchView struct {
	*store.Batch
	Affected []Group
	Skips    []Group
	Now      time.Time
}

// WillAffect counts the sessions that would be affected.
func (b *BatchView) WillAffect() (n int) {
	for _, g := range b.Affected {
		n += g.N
	}
	return n
}

// Preview freezes the sessions that a batch is for and says what it would do to them. It
// does nothing before RunBatch. It returns an [invalid.Error] that names the field which
// is not right.
func (c *Control) Preview(ctx context.Context, who Who, r BatchRequest) (*BatchView, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	if !who.Admin {
		return nil, ErrDenied
	}
	b := &store.Batch{Action: r.Action, Reason: r.Reason, Filter: r.Filter, By: who.Actor(), From: who.From, State: store.BatchFreezing}
	if err := c.Store.Update(ctx, func(tx store.Tx) error {
		b.CreatedAt = tx.WallNow()
		return tx.CreateBatch(b)
	}); err != nil {
		return nil, err
	}
	if err := c.freeze(ctx, b, r.IDs); err != nil {
		return nil, err
	}
	return c.Batch(ctx, who, b.ID)
}

// freeze collects the ids of a batch, a step in a transaction.
func (c *Control) freeze(ctx context.Context, b *store.Batch, ids []int64) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for {
		step := ids[:min(len(ids), freezeStep)]
		ids = ids[len(step):]
		if b.Filter != nil {
			if err := c.Store.View(ctx, func(tx store.Tx) (err error) {
				step, err = tx.MatchingIDs(*b.Filter, b.Reached, freezeStep)
				return err
			}); err != nil {
				return err
			}
		}
		if b.Total+len(step) > MaxBatch {
			return invalid.Of("filter", "matches more than %d sessions; narrow it down", MaxBatch)
		}
		next := *b
		next.Total += len(step)
		last := len(step) < freezeStep
		if last {
			next.State, next.Reached = store.BatchPreview, 0
		} else {
			next.Reached = step[len(step)-1]
		}
		if err := c.Store.Update(ctx, func(tx store.Tx) error {
			if err := tx.AddBatchItems(b.ID, step); err != nil {
				return err
			}
			return tx.SaveBatch(&next)
		}); err != nil {
			return err
		}
		*b = next
		if last {
			return nil
		}
	}
}

const noSession = "there is no session of this number"

// Batch returns a batch, with what it would do if it has not run, or store.ErrNotFound.
func (c *Control) Batch(ctx context.Context, who Who, id int64) (*BatchView, error) {
	if !who.Admin {
		return nil, ErrDenied
	}
	v := &BatchView{}
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		*v = BatchView{Now: tx.WallNow()}
		if v.Batch, err = tx.Batch(id); err != nil || v.State != store.BatchPreview {
			return err
		}
		kinds, err := tx.BatchKinds(id)
		if err != nil {
			return err
		}
		missing := v.Total
		for _, k := range kinds {
			missing -= k.N
			g := Group{App: k.AppName, Status: k.Status, N: k.N}
			if err := session.Check(v.Action, k.Kind, k.Status, k.Running, k.Deleted); err != nil {
				g.Why = err.Error()
				v.Skips = addGroup(v.Skips, g)
			} else {
				v.Affected = addGroup(v.Affected, g)
			}
		}
		if missing > 0 {
			v.Skips = append(v.Skips, Group{Why: noSession, N: missing})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

func addGroup(list []Group, g Group) []Group {
	for i := range list {
		if x := &list[i]; x.App == g.App && x.Status == g.Status && x.Why == g.Why {
			x.N += g.N
			return list
		}
	}
	return append(list, g)
}

// ErrBegun: the batch was begun or stopped before. What is wrapped in it says by whom.
var ErrBegun = errors.New("nothing was done")

// begun is nil if the person asks again for what they began: they may not have had the
// answer. Anybody else must learn that it is not they who did it, nor for their reason.
func begun(b *store.Batch, who Who, reason string) error {
	switch {
	case b.State == store.BatchStopped:
		return fmt.Errorf("%w: batch %d was stopped and does not go on; choose its sessions anew", ErrBegun, b.ID)
	case b.By != who.Actor() || reason != "" && reason != b.Reason:
		why := ""
		if b.Reason != "" {
			why = " with the reason “" + b.Reason + "”"
		}
		return fmt.Errorf("%w: batch %d was begun already, by %s%s", ErrBegun, b.ID, b.By, why)
	}
	return nil
}

// RunBatch begins a batch that was previewed, on behalf of who does so. Up to BatchAtOnce
// sessions are dealt with before it returns; more go on beside, on whichever node is up.
// One that was begun or stopped is left as it is, which is ErrBegun unless the same person
// asks the same again. A reason takes the place of the preview's; it is asked for here,
// since who reads the preview first gives it then.
func (c *Control) RunBatch(ctx context.Context, who Who, id int64, reason string) (*BatchView, error) {
	reason = strings.TrimSpace(reason)
	var e invalid.Error
	e.Text("reason", reason, 0, maxReason)
	if err := e.Err(); err != nil {
		return nil, err
	}
	if !who.Admin {
		return nil, ErrDenied
	}
	total := 0
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		b, err := tx.LockBatch(id)
		if err != nil {
			return err
		}
		total = b.Total
		switch b.State {
		case store.BatchPreview:
		case store.BatchFreezing:
			return invalid.Of("id", "is of a batch that is still being prepared")
		default:
			return begun(b, who, reason)
		}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		b.Reason, b.By, b.From = cmp.Or(reason, b.Reason), who.Actor(), who.From
		if err := v.said(b.Action, b.Reason); err != nil {
			return err
		}
		b.State, b.StartedAt = store.BatchRunning, tx.WallNow()
		if err := tx.SaveBatch(b); err != nil {
			return err
		}
		return tx.AddAudit(audited(b, tx.WallNow(), who, "begun"))
	})
	if err != nil {
		return nil, err
	}
	for more := total <= BatchAtOnce; more; {
		if more, err = c.batchStep(ctx, id); err != nil {
			return nil, err
		}
	}
	return c.Batch(ctx, who, id)
}

// StopBatch ends a batch before it is through. What it did stays done.
func (c *Control) StopBatch(ctx context.Context, who Who, id int64) (*BatchView, error) {
	if !who.Admin {
		return nil, ErrDenied
	}
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		b, err := tx.LockBatch(id)
		if err != nil || b.State == store.BatchDone || b.State == store.BatchStopped {
			return err
		}
		b.State, b.FinishedAt = store.BatchStopped, tx.WallNow()
		if err := tx.SaveBatch(b); err != nil {
			return err
		}
		return tx.AddAudit(audited(b, tx.WallNow(), who, "stopped: "+counted(b)))
	})
	if err != nil {
		return nil, err
	}
	return c.Batch(ctx, who, id)
}

func counted(b *store.Batch) string {
	return fmt.Sprintf("applied to %d, skipped %d", b.Applied, b.Skipped)
}

func audited(b *store.Batch, now time.Time, who Who, outcome string) *store.AuditEntry {
	return &store.AuditEntry{At: now, Actor: who.Actor().String(), From: who.From, Action: "batch." + string(b.Action),
		Target: fmt.Sprintf("batch %d", b.ID), Name: fmt.Sprintf("%d sessions", b.Total), Reason: b.Reason, Outcome: outcome}
}

// RunBatches goes on with every batch that runs until each is through. Any number of
// nodes may do it at once: a batch is locked for each step.
func (c *Control) RunBatches(ctx context.Context) error {
	var running []*store.Batch
	if err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		running, err = tx.Batches(store.BatchRunning, 0, 100)
		return err
	}); err != nil {
		return err
	}
	for _, b := range slices.Backward(running) {
		for more := true; more; {
			var err error
			if more, err = c.batchStep(ctx, b.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// batchStep deals with the next sessions of a batch in one transaction, each checked again
// now that its turn has come. It reports whether there are more.
func (c *Control) batchStep(ctx context.Context, id int64) (more bool, err error) {
	var moved, agents []int64
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		moved, agents, more = nil, nil, false
		b, err := tx.LockBatch(id)
		if err != nil || b.State != store.BatchRunning {
			return err
		}
		items, err := tx.BatchItems(id, "", b.Reached, batchStep)
		if err != nil {
			return err
		}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		t := newTurn()
		for i, item := range items {
			if i > 0 && t.over() {
				more = true
				break
			}
			s, err := v.batchItem(b, &item)
			if err != nil {
				return err
			}
			b.Reached = item.Session
			if item.Outcome == store.Applied {
				b.Applied++
				moved, agents = append(moved, s.ID), append(agents, s.AgentID)
			} else {
				b.Skipped++
			}
			if err := tx.SaveBatchItem(id, item); err != nil {
				return err
			}
		}
		if more = more || len(items) == batchStep; !more {
			b.State, b.FinishedAt = store.BatchDone, tx.WallNow()
			entry := audited(b, tx.WallNow(), Who{}, "done: "+counted(b))
			entry.Actor, entry.From = b.By.String(), b.From
			if err := tx.AddAudit(entry); err != nil {
				return err
			}
		}
		return tx.SaveBatch(b)
	})
	if err != nil {
		return false, fmt.Errorf("control: batch %d: %w", id, err)
	}
	c.told(moved, agents)
	return more, nil
}

// batchItem deals with one session of a batch, locked, and notes what became of it.
func (v view) batchItem(b *store.Batch, item *store.BatchItem) (*session.Session, error) {
	item.Outcome, item.Reason = store.Skipped, noSession
	s, err := orNil(v.tx.LockSession(item.Session))
	if err != nil || s == nil {
		return nil, err
	}
	before := store.Clone(s)
	item.Status = s.Status
	var refused *session.RefusedError
	switch err := v.act(s, b.Action, b.By, b.Reason, v.tx.LeaseNow()); {
	case errors.As(err, &refused):
		item.Reason = refused.Why
		return s, nil
	case err != nil:
		return nil, err
	}
	item.Outcome, item.Reason = store.Applied, ""
	return s, saveSession(v.tx, before, s)
}

// told hints that sessions have changed and that their agents should check in.
func (c *Control) told(sessions, agents []int64) {
	c.Hub.Changed(sessions...)
	for _, a := range slices.Compact(slices.Sorted(slices.Values(agents))) {
		if a != 0 {
			c.Hub.Wake(a)
		}
	}
}
