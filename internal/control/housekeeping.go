package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// The duty of the daily housekeeping: one node has it at a time. Its mark is the last day
// it ran for.
const (
	dutyHousekeeping = "housekeeping"
	dutyHold         = time.Minute
	housekeepBatch   = 200 // sessions in one transaction
	keepPreviews     = time.Hour
)

// keepBatches is how long the results of a batch are kept.
var keepBatches = calendar.Days(90)

// ActionHousekeeping is what the audit log calls a run of the housekeeping.
const ActionHousekeeping = "housekeeping.run"

// ErrBusy: another node is at it.
var ErrBusy = errors.New("housekeeping is running already, on another node")

// Housekept is what one run of the housekeeping did, or with DryRun would do.
type Housekept struct {
	DryRun    bool                   `json:"dry_run"`
	Day       string                 `json:"day" doc:"The calendar day it ran for, in the time zone of the settings"`
	Deleted   int                    `json:"deleted" doc:"Sessions taken off the list, which had been removed or expired before that day"`
	Expired   map[session.Status]int `json:"expired" doc:"Sessions that expired, by what they were"`
	Forgotten int                    `json:"forgotten" doc:"Deleted sessions whose history is not kept any longer"`
}

func (h *Housekept) String() string {
	n := 0
	for _, m := range h.Expired {
		n += m
	}
	return fmt.Sprintf("deleted %d, expired %d, history of %d no longer kept", h.Deleted, n, h.Forgotten)
}

// today is the day of a moment, in the time zone.
func (s *Settings) today(now time.Time) calendar.Date { return calendar.DateOf(now, s.Location()) }

// due is the last day whose hour has come.
func (s *Settings) due(now time.Time) calendar.Date {
	return calendar.Due(now, s.HousekeepingHour, s.Location())
}

// nextHousekeeping is when the daily housekeeping runs next, of which the last run was for
// the day last: now if it is behind.
func (s *Settings) nextHousekeeping(now time.Time, last string) time.Time {
	if s.due(now).String() > last {
		return now
	}
	// In another zone, or by another clock, it may have run for a day that is to come here.
	if ran, err := calendar.ParseDate(last); err == nil && ran.Start(s.Location()).After(now) {
		now = ran.Start(s.Location())
	}
	for {
		now = calendar.Next(now, s.HousekeepingHour, s.Location())
		if s.due(now).String() > last {
			return now
		}
	}
}

// runFrom is the first daily run that is not before t, of which the next of all is known.
func (s *Settings) runFrom(t, next time.Time) time.Time {
	if at := calendar.Next(t.Add(-time.Nanosecond), s.HousekeepingHour, s.Location()); at.After(next) {
		return at
	}
	return next
}

// NextHousekeeping is when the daily housekeeping runs next: now if it is behind.
func (c *Control) NextHousekeeping(ctx context.Context) (next time.Time, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		s, err := c.settings(tx)
		if err != nil {
			return err
		}
		last, err := tx.DutyMark(dutyHousekeeping)
		next = s.nextHousekeeping(tx.WallNow(), last)
		return err
	})
	return next, err
}

// Housekeep runs the housekeeping now, whatever the hour. It returns ErrBusy while another
// node is at it.
func (c *Control) Housekeep(ctx context.Context, who Who, dry bool) (*Housekept, error) {
	if !who.Admin {
		return nil, ErrDenied
	}
	return c.housekeep(ctx, who.Actor(), who.From, dry, false)
}

// HousekeepDaily runs the housekeeping if its hour has come and no node has run it since:
// once, however many days were missed, and at any hour if one was.
func (c *Control) HousekeepDaily(ctx context.Context) error {
	due := false
	err := c.Store.View(ctx, func(tx store.Tx) error {
		s, err := c.settings(tx)
		if err != nil {
			return err
		}
		last := c.housekept.Load()
		due = last == nil || *last < s.due(tx.WallNow()).String()
		return nil
	})
	if err != nil || !due {
		return err
	}
	_, err = c.housekeep(ctx, session.Actor{Role: session.Housekeeping}, "", false, true)
	if errors.Is(err, ErrBusy) {
		return nil
	}
	return err
}

