package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// How often what is done beside requests looks for work.
const (
	workEvery  = time.Second
	clearEvery = 10 * time.Minute // expired sign-ins, which are not good before that either
	tickAgain  = lease.Period / 10
)

// Run keeps time until ctx is done: the lease clock, and all that is done beside requests,
// each in a goroutine of its own so that nothing waits for anything else. Any number of
// nodes may run it; each pass is harmless when another did the same.
func (c *Control) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { c.keepTime(ctx) })
	beside := store.Beside(ctx)
	for _, w := range []struct {
		name  string
		every time.Duration
		do    func(context.Context) error
	}{
		{"watch streams", workEvery, c.watchStreams},
		{"sweep", workEvery, c.Sweep},
		{"last-seen times", workEvery, c.FlushSeen},
		{"check entitlements", workEvery, c.Check},
		{"batches", workEvery, c.RunBatches},
		{"housekeeping", workEvery, c.HousekeepDaily},
		{"clear expired", clearEvery, c.clearExpired},
	} {
		all.Go(func() {
			every(ctx, w.every, func() {
				if err := w.do(beside); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLocked) {
					c.Log.Error(w.name, "err", err)
				}
			})
		})
	}
	all.Wait()
	// What was seen last is worth a moment more.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := c.FlushSeen(last); err != nil {
		c.Log.Error("last-seen times", "err", err)
	}
}

// every calls do again and again, d after it has returned, until ctx is done.
func every(ctx context.Context, d time.Duration, do func()) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			do()
			t.Reset(d)
		}
	}
}

// keepTime ticks the lease clock, each tick a period after the answer to the last one. Until
// this node can read the clock it ticks twice as often, which is as soon as a tick may write.
func (c *Control) keepTime(ctx context.Context) {
	next := lease.Period / 2
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		err := c.Store.Tick(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				c.Log.Error("the lease clock is not answered: this node grants nothing", "err", err)
			}
			failing, next = true, tickAgain
			continue
		case failing:
			c.Log.Info("the lease clock is answered again")
		}
		failing, next = false, lease.Period
		if lag, ok := c.ClockLag(ctx); !ok {
			next = lease.Period / 2
		} else if lag > lease.MaxAge/2 {
			c.Log.Warn("the lease clock is behind", "lag", lag)
		}
	}
}

// ClockLag is how far the earliest reading of lease time is behind the latest: how long
// seats and orders stay longer than they need to. ok is false while this node cannot read
// the clock, so that it grants nothing.
func (c *Control) ClockLag(ctx context.Context) (lag time.Duration, ok bool) {
	err := c.Store.View(ctx, func(tx store.Tx) error {
		now := tx.LeaseNow()
		lag, ok = now.Latest.Sub(now.Earliest), now.Signs
		return nil
	})
	return lag, ok && err == nil
}

// AwaitClock ticks until this node can read the lease clock, for a few periods at the most.
// It returns lease.ErrNoReading if that does not help.
func (c *Control) AwaitClock(ctx context.Context) error {
	for range 8 {
		if _, ok := c.ClockLag(ctx); ok {
			return nil
		}
		if err := c.Store.Tick(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lease.Period / 2):
		}
	}
	return lease.ErrNoReading
}

// Beat does once what Run does every second, for tests that step the time.
func (c *Control) Beat(ctx context.Context) {
	if err := c.Store.Tick(ctx); err != nil && ctx.Err() == nil {
		c.Log.Error("lease clock", "err", err)
	}
	for _, do := range []func(context.Context) error{c.watchStreams, c.Sweep, c.FlushSeen} {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error("beat", "err", err)
		}
	}
}

// seenBuffer keeps when agents were last heard from until it is written, in bulk.
type seenBuffer struct {
	mu sync.Mutex
	at map[int64]store.Seen
}

func (b *seenBuffer) mark(agent int64, at store.Seen) {
	b.mu.Lock()
	b.at[agent] = at
	b.mu.Unlock()
}

// seenAtOnce is how many last-seen times are written in one turn.
const seenAtOnce = 500

// FlushSeen writes the last-seen times that wait.
func (c *Control) FlushSeen(ctx context.Context) error {
	c.seen.mu.Lock()
	at := c.seen.at
	c.seen.at = make(map[int64]store.Seen, len(at))
	c.seen.mu.Unlock()
	part := make(map[int64]store.Seen, min(len(at), seenAtOnce))
	for agent, seen := range at {
		part[agent] = seen
		if len(part) == seenAtOnce {
			if err := c.Store.MarkSeen(ctx, part); err != nil {
				return err
			}
			clear(part)
		}
	}
	if len(part) == 0 {
		return nil
	}
	return c.Store.MarkSeen(ctx, part)
}
