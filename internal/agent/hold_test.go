package agent_test

import (
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/room"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// full makes writes to the agent's folder fail as on a full disk, once it is set.
func (w *world) full() *atomic.Bool {
	var full atomic.Bool
	w.hook = func(at string) error {
		if full.Load() && strings.HasPrefix(at, "before") && !strings.HasPrefix(at, "before removing") {
			return &os.PathError{Op: "write", Path: at, Err: syscall.ENOSPC}
		}
		return nil
	}
	return &full
}

// The disk is full for longer than a lease: what runs goes on, an evict is carried out with
// its warnings, and nothing is told before it is on the disk. Then all of it is.
func TestFullDisk(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		full := w.full()
		w.start()
		stays, goes, exits := w.launch(), w.launch(), w.launch()
		w.pass(time.Second)
		full.Store(true)
		w.pass(20 * time.Minute) // a lease lives five
		for _, id := range []int64{stays, goes, exits} {
			if s := w.want(id, session.Running); s.Lease == nil || !w.run(id, 1).Alive() || s.Problem == "" {
				t.Errorf("session %d: %+v", id, s)
			}
		}
		if err := w.agent.Start(stays); !room.Gone(err) {
			t.Errorf("start: %v", err)
		}
		w.run(exits, 1).Exit(0)
		closed := time.Now()
		w.Act(goes, session.Evict, "enough")
		w.pass(3 * time.Minute)
		if exit(t, w.run(goes, 1)).Reason != "enough" || !w.run(stays, 1).Alive() {
			t.Error("the evict is not carried out, or another's app has ended")
		}
		if s := w.want(goes, session.Evicted); s.Stored != 0 || s.Observed != session.IsRunning || !s.Order.DeliveredAt.IsZero() {
			t.Errorf("told what is not on the disk: %+v", s)
		}
		if s := w.want(exits, session.Running); s.Observed != session.IsRunning {
			t.Errorf("told what is not on the disk: %+v", s)
		}
		full.Store(false)
		w.pass(time.Minute)
		o := w.want(goes, session.AwaitingExpiry).Order // a newer session of its app is there
		if o.ClosedBy != session.ByAgent || o.Already || o.WarnedAt.IsZero() || o.DeliveredAt.Sub(o.RequestedAt) > time.Minute {
			t.Errorf("order %+v", o)
		}
		if s := w.want(exits, session.Stopped); !s.ObservedSince.Equal(closed.UTC().Truncate(time.Microsecond)) || s.Lease != nil {
			t.Errorf("it exited at %v: %+v", closed, s)
		}
		if s := w.want(stays, session.Running); s.Run != 1 || s.Problem != "" {
			t.Errorf("%+v", s)
		}
		if err := w.agent.Start(exits); err != nil {
			t.Error(err)
		}
		w.pass(time.Minute)
		w.want(exits, session.Running)
	})
}

// The disk is full from any write in the life of a session on, for a while. It passes, and
// all is as if it had not been, but for what was asked for meanwhile and refused.
func TestFullAtEveryWrite(t *testing.T) {
	for n := int64(1); n < 40; n += stride {
		inWorld(t, servertest.Terms{Kind: lease.Floating}, func(w *world) {
			if err := w.end(); err != nil {
				t.Fatal(err)
			}
			full, writes := w.full(), atomic.Int64{}
			fails := w.hook
			w.hook = func(at string) error {
				if writes.Add(1) == n {
					full.Store(true)
				}
				return fails(at)
			}
			pass := func(d time.Duration) {
				w.pass(d)
				full.Store(false)
				w.pass(time.Minute)
			}
			w.start()
			pass(time.Second)
			id := w.launchAgain(full)
			pass(2 * time.Minute)
			w.want(id, session.Running)
			w.Act(id, session.Evict, "")
			pass(3 * time.Minute)
			if o := w.want(id, session.Evicted).Order; o.ClosedBy != session.ByAgent || o.Already {
				t.Errorf("write %d: order %+v", n, o)
			}
			if err := w.agent.Start(id); err != nil && !room.Gone(err) {
				t.Fatal(err)
			} else if pass(time.Minute); err != nil {
				err = w.agent.Start(id)
				if w.pass(time.Minute); err != nil && w.Session(id).Status != session.Running {
					t.Fatal(err)
				}
			}
			w.want(id, session.Running)
			if list, link := w.agent.List(); len(list) != 1 || link.Quarantined || !link.OK {
				t.Errorf("write %d: %+v, %+v", n, list, link)
			}
		})
	}
}

// launchAgain launches until the agent takes it.
func (w *world) launchAgain(full *atomic.Bool) int64 {
	w.t.Helper()
	l := w.Launch(w.app.ID)
	_, ticket := split(w.t, l.Link)
	r, err := w.redeem(ticket)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.agent.Add(r.Directive); room.Gone(err) {
		w.pass(time.Minute)
		full.Store(false)
		w.pass(time.Minute)
		if _, err := w.agent.Add(r.Directive); err != nil {
			w.t.Fatal(err)
		}
	} else if err != nil {
		w.t.Fatal(err)
	}
	return l.Session.ID
}
