package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// turnTime bounds how long one transaction of the work beside requests goes on with further
// sessions: on SQLite the tick of the lease clock, and every check-in, waits for it.
const turnTime = 20 * time.Millisecond

// turn is one transaction's share of a longer work.
type turn struct{ began time.Time }

func newTurn() turn { return turn{time.Now()} }

// over reports whether the transaction is to commit and the rest is left to the next turn.
func (t turn) over() bool { return time.Since(t.began) > turnTime }

// inTurns lets do change the sessions of ids, as many in a transaction as its turn allows.
// do reports whether it has. Sessions that somebody else has locked are left out.
func (c *Control) inTurns(ctx context.Context, ids []int64, do func(store.Tx, *session.Session) (bool, error)) error {
	for len(ids) > 0 {
		var moved, agents []int64
		done := 0
		err := c.Store.Update(ctx, func(tx store.Tx) error {
			moved, agents, done = nil, nil, 0
			t := newTurn()
			for _, id := range ids {
				if done > 0 && t.over() {
					return nil
				}
				done++
				s, err := tx.TryLockSession(id)
				switch {
				case errors.Is(err, store.ErrLocked):
					c.locked.skip(c, id)
					continue
				case errors.Is(err, store.ErrNotFound):
					continue
				case err != nil:
					return err
				}
				c.locked.free(id)
				before := store.Clone(s)
				is, err := do(tx, s)
				if err != nil {
					return err
				}
				if !is {
					continue
				}
				if err := saveSession(tx, before, s); err != nil {
					return err
				}
				moved, agents = append(moved, id), append(agents, s.AgentID)
			}
			return nil
		})
		if err != nil {
			return err
		}
		ids = ids[done:]
		c.told(moved, agents)
	}
	return nil
}

// lockedFor is how long a session may stay locked before that is worth a warning.
const lockedFor = time.Minute

// locked counts the sessions that work beside requests left out because somebody else had
// locked them, and remembers since when.
type locked struct {
	mu      sync.Mutex
	skipped uint64
	since   map[int64]time.Time
}

func (l *locked) skip(c *Control, id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.skipped++
	now := time.Now()
	if l.since == nil {
		l.since = map[int64]time.Time{}
	}
	since, known := l.since[id]
	switch {
	case !known:
		l.since[id] = now
	case !since.IsZero() && now.Sub(since) > lockedFor:
		c.Log.Warn("a session stays locked by another transaction: it cannot lapse, nor its order close", "session", id, "since", since)
		l.since[id] = time.Time{} // it was said
	}
}

func (l *locked) free(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.since, id)
}

// Skipped is how often work beside requests has left a locked session for later.
func (c *Control) Skipped() uint64 {
	c.locked.mu.Lock()
	defer c.locked.mu.Unlock()
	return c.locked.skipped
}
