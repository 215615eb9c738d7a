package agent_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/fake"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

func split(t *testing.T, link string) (server, ticket string) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("server"), u.Query().Get("ticket")
}

func events(t *testing.T, r runner.Run) []runner.Event {
	t.Helper()
	list, _, err := r.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func exit(t *testing.T, r runner.Run) runner.Event {
	t.Helper()
	list := events(t, r)
	last := list[len(list)-1]
	if last.Type != guard.Exited {
		t.Fatalf("the run is not over: %+v", last)
	}
	return last
}

func TestLaunchAndRenew(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		first := w.want(id, session.Running).Lease
		if first == nil || first.Run != 1 {
			t.Fatalf("lease %+v", first)
		}
		w.pass(time.Hour)
		s := w.want(id, session.Running)
		if s.Lease.GrantedAt <= first.ExpiresAt || !w.run(id, 1).Alive() {
			t.Errorf("not renewed: %+v", s.Lease)
		}
		w.run(id, 1).Exit(3)
		w.pass(time.Second)
		if s := w.want(id, session.Stopped); s.Reason != "the app ended with exit code 3" {
			t.Errorf("it ended for the reason %q", s.Reason)
		}
		if s := w.want(id, session.Stopped); s.Lease != nil {
			t.Errorf("a lease is out: %+v", s.Lease)
		}
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		if s := w.want(id, session.Running); s.Run != 2 || s.Lease.Run != 2 {
			t.Errorf("second run: %+v", s)
		}
	})
}

func TestEvict(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		at := time.Now()
		w.Act(id, session.Evict, "maintenance")
		w.pass(time.Second)
		s := w.want(id, session.Evicted)
		if s.Order.DeliveredAt.IsZero() || s.Order.WarnedAt.IsZero() || !s.Order.Open() {
			t.Errorf("order %+v", s.Order)
		}
		// The server knows when the guard closes the app, which is before its lease ends.
		if in := s.Order.ClosesAt.Sub(at); in < 2*time.Minute || in > 2*time.Minute+2*time.Second || !s.Order.ClosesAt.Before(w.Row(id).OrderETA) {
			t.Errorf("the device says that it closes the app %v after it was asked, at the latest at %v", in, w.Row(id).OrderETA)
		}
		w.pass(3 * time.Minute)
		s = w.want(id, session.Evicted)
		if s.Order.ClosedBy != session.ByAgent || s.Lease != nil {
			t.Errorf("order %+v, lease %+v", s.Order, s.Lease)
		}
		e := exit(t, w.run(id, 1))
		if took := e.At.Wall.Sub(at); took < 2*time.Minute || took > 2*time.Minute+2*time.Second || e.Reason != "maintenance" {
			t.Errorf("closed after %v: %+v", took, e)
		}
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		if s := w.want(id, session.Running); s.Lease.Generation != 2 {
			t.Errorf("lease %+v", s.Lease)
		}
	})
}

// The server is gone for good: the guard ends the app at the end of its lease, never later
// than that.
func TestServerGone(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.want(id, session.Running)
		ends := w.Row(id).LeaseEnds
		w.net.set(func() { w.net.down = true })
		w.pass(time.Hour)
		e := exit(t, w.run(id, 1))
		if e.At.Wall.After(ends) || e.At.Wall.Before(ends.Add(-2*time.Second)) {
			t.Errorf("ended at %v, its lease at %v", e.At.Wall, ends)
		}
		if s := w.want(id, session.Stopped); !strings.HasPrefix(s.Reason, session.ReasonLapsed+": nothing heard from LAB-1 since ") {
			t.Errorf("it lapsed for the reason %q", s.Reason)
		}
		// It comes back and hears the real time.
		w.net.set(func() { w.net.down = false })
		w.pass(2 * time.Minute)
		s := w.want(id, session.Stopped)
		if !s.ObservedSince.Equal(e.At.Wall) {
			t.Errorf("observed since %v, it was %v", s.ObservedSince, e.At.Wall)
		}
	})
}

// The server cannot be reached from the start: the app starts all the same, and is closed
// after the authorisation wait and its warnings.
func TestUnauthorised(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.net.set(func() { w.net.down = true })
		id := w.launch()
		w.pass(time.Second)
		r := w.run(id, 1)
		if !r.Alive() {
			t.Fatal("the app waits for the network")
		}
		w.pass(time.Hour)
		list := events(t, r)
		if took := exit(t, r).At.Sub(list[0].At); took != 150*time.Second {
			t.Errorf("it ran for %v", took)
		}
	})
}

func TestRefusedNoSeat(t *testing.T) {
	terms := floating
	terms.Seats = 1
	inWorld(t, terms, func(w *world) {
		one, two := w.launch(), int64(0)
		w.pass(time.Second)
		two = w.launch()
		w.pass(time.Second)
		w.want(one, session.Running)
		w.pass(5 * time.Minute)
		if !w.run(one, 1).Alive() {
			t.Error("the holder was ended")
		}
		r := w.run(two, 1)
		e := exit(t, r)
		if took := e.At.Sub(events(t, r)[0].At); took < 2*time.Minute || took > 2*time.Minute+5*time.Second {
			t.Errorf("refused, it ran for %v", took)
		}
		list, _ := w.agent.List()
		if len(list) != 2 || list[1].Problem == "" || list[1].Status != agent.Stopped {
			t.Errorf("list %+v", list)
		}
	})
}

