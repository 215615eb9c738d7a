package control

import (
	"context"
	"errors"
	"runtime/debug"
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
		{"last-seen times", workEvery, c.flushSeen},
		{"refusals", workEvery, c.flushRefused},
		{"end what is open", workEvery, c.endOpen},
		{"check entitlements", workEvery, c.Check},
		{"batches", workEvery, c.RunBatches},
		{"housekeeping", workEvery, c.HousekeepDaily},
		{"clear expired", clearEvery, c.clearExpired},
		{"signing keys", keysEvery, c.RotateKeys},
	} {
		all.Go(func() {
			every(ctx, w.every, func() { c.Try(beside, w.name, w.do) })
		})
	}
	all.Wait()
	// What was seen last is worth a moment more.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	c.Try(last, "last-seen times", c.flushSeen)
	c.Try(last, "refusals", c.flushRefused)
}

// Try does a piece of the work beside requests and logs why it failed. A panic in one is
// logged, too: the others go on, and so does the server. What somebody else has locked is
// left for the next time.
func (c *Control) Try(ctx context.Context, name string, do func(context.Context) error) {
	defer func() {
		if v := recover(); v != nil {
			c.Log.Error("work beside requests panicked", "work", name, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if err := do(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLocked) {
		c.Log.Error(name, "err", err)
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
	c.Try(ctx, "lease clock", c.Store.Tick)
	c.Try(ctx, "watch streams", c.watchStreams)
	c.Try(ctx, "sweep", c.Sweep)
	c.Try(ctx, "last-seen times", c.flushSeen)
	c.Try(ctx, "end what is open", c.endOpen)
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

// flushSeen writes the last-seen times that wait.
func (c *Control) flushSeen(ctx context.Context) error {
	c.seen.mu.Lock()
	at := c.seen.at
	c.seen.at = make(map[int64]store.Seen, len(at))
	c.seen.mu.Unlock()
	var failed error
	part := make(map[int64]store.Seen, min(len(at), seenAtOnce))
	write := func() {
		if failed == nil && len(part) > 0 {
			failed = c.Store.MarkSeen(ctx, part)
		}
		if failed != nil {
			c.seen.keep(part)
		}
		clear(part)
	}
	for agent, seen := range at {
		if part[agent] = seen; len(part) == seenAtOnce {
			write()
		}
	}
	write()
	return failed
}

// keep puts times that could not be written back, unless an agent was heard from since.
func (b *seenBuffer) keep(at map[int64]store.Seen) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for agent, seen := range at {
		if seen.Lease > b.at[agent].Lease {
			b.at[agent] = seen
		}
	}
}
