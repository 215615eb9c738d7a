package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store/sqldb"
)

// How long what may wait for what. They are set in the statement with which a transaction
// begins, for that transaction alone, so that a pooler which shares connections between
// transactions does not mind.
const (
	updateLimits = "set_config('lock_timeout', '5s', true), set_config('statement_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '30s', true)"
	soonLimits   = "set_config('lock_timeout', '1s', true), set_config('statement_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '30s', true)"
	viewLimits   = "set_config('statement_timeout', '60s', true), set_config('idle_in_transaction_session_timeout', '60s', true)"
	// Work beside requests has turns, and comes back to what is locked.
	besideLimits = "set_config('lock_timeout', '200ms', true), set_config('statement_timeout', '10s', true), set_config('idle_in_transaction_session_timeout', '10s', true)"
	tickLimits   = "set_config('lock_timeout', '500ms', true), set_config('statement_timeout', '500ms', true), set_config('idle_in_transaction_session_timeout', '2s', true)"

	tickTimeout = 500 * time.Millisecond
	dialTimeout = 5 * time.Second
	maxConns    = 32
)

// dialer notices a server that has vanished within half a minute.
var dialer = net.Dialer{
	Timeout:         10 * time.Second,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
}

// ticker is the one connection that ticks of the lease clock use. The readings belong to it:
// after any error it is given up, and they go with it.
type ticker struct {
	db      *sql.DB // apart from the pool, which requests may use up
	mu      sync.Mutex
	conn    *sql.Conn
	started string // when the server at its other end was started
}

// errReplaced: behind a pooler the connection can go on while the server at its other end
// is replaced, perhaps by one that was restored.
var errReplaced = errors.New("postgres: the server was replaced")

// Tick implements store.Store.
func (s *Store) Tick(ctx context.Context) error {
	return s.clock.Tick(ctx, s.dialect, s.transact)
}

// RestartClock implements store.Store.
func (s *Store) RestartClock(ctx context.Context) error {
	return s.clock.Restart(ctx, s.dialect, s.transact)
}

// catch has this node tick because a transaction saw a nonce that the last tick did not. A
// caller that goes away does not end it: it is everybody's.
func (s *Store) catch(ctx context.Context, row lease.Row) error {
	ctx = context.WithoutCancel(ctx)
	return s.clock.Catch(ctx, s.dialect, row, s.transact)
}

// transact runs a tick on its own connection.
func (s *Store) transact(ctx context.Context, fn func(context.Context, sqldb.Querier) error) error {
	err := s.ticker.transact(ctx, fn)
	if err != nil {
		s.ticker.drop()
	}
	return err
}

func (t *ticker) transact(ctx context.Context, fn func(context.Context, sqldb.Querier) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		dial, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		c, err := t.db.Conn(dial)
		if err != nil {
			return fmt.Errorf("postgres: %w", err)
		}
		t.conn, t.started = c, ""
	}
	ctx, cancel := context.WithTimeout(ctx, tickTimeout)
	defer cancel()
	tx, err := t.conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("postgres: begin: %w", err)
	}
	defer tx.Rollback()
	var started, set string
	if err := tx.QueryRowContext(ctx, "SELECT pg_postmaster_start_time()::text, "+tickLimits).Scan(&started, &set, &set, &set); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if t.started != "" && t.started != started {
		return errReplaced
	}
	t.started = started
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("postgres: commit: %w", err)
	}
	return nil
}

// drop closes the connection, so that the next tick takes a new one.
func (t *ticker) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return
	}
	// The pool must not hand it to anybody: what was sent on it may still be under way.
	t.conn.Raw(func(any) error { return driver.ErrBadConn })
	t.conn.Close()
	t.conn = nil
}