// Answers are lost, late, doubled; requests arrive twice.
func TestBadNetwork(t *testing.T) {
	for name, worsen := range map[string]func(n *network){
		"lost answers":     func(n *network) { n.loseAnswers = 1 },
		"three lost":       func(n *network) { n.loseAnswers = 3 },
		"doubled requests": func(n *network) { n.twice = true },
		"slow answers":     func(n *network) { n.delay = 20 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, floating, func(w *world) {
				w.net.set(func() { worsen(w.net) })
				id := w.launch()
				w.pass(2 * time.Minute)
				w.want(id, session.Running)
				w.net.set(func() { worsen(w.net) })
				w.pass(10 * time.Minute)
				w.want(id, session.Running)
				if !w.run(id, 1).Alive() {
					t.Error("the app was ended")
				}
				w.net.set(func() { worsen(w.net) })
				w.Act(id, session.Evict, "")
				w.pass(5 * time.Minute)
				if o := w.want(id, session.Evicted).Order; o.ClosedBy != session.ByAgent {
					t.Errorf("order %+v", o)
				}
				if _, link := w.agent.List(); link.Quarantined {
					t.Error("taken for a copy")
				}
				// One request at a time, each with a number of its own.
				var last uint64
				for _, m := range w.net.requests {
					if m.Number <= last {
						t.Fatalf("check-in %d after %d", m.Number, last)
					}
					last = m.Number
				}
			})
		})
	}
}

// A lease counts from the sending of its request, however late the answer is.
func TestCountsFromSending(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.net.set(func() { w.net.delay = 25 * time.Second })
		sent := time.Now()
		id := w.launch()
		w.pass(time.Minute)
		w.want(id, session.Running)
		w.net.set(func() { w.net.down = true })
		w.pass(time.Hour)
		// The first check-ins of the session, and a lease of 300 s from one of them.
		if took := exit(t, w.run(id, 1)).At.Wall.Sub(sent); took > 300*time.Second+60*time.Second {
			t.Errorf("it ran for %v", took)
		}
		r := w.Row(id)
		if r.Lease != nil && exit(t, w.run(id, 1)).At.Wall.After(r.LeaseEnds) {
			t.Error("the app outlived its lease")
		}
	})
}

// The app exits while the answer with its lease is on the way.
func TestExitBeforeAnswer(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.net.set(func() { w.net.delay = 10 * time.Second })
		id := w.launch()
		w.pass(15 * time.Second) // the second check-in is out, which asks for run 1
		w.run(id, 1).Exit(0)
		w.pass(6 * time.Second)
		list, _ := w.agent.List()
		if list[0].LeaseSeconds != nil {
			t.Errorf("the lease of a run that is over is held: %+v", list[0])
		}
		w.pass(time.Minute)
		if s := w.want(id, session.Stopped); s.Lease != nil {
			t.Errorf("lease %+v", s.Lease)
		}
	})
}

func TestForgedAndForeignLeases(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		key, err := lease.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		w.net.set(func() {
			w.net.edit = func(a *wire.Answer) {
				for i, l := range a.Leases {
					g := &lease.Grant{Session: l.Session, Generation: 1, Run: 1}
					a.Leases[i].Token, _ = key.Sign(g, w.net.Agent, time.Hour, "", time.Now())
				}
				a.Keys = nil
			}
		})
		id := w.launch()
		w.pass(time.Hour)
		r := w.run(id, 1)
		if took := exit(t, r).At.Sub(events(t, r)[0].At); took != 150*time.Second {
			t.Errorf("under forged leases it ran for %v", took)
		}
	})
}

func TestRemove(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		if err := w.agent.Remove(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if !w.run(id, 1).Alive() {
			t.Error("ended without its warnings")
		}
		w.pass(2 * time.Minute)
		w.want(id, session.Removed)
		if list, _ := w.agent.List(); len(list) != 0 || w.apps.removed != 1 {
			t.Errorf("list %+v, %d removed", list, w.apps.removed)
		}
		if err := w.agent.Start(id); !errors.Is(err, agent.ErrUnknown) {
			t.Errorf("start: %v", err)
		}
	})
}

func TestCannotBeAdded(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.apps.fail = agent.ErrUnusable
		id := w.launch()
		w.pass(time.Hour)
		w.want(id, session.Launched)
		if list, _ := w.agent.List(); list[0].Status != agent.Adding || list[0].Problem == "" {
			t.Errorf("list %+v", list)
		}
		if err := w.agent.Start(id); !errors.Is(err, agent.ErrNotReady) {
			t.Errorf("start: %v", err)
		}
	})
}