func (c *Control) housekeep(ctx context.Context, by session.Actor, from string, dry, daily bool) (*Housekept, error) {
	h := &Housekept{DryRun: dry, Expired: map[session.Status]int{}}
	var s *Settings
	var now, began time.Time
	var term int64
	skip := false
	err := c.Store.Update(ctx, func(tx store.Tx) (err error) {
		if s, err = c.settings(tx); err != nil {
			return err
		}
		now = tx.WallNow()
		day := s.today(now)
		if daily {
			day = s.due(now)
		}
		h.Day, began = day.String(), day.Start(s.Location())
		var mark string
		term, mark, err = tx.ClaimDuty(dutyHousekeeping, c.node, dutyHold)
		skip = daily && mark >= h.Day
		return err
	})
	switch {
	case errors.Is(err, store.ErrHeld):
		return nil, ErrBusy
	case err != nil:
		return nil, fmt.Errorf("control: housekeeping: %w", err)
	}
	if !skip {
		err = c.housekeepSteps(ctx, h, s, term, began, now, by)
	}
	if err == nil && !skip && !dry {
		err = c.Store.Update(ctx, func(tx store.Tx) error {
			if err := tx.KeepDuty(dutyHousekeeping, term, dutyHold); err != nil {
				return err
			}
			if daily {
				if err := tx.MarkDuty(dutyHousekeeping, term, h.Day); err != nil {
					return err
				}
			}
			if _, err := tx.DeleteBatches(now.Add(-keepPreviews), now.Add(-keepBatches), 100); err != nil {
				return err
			}
			return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: by.String(), From: from, Action: ActionHousekeeping, Target: "housekeeping", Name: h.Day, Outcome: h.String()})
		})
	}
	if drop := c.Store.Update(ctx, func(tx store.Tx) error { return tx.DropDuty(dutyHousekeeping, term) }); drop != nil && !errors.Is(drop, store.ErrHeld) {
		err = errors.Join(err, drop)
	}
	if errors.Is(err, store.ErrHeld) {
		return nil, ErrBusy
	}
	if err == nil && daily {
		c.housekept.Store(&h.Day)
	}
	if err == nil && !skip {
		c.Log.Info("housekeeping", "day", h.Day, "dry_run", dry, "outcome", h.String())
	}
	return h, err
}

// housekeepSteps does, in this order: delete what was removed or expired before today,
// expire what has been at rest for too long, forget what is no longer kept.
func (c *Control) housekeepSteps(ctx context.Context, h *Housekept, s *Settings, term int64, began, now time.Time, by session.Actor) error {
	k := &housekeeper{Control: c, ctx: ctx, term: term, dry: h.DryRun}
	for _, status := range session.Deletable {
		n, err := k.each(status, time.Time{}, began, func(s *session.Session, _ lease.Now) bool { return s.DeleteBefore(began, now) })
		if err != nil {
			return err
		}
		h.Deleted += n
	}
	periods := s.Periods()
	for i := range session.Cleanups {
		cl := &session.Cleanups[i]
		quiet := time.Time{}
		if d := cl.After(periods); d > 0 {
			quiet = now.Add(-d)
		}
		n, err := k.each(cl.Status, quiet, time.Time{}, func(s *session.Session, at lease.Now) bool {
			at.Wall = now // of the whole run
			return s.Clean(periods, at)
		})
		if err != nil {
			return err
		}
		if n > 0 {
			h.Expired[cl.Status] += n
		}
	}
	// A stream is listed as long as its history is kept.
	kept := now.Add(-calendar.Days(s.HistoryDays))
	for _, status := range session.Statuses(session.Stream) {
		if !status.Ended() {
			continue
		}
		if _, err := k.each(status, time.Time{}, kept, func(s *session.Session, _ lease.Now) bool { return s.Outlived(kept) }); err != nil {
			return err
		}
	}
	var err error
	if h.Forgotten, err = k.forget(kept); err != nil || k.dry {
		return err
	}
	return k.forgetAudit(now.Add(-calendar.Days(s.AuditDays)))
}

