package control_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"leasehold/internal/control"
	"leasehold/internal/pgtest"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/wire"
)

// again is a database that asks once for a transaction to be run again, in the middle of
// one: when it looks for the sessions that a newer one supersedes.
type again struct {
	store.Store
	asks int
}

type againTx struct {
	store.Tx
	db *again
}

func (a *again) Update(ctx context.Context, fn func(store.Tx) error) error {
	return a.Store.Update(ctx, func(tx store.Tx) error { return fn(againTx{tx, a}) })
}

func (t againTx) Superseded(user, app, agent, id int64) ([]*session.Session, error) {
	if t.db.asks > 0 {
		t.db.asks--
		return nil, &pgconn.PgError{Code: "40001", Message: "could not serialize access"}
	}
	return t.Tx.Superseded(user, app, agent, id)
}

// TestSupersedeIsNotSkipped: a transaction that has to be run again is, also where that turns
// out while a check-in is reconciled whose journal was lost.
func TestSupersedeIsNotSkipped(t *testing.T) {
	st, err := postgres.Open(t.Context(), pgtest.Made(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	db := &again{Store: st}
	s := servertest.With(t, db, control.Config{})
	app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
	e, err := s.Control.Enrol(t.Context(), &wire.Enrol{V: 1, Key: s.EnrolmentKey(), Kind: wire.Player, Name: "LAB", OS: "linux", Arch: "amd64"}, "")
	if err != nil {
		t.Fatal(err)
	}
	var list []wire.SessionState
	for n := range 2 {
		r, err := s.Control.Redeem(t.Context(), e.AgentID, &wire.Redeem{V: 1, Ticket: ticket(t, s.Launch(app.ID).Link)}, "")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, wire.SessionState{Session: r.Directive.Session, State: session.IsIdle})
		db.asks = n
		if _, err := s.Control.CheckIn(t.Context(), e.AgentID, &wire.CheckIn{V: 1, Number: uint64(n + 1), Epoch: 1, Complete: true, Sessions: list}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Session(list[0].Session).Status; got != session.AwaitingExpiry || db.asks != 0 {
		t.Errorf("the older session is %s, want it superseded", got)
	}
	// An error that is none of that is the check-in's.
	oops := errors.New("oops")
	failing := &failingTx{Store: st, err: oops}
	s.Control.Store = failing
	r, err := s.Control.Redeem(t.Context(), e.AgentID, &wire.Redeem{V: 1, Ticket: ticket(t, s.Launch(app.ID).Link)}, "")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, wire.SessionState{Session: r.Directive.Session, State: session.IsIdle})
	if _, err := s.Control.CheckIn(t.Context(), e.AgentID, &wire.CheckIn{V: 1, Number: 3, Epoch: 1, Complete: true, Sessions: list}, ""); !errors.Is(err, oops) {
		t.Errorf("a check-in whose supersession failed: %v", err)
	}
	s.Control.Store = st
	if got := s.Session(r.Directive.Session).Status; got != session.Launched {
		t.Errorf("of a check-in that failed the session is %s", got)
	}
}

// failingTx is a database that cannot find superseded sessions.
type failingTx struct {
	store.Store
	err error
}

type failedTx struct {
	store.Tx
	err error
}

func (f *failingTx) Update(ctx context.Context, fn func(store.Tx) error) error {
	return f.Store.Update(ctx, func(tx store.Tx) error { return fn(failedTx{tx, f.err}) })
}

func (f failedTx) Superseded(int64, int64, int64, int64) ([]*session.Session, error) {
	return nil, f.err
}
