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
				s.Lease = lease.NewGrant(lease.Terms{Kind: lease.Floating, Heartbeat: time.Minute}, id, f.method.ID, 1, 1, tx.LeaseNow(), nil, 0)
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
		if err := s.Act(session.Evict, session.Actor{Role: session.Admin}, "", tx.LeaseNow(), 0); err != nil {
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
					if err := s.Act(session.Evict, session.Actor{Role: session.Admin}, "", tx.LeaseNow(), 0); err != nil {
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

// testClock: lease time goes on by ticks alone, whatever the wall clock does.
func testClock(t *testing.T, e *env) {
	start := e.now()
	if !start.Signs || start.Latest != start.Earliest {
		t.Fatalf("after two ticks: %+v", start)
	}
	e.clock.Step(3 * time.Second)
	n := e.now()
	same(t, "the earliest waits for the tick", n.Earliest, start.Earliest)
	same(t, "the latest goes on", n.Latest, start.Latest.Add(3*time.Second))
	e.tick()
	n = e.now()
	same(t, "the tick brings both together", []lease.Time{n.Earliest, n.Latest}, []lease.Time{start.Earliest.Add(3 * time.Second), start.Latest.Add(3 * time.Second)})
	e.tick()
	same(t, "a tick at once adds nothing", e.now().Earliest, n.Earliest)
	e.clock.Step(lease.MaxAge + time.Second)
	if n = e.now(); n.Signs {
		t.Errorf("a reading of %v ago signs", lease.MaxAge+time.Second)
	}
	e.tick()
	e.update(func(tx store.Tx) error {
		if n := tx.LeaseNow(); !n.Signs || n.Wall != e.clock.Now() || tx.WallNow() != n.Wall {
			t.Errorf("within an update: %+v", n)
		}
		return nil
	})
}

// testWallSet: a wall clock that is set changes what people read and nothing else.
func testWallSet(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	e.grant(s.ID, 1, time.Minute)
	e.change(s.ID, func(tx store.Tx, s *session.Session) {
		if err := s.Act(session.Evict, session.Actor{Role: session.Admin}, "", tx.LeaseNow(), 0); err != nil {
			t.Fatal(err)
		}
	})
	was, before := e.get(s.ID), e.now()
	for _, d := range []time.Duration{2 * time.Hour, -4 * time.Hour, -20 * time.Second} {
		e.clock.Set(d)
		e.step(lease.Period)
		is := e.get(s.ID)
		same(t, "the lease", is.Lease, was.Lease)
		same(t, "the order", is.Order.ETA, was.Order.ETA)
		same(t, "lease time", e.now().Earliest, before.Earliest.Add(lease.Period))
		before = e.now()
		same(t, "the wall clock", before.Wall, e.clock.Now())
		b := e.launch(f, 1, true)
		if e.grant(b.ID, 1, time.Minute) {
			t.Fatal("the wall clock freed a seat")
		}
	}
	e.view(func(tx store.Tx) error {
		r := must[[]store.SessionRow](t)(tx.SessionRows([]int64{s.ID}))[0]
		same(t, "the ETA as people read it", r.OrderETA, before.Wall.Add(was.Order.ETA.Sub(before.Latest)))
		return nil
	})
}

// testRestartClock: after a restore nobody reads the clock by readings from before.
func testRestartClock(t *testing.T, e *env) {
	was := e.now()
	if err := e.st.RestartClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := e.now(); n.Signs || n.Earliest != was.Earliest {
		t.Errorf("restarted: %+v, before %+v", n, was)
	}
	e.tick()
	if e.now().Signs {
		t.Error("one look is enough to sign")
	}
	e.step(lease.Period)
	if n := e.now(); !n.Signs || n.Earliest != was.Earliest.Add(lease.Period) {
		t.Errorf("after two ticks: %+v, before %+v", n, was)
	}
}

func testRestoreHold(t *testing.T, e *env) {
	hold := func(method int64) (out [2]lease.Time) {
		e.view(func(tx store.Tx) (err error) {
			out[0], out[1], err = tx.RestoreHold(method)
			return err
		})
		return out
	}
	same(t, "never restored", hold(7), [2]lease.Time{})
	for _, x := range []struct {
		method int64
		until  lease.Time
	}{{store.NoMethod, 100}, {7, 500}, {7, 300}, {store.EveryMethod, 200}, {store.NoMethod, 90}} {
		e.update(func(tx store.Tx) error { return tx.ExtendRestoreHold(x.method, x.until) })
	}
	same(t, "of a method that was reported", hold(7), [2]lease.Time{100, 500})
	same(t, "of another one", hold(8), [2]lease.Time{100, 200})
}

// testTryLockOfAgent: a check-in leaves out the sessions that somebody else has locked, and
// learns which they are.
func testTryLockOfAgent(t *testing.T, e *env) {
	f := e.fixture()
	a, b, c := e.launch(f, 0, true), e.launch(f, 1, true), e.launch(f, 0, true)
	try := func() (free, locked []int64) {
		e.update(func(tx store.Tx) error {
			got, others, err := watched{tx, e.suite}.TryLockSessionsOfAgent(f.agent.ID, []int64{c.ID, 1 << 40})
			free, locked = ids(got), others
			return err
		})
		return free, locked
	}
	free, locked := try()
	same(t, "none is locked", free, []int64{a.ID, b.ID, c.ID})
	same(t, "none is left out", len(locked), 0)
	if !e.concurrent() {
		return // there is one writer: nobody else can have locked any
	}
	e.update(func(tx store.Tx) error {
		if _, err := tx.LockSession(b.ID); err != nil {
			return err
		}
		free, locked = try()
		return nil
	})
	same(t, "free", free, []int64{a.ID, c.ID})
	same(t, "locked", locked, []int64{b.ID})
	// An update that has another way does not wait long for it.
	e.update(func(tx store.Tx) error {
		if _, err := tx.LockSession(b.ID); err != nil {
			return err
		}
		began := time.Now()
		err := e.st.Update(store.Soon(context.Background()), func(tx store.Tx) error {
			_, err := tx.LockSessionsOfAgent(f.agent.ID, nil)
			return err
		})
		wantErr(t, err, store.ErrLocked)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it waited %v", took)
		}
		return nil
	})
}

// testTryLock: work that must not wait leaves out what somebody else has locked.
func testTryLock(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	try := func() (err error) {
		return e.st.Update(context.Background(), func(tx store.Tx) error {
			_, err := watched{tx, e.suite}.TryLockSession(s.ID)
			return err
		})
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, e.st.Update(context.Background(), func(tx store.Tx) error { _, err := tx.TryLockSession(1 << 40); return err }), store.ErrNotFound)
	concurrent := e.concurrent()
	for _, lock := range []func(store.Tx) error{
		func(tx store.Tx) error { _, err := tx.LockSession(s.ID); return err },
		func(tx store.Tx) error { _, err := tx.LockAgent(f.agent.ID); return err },
	} {
		locked, end := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- e.st.Update(context.Background(), func(tx store.Tx) error {
				err := lock(tx)
				close(locked)
				<-end
				return err
			})
		}()
		<-locked
		tried := make(chan error, 1)
		go func() { tried <- try() }()
		// Where there is one writer, it comes after the other; else it does not wait.
		var err error
		select {
		case err = <-tried:
			close(end)
			wantErr(t, err, store.ErrLocked)
		case <-time.After(300 * time.Millisecond):
			if concurrent {
				t.Error("it waits for the lock")
			}
			close(end)
			err = <-tried
			if err != nil {
				t.Error(err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// concurrent reports whether updates of the database run beside each other.
func (e *env) concurrent() bool {
	both := make(chan struct{})
	done := make(chan error, 1)
	var got bool
	err := e.st.Update(context.Background(), func(store.Tx) error {
		go func() {
			done <- e.st.Update(context.Background(), func(store.Tx) error { close(both); return nil })
		}()
		select {
		case <-both:
			got = true
		case <-time.After(200 * time.Millisecond):
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if err := <-done; err != nil {
		e.t.Fatal(err)
	}
	return got
}

func testSeen(t *testing.T, e *env) {
	f := e.fixture()
	at := store.Seen{At: e.clock.Now().Add(time.Minute), Lease: e.in(time.Minute)}
	late := store.Seen{At: at.At.Add(time.Hour), Lease: at.Lease.Add(-30 * time.Second)} // the wall clock was set
	for _, seen := range []store.Seen{at, late} {                                        // a late write changes nothing
		if err := e.st.MarkSeen(t.Context(), map[int64]store.Seen{f.agent.ID: seen}); err != nil {
			t.Fatal(err)
		}
	}
	e.view(func(tx store.Tx) error {
		same(t, "last seen", must[*store.Agent](t)(tx.Agent(f.agent.ID)).Seen, at)
		return nil
	})
}