// auditBatch is how many entries of the audit log are deleted in one transaction.
const auditBatch = 500

// forgetAudit deletes the entries of the audit log from before a moment.
func (k *housekeeper) forgetAudit(before time.Time) error {
	for {
		n := 0
		err := k.Store.Update(k.ctx, func(tx store.Tx) (err error) {
			if err := tx.KeepDuty(dutyHousekeeping, k.term, dutyHold); err != nil {
				return err
			}
			n, err = tx.DeleteAudit(before, auditBatch)
			return err
		})
		if err != nil || n < auditBatch {
			return err
		}
	}
}

// housekeeper walks sessions in fenced transactions of a bounded size.
type housekeeper struct {
	*Control
	ctx  context.Context
	term int64
	dry  bool
}

// each lets do change the sessions of a status, those without activity since quiet and of
// that status since before since, and counts those that it changed.
func (k *housekeeper) each(status session.Status, quiet, since time.Time, do func(*session.Session, lease.Now) bool) (total int, err error) {
	for after := int64(0); ; {
		var ids []int64
		if err := k.Store.View(k.ctx, func(tx store.Tx) (err error) {
			ids, err = tx.Idle(status, quiet, since, after, housekeepBatch)
			return err
		}); err != nil {
			return total, err
		}
		if len(ids) == 0 {
			return total, nil
		}
		began := after
		var moved, agents []int64
		work := func(tx store.Tx) error {
			moved, agents, after = moved[:0], agents[:0], began
			t := newTurn()
			if !k.dry {
				if err := tx.KeepDuty(dutyHousekeeping, k.term, dutyHold); err != nil {
					return err
				}
			}
			for _, id := range ids {
				if after > began && t.over() {
					break
				}
				after = id
				get := tx.LockSession
				if k.dry {
					get = tx.Session
				}
				s, err := get(id)
				if err != nil {
					return err
				}
				before := store.Clone(s)
				if !do(s, tx.LeaseNow()) {
					continue
				}
				moved = append(moved, id)
				if k.dry {
					continue
				}
				if err := saveSession(tx, before, s); err != nil {
					return err
				}
				agents = append(agents, s.AgentID)
			}
			return nil
		}
		if k.dry {
			err = k.Store.View(k.ctx, work)
		} else {
			err = k.Store.Update(k.ctx, work)
		}
		if err != nil {
			return total, err
		}
		total += len(moved)
		if !k.dry {
			k.told(moved, agents)
		}
	}
}

// forget deletes for good the sessions that were deleted before a moment.
func (k *housekeeper) forget(before time.Time) (total int, err error) {
	if k.dry {
		err = k.Store.View(k.ctx, func(tx store.Tx) error {
			ids, err := tx.Forgettable(before, ExactTotal)
			total = len(ids)
			return err
		})
		return total, err
	}
	for {
		n, more := 0, false
		err := k.Store.Update(k.ctx, func(tx store.Tx) error {
			if err := tx.KeepDuty(dutyHousekeeping, k.term, dutyHold); err != nil {
				return err
			}
			ids, err := tx.Forgettable(before, housekeepBatch)
			if err != nil {
				return err
			}
			n, more = 0, len(ids) == housekeepBatch
			t := newTurn()
			for _, id := range ids {
				if n > 0 && t.over() {
					more = true
					break
				}
				if err := tx.ForgetSession(id); err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if total += n; err != nil || !more {
			return total, err
		}
	}
}
