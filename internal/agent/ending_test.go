package agent_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/runner/fake"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// inUnprovedWorld runs a test with apps of which nothing proves that they have ended, and
// one seat. A lease of the app lives for 300 seconds, and its seat is free 12 later.
func inUnprovedWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	terms := floating
	terms.Seats = 1
	inWorld(t, terms, func(w *world) {
		w.behave = fake.App{Unproved: true}
		test(w)
	})
}

// wantHeld checks that a session that does not run holds its seat all the same.
func (w *world) wantHeld(id int64, status session.Status) *session.Session {
	w.t.Helper()
	s := w.want(id, status)
	if s.Lease == nil || s.Observed == session.IsRunning {
		w.t.Fatalf("observed %s, lease %+v", s.Observed, s.Lease)
	}
	return s
}

// An evicted app that may be left: its end is reported, its seat and its order are for the
// lease's end.
func TestEvictUnproved(t *testing.T) {
	inUnprovedWorld(t, func(w *world) {
		one := w.launch()
		w.pass(10 * time.Second)
		w.Act(one, session.Evict, "maintenance")
		w.pass(3 * time.Minute)
		exit(t, w.run(one, 1))
		s := w.wantHeld(one, session.Evicted)
		if !s.Order.Open() || s.Order.DeliveredAt.IsZero() {
			t.Errorf("order %+v", s.Order)
		}
		eta := w.Row(one).OrderETA
		// Nobody else gets the seat meanwhile.
		w.behave = fake.App{}
		two := w.launch()
		w.pass(10 * time.Second)
		if s := w.Session(two); s.Lease != nil {
			t.Errorf("the seat is held twice: %+v", s.Lease)
		}
		// The newer session supersedes the older one, which has the seat.
		w.pass(time.Until(eta) - time.Second)
		w.wantHeld(one, session.AwaitingExpiry)
		w.pass(40 * time.Second)
		if s := w.want(one, session.AwaitingExpiry); s.Lease != nil || s.Order.ClosedBy != session.ByLapse || s.Order.ClosedAt.Sub(eta).Abs() > time.Second {
			t.Errorf("lease %+v, order %+v, ETA %v", s.Lease, s.Order, eta)
		}
		// The newer session's run, which waited for the seat, has it now.
		w.pass(5 * time.Minute)
		w.want(two, session.Running)
	})
}

// After a boot nothing is left of what ran before.
func TestARebootIsProof(t *testing.T) {
	inUnprovedWorld(t, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.run(id, 1).Exit(0)
		w.pass(10 * time.Second)
		w.wantHeld(id, session.Stopped)
		// A start of the agent is no proof.
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(10 * time.Second)
		w.wantHeld(id, session.Stopped)
		w.Act(id, session.Expire, "")
		w.pass(10 * time.Second)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.device.reboot("two", 0)
		w.start()
		w.pass(10 * time.Second)
		if s := w.want(id, session.Expired); s.Lease != nil || s.Order.ClosedBy != session.ByAgent {
			t.Errorf("lease %+v, order %+v", s.Lease, s.Order)
		}
	})
}

// A run whose end is proved frees nothing while one before it may be left.
func TestTheNextRunProvesNothing(t *testing.T) {
	inUnprovedWorld(t, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.run(id, 1).Exit(0)
		w.pass(10 * time.Second)
		w.wantHeld(id, session.Stopped)
		first := w.Row(id).LeaseFree
		w.behave = fake.App{}
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.want(id, session.Running)
		w.run(id, 2).Exit(0)
		w.pass(10 * time.Second)
		w.wantHeld(id, session.Stopped)
		w.pass(time.Until(first) + 2*time.Minute)
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		w.want(id, session.Running)
		w.run(id, 3).Exit(0)
		w.pass(10 * time.Second)
		if s := w.want(id, session.Stopped); s.Lease != nil {
			t.Errorf("after its time the first run still holds the seat: %+v", s.Lease)
		}
	})
}

// A removed app that may be left is off the device, and its seat is for the lease's end.
func TestRemoveUnproved(t *testing.T) {
	inUnprovedWorld(t, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		if err := w.agent.Remove(id); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			w.pass(10 * time.Second)
			w.wantHeld(id, session.Removed)
			if list, _ := w.agent.List(); len(list) != 0 || w.apps.removed != 1 {
				t.Errorf("list %+v, %d removed", list, w.apps.removed)
			}
			if err := w.end(); err != nil {
				t.Fatal(err)
			}
			w.start()
		}
		w.pass(10 * time.Minute)
		if s := w.want(id, session.Removed); s.Lease != nil {
			t.Errorf("lease %+v", s.Lease)
		}
		if files, err := os.ReadDir(filepath.Join(w.dir, "sessions")); err != nil || len(files) > 0 {
			t.Errorf("left: %v, %v", files, err)
		}
	})
}

// A fixed lease that is returned while its app may be left is free at its end.
func TestReturnUnproved(t *testing.T) {
	inWorld(t, servertest.Terms{Kind: lease.Fixed, Offline: 1800}, func(w *world) {
		w.behave = fake.App{Unproved: true}
		id := w.launch()
		w.pass(10 * time.Second)
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		if err := w.agent.Return(id); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		w.wantHeld(id, session.Stopped)
		w.pass(time.Hour)
		if s := w.want(id, session.Stopped); s.Lease != nil {
			t.Errorf("lease %+v", s.Lease)
		}
	})
}

// The agent was away when the guard was killed, and its record of the session is lost.
func TestLostSessionUnproved(t *testing.T) {
	inUnprovedWorld(t, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.run(id, 1).KillGuard()
		if err := os.RemoveAll(filepath.Join(w.dir, "sessions")); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(10 * time.Second)
		w.wantHeld(id, session.Stopped)
		if i := w.info(id); i.Status != agent.Stopped {
			t.Errorf("info %+v", i)
		}
		w.pass(10 * time.Minute)
		if s := w.Session(id); s.Lease != nil {
			t.Errorf("lease %+v", s.Lease)
		}
	})
}
