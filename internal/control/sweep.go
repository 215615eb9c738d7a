package control

import (
	"context"
	"reflect"
	"sync"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// sweeper finds what time alone ends. Leases are kept in a narrow table without any index
// on their end, so that renewing one stays cheap; the sweeper walks it instead, a stretch
// a second, and starts over when it is through.
type sweeper struct {
	mu    sync.Mutex
	after int64
}

// How much one pass of the sweeper looks at and changes.
const (
	sweepScan  = 100_000
	sweepBatch = 200
)

// Sweep ends what time alone ends: leases that are over, sessions without one, orders
// whose ETA has passed.
func (c *Control) Sweep(ctx context.Context) error {
	c.sweeps.mu.Lock()
	defer c.sweeps.mu.Unlock()
	for ctx.Err() == nil {
		var ids []int64
		next := int64(0)
		err := c.Store.View(ctx, func(tx store.Tx) error {
			due, err := tx.OrdersDue(sweepBatch)
			if err != nil {
				return err
			}
			var over []int64
			over, next, err = tx.LeasesOver(c.sweeps.after, sweepScan, sweepBatch)
			ids = append(due, over...)
			return err
		})
		if err != nil {
			return err
		}
		c.sweeps.after = next
		if err := c.tick(ctx, ids); err != nil {
			return err
		}
		if len(ids) < sweepBatch {
			return nil
		}
	}
	return ctx.Err()
}

// tick lets time act on sessions.
func (c *Control) tick(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	var moved []int64
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		moved = moved[:0]
		for _, id := range ids {
			s, err := tx.LockSession(id)
			if err != nil {
				return err
			}
			before := store.Clone(s)
			if !s.Tick(tx.Now(), 0) {
				continue
			}
			if err := tx.SaveSession(before, s); err != nil {
				return err
			}
			moved = append(moved, id)
		}
		return nil
	})
	if err == nil {
		c.Hub.Changed(moved...)
	}
	return err
}

// changed reports whether a session differs from its copy.
func changed(before, after *session.Session) bool {
	return !reflect.DeepEqual(before, after)
}
