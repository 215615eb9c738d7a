package sqldb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/lease"
)

// Clock is one node's side of the lease clock: its readings of the row in the table
// lease_clock, which nothing but ticks ever writes or locks. Its methods are safe for
// concurrent use.
type Clock struct {
	// Boot reads the machine's boot-time clock; nil is CLOCK_BOOTTIME or its like.
	Boot func() lease.Boot
	// MaxStep is the most that one tick adds; 0 is lease.MaxStep. Tests that step hours
	// at a time set it.
	MaxStep lease.Boot

	ticking sync.Mutex // one tick at a time, awaited

	mu       sync.Mutex
	readings lease.Readings
}

func (c *Clock) boot() lease.Boot {
	if c.Boot != nil {
		return c.Boot()
	}
	return boottime.System.Now().At
}

// Transact runs fn in a transaction of its own, on the one connection that the readings
// belong to, and returns once the commit is answered.
type Transact func(ctx context.Context, fn func(context.Context, Querier) error) error

const selectClock = "SELECT mark, nonce FROM lease_clock WHERE id = 1"

// Tick looks at the clock's row and moves it on if it is this node's turn; see
// lease.Readings. If transact fails the outcome is unknown, so the readings are dropped.
func (c *Clock) Tick(ctx context.Context, d *Dialect, transact Transact) error {
	c.ticking.Lock()
	defer c.ticking.Unlock()
	return c.tick(ctx, d, transact)
}

// Catch ticks if the last tick did not see the nonce that a look has shown, so that the
// look can be repeated with a reading that counts for it.
func (c *Clock) Catch(ctx context.Context, d *Dialect, row lease.Row, transact Transact) error {
	c.ticking.Lock()
	defer c.ticking.Unlock()
	if !c.stale(row) {
		return nil // somebody else has ticked meanwhile
	}
	return c.tick(ctx, d, transact)
}

func (c *Clock) tick(ctx context.Context, d *Dialect, transact Transact) error {
	step := c.MaxStep
	if step == 0 {
		step = lease.MaxStep
	}
	x := c.boot()
	c.mu.Lock()
	add, was := c.readings.Step(x, step)
	c.mu.Unlock()
	next := lease.Nonce(1 + rand.Int64N(1<<62))
	var row lease.Row
	wrote := false
	err := transact(ctx, func(ctx context.Context, q Querier) error {
		wrote = false
		if err := q.QueryRowContext(ctx, selectClock).Scan(&row.Mark, &row.Nonce); err != nil || add <= 0 || row.Nonce != was {
			return err
		}
		// Compared and written in one statement: another node may have been between.
		r, err := q.ExecContext(ctx, d.Rebind("UPDATE lease_clock SET mark = mark + ?, nonce = ? WHERE id = 1 AND nonce = ?"), add.Microseconds(), int64(next), int64(was))
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		wrote = n == 1
		return err
	})
	after := c.boot()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.readings = lease.Readings{}
		return fmt.Errorf("lease clock: %w", err)
	case wrote:
		c.readings.Wrote(next, x, after)
	default:
		c.readings.Looked(row.Nonce, x, after)
	}
	return nil
}

// Restart writes a new nonce and drops the readings, because the row may be an old one that
// was restored. The mark stays.
func (c *Clock) Restart(ctx context.Context, d *Dialect, transact Transact) error {
	c.ticking.Lock()
	defer c.ticking.Unlock()
	err := transact(ctx, func(ctx context.Context, q Querier) error {
		_, err := q.ExecContext(ctx, d.Rebind("UPDATE lease_clock SET nonce = ? WHERE id = 1"), 1+rand.Int64N(1<<62))
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readings = lease.Readings{}
	if err != nil {
		return fmt.Errorf("lease clock: restart: %w", err)
	}
	return nil
}

func (c *Clock) stale(row lease.Row) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readings.Stale(row)
}

// read completes a look that showed row.
func (c *Clock) read(n *lease.Now, row lease.Row) {
	now := c.boot() // after the look
	c.mu.Lock()
	defer c.mu.Unlock()
	n.Earliest, n.Latest, n.Signs = c.readings.At(row, now, 0)
}
