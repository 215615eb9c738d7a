package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// testSeatsAtOnce: with five seats and forty who want one at the same time, five get one.
func testSeatsAtOnce(t *testing.T, e *env) {
	f := e.fixture()
	const seats, want = 5, 40
	var all []int64
	for i := range want {
		all = append(all, e.launch(f, i%3, true).ID)
	}
	var got atomic.Int32
	var wg sync.WaitGroup
	for _, id := range all {
		wg.Go(func() {
			took := false
			err := e.st.Update(context.Background(), func(tx store.Tx) error {
				s, err := tx.LockSession(id)
				if err != nil {
					return err
				}
				before := store.Clone(s)
				if took, err = tx.TakeSeat(f.method.ID, id, seats); err != nil || !took {
					return err
				}
				s.Lease = lease.NewGrant(lease.Terms{Kind: lease.Floating, Heartbeat: time.Minute}, id, f.method.ID, 1, 1, tx.Now(), nil, 0)
				return tx.SaveSession(before, s)
			})
			if err != nil {
				t.Error(err)
			}
			if took {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	same(t, "seats given", int(got.Load()), seats)
	e.view(func(tx store.Tx) error {
		same(t, "seats taken", must[int](t)(tx.SeatsTaken(f.method.ID)), seats)
		return nil
	})
}

var errOops = errors.New("oops")

// testAtomic: a transition, its history row and its order are stored together or not at all.
func testAtomic(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	e.grant(s.ID, 0, time.Minute)
	before := e.get(s.ID)
	err := e.st.Update(t.Context(), func(tx store.Tx) error {
		s, err := tx.LockSession(s.ID)
		if err != nil {
			return err
		}
		was := store.Clone(s)
		if err := s.Act(session.Evict, session.Actor{Role: session.Admin}, "", tx.Now(), 0); err != nil {
			return err
		}
		if err := tx.SaveSession(was, s); err != nil {
			return err
		}
		return errOops
	})
	wantErr(t, err, errOops)
	same(t, "after an update that failed", e.get(s.ID), before)
	e.view(func(tx store.Tx) error {
		for _, tr := range must[[]session.Transition](t)(tx.Transitions(s.ID)) {
			if tr.To == session.Evicted {
				t.Error("the history of an update that failed is there")
			}
		}
		return nil
	})
}

// testPanic: what panics in a transaction changes nothing and panics in its caller, not in
// others; and the database goes on.
func testPanic(t *testing.T, e *env) {
	id := e.launch(e.fixture(), 0, false).ID
	caught := func(do func(context.Context, func(store.Tx) error) error) (v any) {
		defer func() { v = recover() }()
		_ = do(t.Context(), func(tx store.Tx) error {
			_ = tx.SetSetting("before", "panic")
			panic("oops")
		})
		return nil
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			do := e.st.Update
			if i%4 == 0 {
				do = e.st.View
			}
			if v := caught(do); !strings.HasPrefix(fmt.Sprint(v), "oops") {
				t.Errorf("the caller of what panicked caught %v", v)
			}
		})
		wg.Go(func() {
			if err := e.st.Update(context.Background(), func(tx store.Tx) error {
				_, err := tx.LockSession(id)
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e.view(func(tx store.Tx) error {
		same(t, "what was set before the panic", must[string](t)(tx.Setting("before")), "")
		return nil
	})
}

func testView(t *testing.T, e *env) {
	f := e.fixture()
	err := e.st.View(t.Context(), func(tx store.Tx) error { return tx.SaveApp(f.app) })
	if err == nil {
		t.Error("a view wrote")
	}
}

// testContended: of conflicting actions on one row one wins, the others get a clear refusal.
func testContended(t *testing.T, e *env) {
	f := e.fixture()
	for range 10 {
		s := e.launch(f, 0, true)
		e.grant(s.ID, 0, time.Minute)
		var won, refused atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				err := e.st.Update(context.Background(), func(tx store.Tx) error {
					s, err := tx.LockSession(s.ID)
					if err != nil {
						return err
					}
					before := store.Clone(s)
					if err := s.Act(session.Evict, session.Actor{Role: session.Admin}, "", tx.Now(), 0); err != nil {
						return err
					}
					return tx.SaveSession(before, s)
				})
				var no *session.RefusedError
				switch {
				case err == nil:
					won.Add(1)
				case errors.As(err, &no):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || refused.Load() != 7 {
			t.Fatalf("%d won, %d were refused", won.Load(), refused.Load())
		}
		n := 0
		e.view(func(tx store.Tx) error {
			for _, tr := range must[[]session.Transition](t)(tx.Transitions(s.ID)) {
				if tr.To == session.Evicted {
					n++
				}
			}
			return nil
		})
		same(t, "evictions in the history", n, 1)
	}
}

func testCancelled(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.st.Update(ctx, func(tx store.Tx) error { return tx.SetSetting("x", "y") }); err == nil {
		t.Error("an update of a caller who has gone was made")
	}
	e.update(func(tx store.Tx) error { return nil }) // the store goes on
	if err := e.st.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func testClock(t *testing.T, e *env) {
	now := func() (at time.Time) {
		e.view(func(tx store.Tx) error { at = tx.Now(); return nil })
		return at
	}
	start := e.clock.Now()
	same(t, "a database that was never ticked goes by its own clock", now(), start)
	if _, err := e.st.Tick(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	e.clock.Step(-time.Hour)
	same(t, "it never goes back", now(), start)
	e.clock.Step(time.Hour + time.Second)
	same(t, "it goes on", now(), start.Add(time.Second))
	e.clock.Step(time.Hour)
	same(t, "it does not leap", now(), start.Add(lease.Slack))
	e.update(func(tx store.Tx) error {
		same(t, "within an update", tx.Now(), start.Add(lease.Slack))
		return nil
	})
}

func testLeap(t *testing.T, e *env) {
	f := e.fixture()
	if _, err := e.st.Tick(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s := e.launch(f, 0, true)
	e.grant(s.ID, 1, time.Minute)
	e.change(s.ID, func(tx store.Tx, s *session.Session) {
		if err := s.Act(session.Evict, session.Actor{Role: session.Admin}, "", tx.Now(), 0); err != nil {
			t.Fatal(err)
		}
	})
	was := e.get(s.ID)
	// An hour that a node has watched is an hour.
	e.clock.Step(10 * time.Second)
	off, err := e.st.Tick(t.Context(), 10*time.Second)
	if err != nil || off != 0 {
		t.Fatalf("ten seconds that were watched: put off by %v, %v", off, err)
	}
	// One that nobody has watched may never have passed.
	e.clock.Step(time.Hour)
	off, err = e.st.Tick(t.Context(), time.Second)
	if err != nil || off != time.Hour-time.Second-lease.Slack {
		t.Fatalf("a leap of an hour: put off by %v, %v", off, err)
	}
	is := e.get(s.ID)
	same(t, "the lease's end", is.Lease.ExpiresAt, was.Lease.ExpiresAt.Add(off))
	same(t, "the seat's freedom", is.Lease.FreeAt, was.Lease.FreeAt.Add(off))
	same(t, "the order's ETA", is.Order.ETA, was.Order.ETA.Add(off))
	b := e.launch(f, 1, true)
	if e.grant(b.ID, 1, time.Minute) {
		t.Error("a leap of the clock freed a seat")
	}
}

func testSeen(t *testing.T, e *env) {
	f := e.fixture()
	at := e.clock.Now().Add(time.Minute)
	for _, seen := range []time.Time{at, at.Add(-30 * time.Second)} { // a late write changes nothing
		if err := e.st.MarkSeen(t.Context(), map[int64]time.Time{f.agent.ID: seen}); err != nil {
			t.Fatal(err)
		}
	}
	e.view(func(tx store.Tx) error {
		same(t, "last seen", must[*store.Agent](t)(tx.Agent(f.agent.ID)).LastSeenAt, at)
		return nil
	})
}
