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
var (
	updateLimits = limits("5s", "30s", "30s")
	soonLimits   = limits("1s", "30s", "30s") // see store.Soon
	// Work beside requests has turns, and comes back to what is locked.
	besideLimits = limits("200ms", "10s", "10s")
	tickLimits   = limits("500ms", "500ms", "2s")
	viewLimits   = limits("0", "60s", "60s") // it waits for no row
)

// limits is the part of a SELECT that bounds how long a transaction waits for a lock, a
// statement runs, and the transaction rests; "0" is no bound.
func limits(lock, statement, idle string) string {
	return "set_config('lock_timeout', '" + lock + "', true), set_config('statement_timeout', '" + statement + "', true), set_config('idle_in_transaction_session_timeout', '" + idle + "', true)"
}

const (
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
