package control

import (
	"context"
	"reflect"
	"slices"
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
	tried := map[int64]bool{} // in this pass: what is locked stays due
	for ctx.Err() == nil {
		var due, over []int64
		next := int64(0)
		err := c.Store.View(ctx, func(tx store.Tx) (err error) {
			if due, err = tx.OrdersDue(sweepBatch); err != nil {
				return err
			}
			over, next, err = tx.LeasesOver(c.sweeps.after, sweepScan, sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
		c.sweeps.after = next
		full := len(due)+len(over) >= sweepBatch
		ids := slices.DeleteFunc(append(due, over...), func(id int64) bool { return tried[id] })
		if len(ids) == 0 {
			return nil
		}
		for _, id := range ids {
			tried[id] = true
		}
		if err := c.tick(ctx, ids); err != nil || !full {
			return err
		}
	}
	return ctx.Err()
}

// tick lets time act on sessions, a turn after the other. What somebody else has locked is
// left for the next pass.
func (c *Control) tick(ctx context.Context, ids []int64) error {
	return c.inTurns(ctx, ids, func(tx store.Tx, s *session.Session) (bool, error) {
		ag, err := c.agentOf(tx, s)
		return err == nil && s.Tick(tx.LeaseNow(), ag.Contact(), 0), err
	})
}

// agentOf returns the agent of a session, nil if it has none.
func (c *Control) agentOf(tx store.Tx, s *session.Session) (*store.Agent, error) {
	if s.AgentID == 0 {
		return nil, nil
	}
	return orNil(tx.Agent(s.AgentID))
}

// changed reports whether a session differs from its copy.
func changed(before, after *session.Session) bool {
	return !reflect.DeepEqual(before, after)
}