func TestCannotBeStarted(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.behave = fake.App{StartErr: errors.New("no such program")}
		id := w.launch()
		w.pass(time.Minute)
		// Told in one check-in, a run that never held a lease moves no status.
		if s := w.Session(id); s.Observed != session.IsIdle || s.Lease != nil || s.Run != 1 {
			t.Errorf("session %+v", s)
		}
		if list, _ := w.agent.List(); list[0].Status != agent.Stopped || list[0].Problem == "" {
			t.Errorf("list %+v", list)
		}
	})
}

// Push is cut off: the evict arrives with the next check-in.
func TestWithoutPush(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.net.set(func() { w.net.down = true })
		w.Act(id, session.Evict, "")
		w.pass(time.Second)
		w.net.set(func() { w.net.down = false })
		w.pass(70 * time.Second)
		if o := w.Session(id).Order; o.DeliveredAt.IsZero() {
			t.Errorf("order %+v", o)
		}
	})
}

// The user closes the app while the server is away, and opens it again: both are told,
// with their real times.
func TestOffline(t *testing.T) {
	inWorld(t, servertest.Terms{Kind: lease.Fixed, Offline: 3600}, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.want(id, session.Running)
		w.net.set(func() { w.net.down = true })
		w.pass(10 * time.Minute)
		w.run(id, 1).Exit(0)
		w.pass(10 * time.Minute)
		at := time.Now()
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if !w.run(id, 2).Alive() {
			t.Error("a fixed lease covers the next run")
		}
		w.net.set(func() { w.net.down = false })
		w.pass(2 * time.Minute)
		if s := w.Session(id); s.Run != 2 || !s.ObservedSince.Equal(at) || s.Observed != session.IsRunning {
			t.Errorf("session %+v", s)
		}
	})
}

// A fixed lease that was given back stays given back until the app is started again.
func TestReturn(t *testing.T) {
	inWorld(t, servertest.Terms{Kind: lease.Fixed, Offline: 3600, Seats: 1}, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		if err := w.agent.Return(id); !errors.Is(err, agent.ErrRunning) {
			t.Errorf("return of a running app: %v", err)
		}
		w.run(id, 1).Exit(0)
		w.pass(time.Minute)
		if s := w.Session(id); s.Lease == nil {
			t.Error("a fixed lease is held while the app is stopped")
		}
		if err := w.agent.Return(id); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if s := w.want(id, session.Stopped); s.Lease != nil {
			t.Errorf("returned, and out again: %+v", s.Lease)
		}
		if err := w.agent.Return(id); !errors.Is(err, agent.ErrNoLease) {
			t.Errorf("returned twice: %v", err)
		}
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		if s := w.Session(id); s.Lease == nil || s.Lease.Generation != 2 {
			t.Errorf("lease %+v", s.Lease)
		}
	})
}

func TestOneProcess(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		if _, err := agent.Open(agent.Config{Dir: w.dir}); !errors.Is(err, agent.ErrLocked) {
			t.Errorf("a second: %v", err)
		}
	})
}

// A package that is still being added when its session is removed is given up.
func TestRemoveWhileAdding(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.apps.block = make(chan struct{})
		id := w.launch()
		w.pass(time.Second)
		if list, _ := w.agent.List(); len(list) != 1 || list[0].Status != agent.Adding || list[0].Progress != 42 {
			t.Errorf("list %+v", list)
		}
		if err := w.agent.Remove(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.want(id, session.Removed)
		if list, _ := w.agent.List(); len(list) != 0 || w.apps.removed != 1 {
			t.Errorf("list %+v, %d removed", list, w.apps.removed)
		}
	})
}

// The guard closes an app whose lease has ended while the network is away for a moment: the
// row says so, and until when the server was heard from.
func TestClosedByItsDevice(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.net.set(func() { w.net.down = true })
		exited := func() (over bool) {
			for _, e := range events(t, w.run(id, 1)) {
				over = over || e.Type == guard.Exited
			}
			return over
		}
		for !exited() {
			w.pass(time.Second)
		}
		// Its lease has ended, and is not certainly over for the server.
		w.net.set(func() { w.net.down = false })
		w.agent.Wake()
		w.pass(time.Second)
		s := w.want(id, session.Stopped)
		if !strings.HasPrefix(s.Reason, "closed by the device: its lease ended; the server was last heard from at 2000-01-01 00:00:") {
			t.Errorf("it ended for the reason %q", s.Reason)
		}
	})
}

// A start is told once the app's process is there, not when it is about to be, and other
// reasons to check in meanwhile do not change that.
func TestRunningOnceItIsThere(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		w.late.Store(int64(5 * time.Second))
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			w.agent.Wake() // a hint, or another app's news
			w.pass(time.Second)
			w.want(id, session.Stopped)
		}
		w.pass(2 * time.Second)
		if s := w.want(id, session.Running); s.Lease == nil || !w.run(id, 2).Alive() {
			t.Errorf("lease %+v", s.Lease)
		}
	})
}
