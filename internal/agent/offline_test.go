package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/fake"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// fixed are terms under which an app runs for an hour without the server.
var fixed = servertest.Terms{Kind: lease.Fixed, Offline: 3600, Seats: 1}

func (w *world) offline() { w.net.set(func() { w.net.down = true }) }
func (w *world) online()  { w.net.set(func() { w.net.down = false }) }

func (w *world) begins(id int64) {
	w.t.Helper()
	if err := w.agent.Start(id); err != nil {
		w.t.Fatal(err)
	}
	w.pass(time.Second)
}

// warnings are what a run's user was warned of, in seconds before its end.
func warnings(t *testing.T, r runner.Run) (list []int) {
	t.Helper()
	for _, e := range events(t, r) {
		if e.Type == guard.Warned {
			list = append(list, int(e.Remaining.Round(time.Second)/time.Second))
		}
	}
	return list
}

// Three days without the server: the app stops and starts, the device's player too, and it
// ends with its lease, warned. All is told later with its real times.
func TestDaysOffline(t *testing.T) {
	day := 24 * time.Hour
	inWorld(t, servertest.Terms{Kind: lease.Fixed, Offline: int(3 * day / time.Second), Heartbeat: 3600}, func(w *world) {
		w.slowly()
		id := w.launch()
		w.pass(10 * time.Second)
		w.want(id, session.Running)
		end := w.Row(id).LeaseEnds
		w.offline()
		w.pass(10 * time.Hour)
		w.run(id, 1).Exit(0)
		w.pass(10 * time.Hour)
		w.begins(id)
		w.pass(10 * time.Hour)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		w.start()
		w.pass(time.Hour)
		if !w.run(id, 2).Alive() {
			t.Fatal("the app did not run on")
		}
		if i := w.info(id); i.LeaseSeconds == nil || *i.LeaseSeconds < 39*3600 || *i.LeaseSeconds > 41*3600 {
			t.Errorf("info %+v", i)
		}
		if _, link := w.agent.List(); link.OK || link.Error == "" || time.Since(link.Since) < 31*time.Hour {
			t.Errorf("link %+v", link)
		}
		w.run(id, 2).Exit(0)
		w.pass(time.Hour)
		third := time.Now()
		w.begins(id)
		w.pass(time.Until(end) - time.Minute/2)
		if i := w.info(id); i.ClosesSeconds == nil || *i.ClosesSeconds > 30 {
			t.Errorf("info %+v", i)
		}
		w.pass(2 * time.Minute)
		r := w.run(id, 3)
		over := exit(t, r).At.Wall
		if over.After(end) || over.Before(end.Add(-5*time.Second)) {
			t.Errorf("ended at %v, its lease at %v", over, end)
		}
		if got := warnings(t, r); !slices.Equal(got, []int{120, 60}) {
			t.Errorf("warnings %v", got)
		}
		w.pass(5 * time.Hour)
		last := time.Now()
		w.begins(id) // and ends unauthorised
		w.pass(time.Hour)
		if took := exit(t, w.run(id, 4)).At.Wall.Sub(last); took != 150*time.Second {
			t.Errorf("without a lease it ran for %v", took)
		}
		var starts []time.Time
		w.net.set(func() {
			w.net.down = false
			w.net.requests = nil
		})
		w.pass(2 * time.Minute)
		for _, m := range w.net.sent() {
			for _, o := range m.Observations {
				if o.Type == session.ObsStarted {
					starts = append(starts, o.At)
				}
			}
		}
		if len(starts) != 3 || !starts[1].Equal(third) || !starts[2].Equal(last) {
			t.Errorf("reported starts %v, want … %v, %v", starts, third, last)
		}
		if s := w.want(id, session.Stopped); s.Run != 4 || !s.ObservedSince.Equal(last.Add(150*time.Second)) {
			t.Errorf("session %+v", s)
		}
	})
}

// With the server in reach a fixed lease is renewed long before it ends.
func TestFixedRenewed(t *testing.T) {
	inWorld(t, fixed, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.beats.Store(int64(time.Minute))
		for range 20 {
			w.pass(10 * time.Minute)
			if i := w.info(id); i.LeaseSeconds == nil || *i.LeaseSeconds < 3500 {
				t.Fatalf("info %+v", i)
			}
		}
		w.run(id, 1).Exit(0)
		w.pass(3 * time.Hour)
		if i := w.info(id); i.LeaseSeconds == nil || *i.LeaseSeconds < 3500 {
			t.Errorf("while it is stopped: %+v", i)
		}
	})
}

// Given back offline, the lease covers no run from then on, and its seat is free when the
// server hears of it, though the agent was killed in between.
func TestReturnOffline(t *testing.T) {
	inWorld(t, fixed, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		w.offline()
		if err := w.agent.Return(id); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		w.pass(10 * time.Minute)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(time.Minute)
		if i := w.info(id); i.LeaseSeconds != nil {
			t.Errorf("it still holds a lease: %+v", i)
		}
		if w.Session(id).Lease == nil {
			t.Error("the seat is free though nobody told the server")
		}
		w.begins(id)
		w.pass(time.Minute)
		w.run(id, 2).Exit(0)
		w.online()
		w.pass(2 * time.Minute)
		s := w.want(id, session.Stopped)
		if s.Lease != nil || s.LastActivityAt.Before(at) {
			t.Errorf("session %+v, lease %+v", s, s.Lease)
		}
	})
}

func TestReturnFloating(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		if err := w.agent.Return(id); !errors.Is(err, agent.ErrFloating) {
			t.Errorf("return: %v", err)
		}
	})
}

// A wall clock that somebody sets moves no lease, and no report.
func TestClockSet(t *testing.T) {
	for name, by := range map[string]time.Duration{"back": -48 * time.Hour, "forward": 30 * 24 * time.Hour, "to 1970": -40 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, fixed, func(w *world) {
				id := w.launch()
				w.pass(10 * time.Second)
				w.offline()
				began := time.Now()
				w.pass(10 * time.Minute)
				w.device.set(by)
				w.pass(20 * time.Minute)
				w.run(id, 1).Exit(0)
				stopped := time.Now()
				w.pass(time.Second)
				w.begins(id)
				w.pass(time.Hour)
				e := exit(t, w.run(id, 2))
				if took := e.At.Wall.Add(-by).Sub(began); took > time.Hour || took < time.Hour-20*time.Second {
					t.Errorf("it ended %v after the server was lost", took)
				}
				w.net.set(func() {
					w.net.down = false
					w.net.requests = nil
				})
				w.pass(2 * time.Minute)
				if _, link := w.agent.List(); !link.OK {
					t.Fatalf("link %+v", link)
				}
				for _, o := range w.net.sent()[0].Observations {
					if by < 0 && o.Type == session.ObsExited && o.Run == 1 && !o.At.Equal(stopped) {
						t.Errorf("run 1 is said to have ended at %v, it did at %v", o.At, stopped)
					}
				}
				if s := w.Session(id); s.Run != 2 || s.ObservedSince.After(time.Now()) || s.ObservedSince.Before(began) {
					t.Errorf("session %+v", s)
				}
			})
		})
	}
}

// A lease goes on while the machine sleeps.
func TestSuspend(t *testing.T) {
	inWorld(t, fixed, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.offline()
		w.device.suspend(50 * time.Minute)
		w.pass(time.Minute)
		if i := w.info(id); !w.run(id, 1).Alive() || i.LeaseSeconds == nil || *i.LeaseSeconds > 10*60 {
			t.Fatalf("after 50 minutes of sleep: %+v", i)
		}
		w.device.suspend(time.Hour)
		w.pass(time.Minute)
		exit(t, w.run(id, 1))
		if i := w.info(id); i.Status != agent.Stopped || i.LeaseSeconds != nil {
			t.Errorf("after the lease's end: %+v", i)
		}
		w.begins(id)
		w.pass(10 * time.Minute)
		r := w.run(id, 2)
		if took := exit(t, r).At.Sub(events(t, r)[0].At); took != 150*time.Second {
			t.Errorf("without a lease it ran for %v", took)
		}
	})
}

// The machine is off, and comes back with its clock set back, or with an empty battery:
// nothing is gained, and what it reports is taken.
func TestBootedWithAWrongClock(t *testing.T) {
	for name, by := range map[string]time.Duration{"set back": -48 * time.Hour, "empty battery": -40 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, fixed, func(w *world) {
				id := w.launch()
				w.pass(10 * time.Second)
				w.offline()
				w.pass(20 * time.Minute)
				before := *w.info(id).LeaseSeconds
				if err := w.end(); err != nil {
					t.Fatal(err)
				}
				w.run(id, 1).KillGuard()
				w.device.reboot("two", by)
				booted := time.Now()
				w.start()
				w.pass(10 * time.Second)
				if i := w.info(id); i.Status != agent.Stopped || i.LeaseSeconds == nil || *i.LeaseSeconds > before+60 {
					t.Fatalf("booted with %d s left, it was %d: %+v", *i.LeaseSeconds, before, i)
				}
				w.begins(id)
				w.pass(time.Hour)
				r := w.run(id, 2)
				if took := exit(t, r).At.Sub(events(t, r)[0].At); took > time.Duration(before+60)*time.Second || took < 30*time.Minute {
					t.Errorf("it ran for %v", took)
				}
				w.online()
				w.pass(2 * time.Minute)
				if _, link := w.agent.List(); !link.OK {
					t.Fatalf("link %+v", link)
				}
				if s := w.Session(id); s.Run != 2 || s.Observed != session.IsIdle || s.ObservedSince.Before(booted) {
					t.Errorf("session %+v, booted %v", s, booted)
				}
			})
		})
	}
}

// A state folder copied to another machine: both get nothing more, and the apps of both end
// with the leases that they have.
func TestCopiedFolder(t *testing.T) {
	inWorld(t, fixed, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(filepath.Dir(w.dir), "copy")
		if err := os.CopyFS(copied, os.DirFS(w.dir)); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(2 * time.Minute)
		other := fake.New(boottime.Go, nil)
		b, err := agent.Open(agent.Config{Dir: copied, Server: w.net, Runner: other, Apps: w.apps, Clock: boottime.Go})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, stop := context.WithCancel(context.Background())
		over := make(chan error)
		go func() { over <- b.Run(ctx) }()
		defer func() {
			stop()
			if err := <-over; err != nil {
				t.Error(err)
			}
		}()
		w.pass(time.Second)
		// Where the copy is, the run never began: it is started once more there.
		began := time.Now()
		w.pass(10 * time.Minute)
		_, one := w.agent.List()
		_, two := b.List()
		if !one.Quarantined || !two.Quarantined {
			t.Errorf("quarantined: %v and %v", one.Quarantined, two.Quarantined)
		}
		w.pass(time.Hour)
		for name, r := range map[string]*fake.Run{"the original": w.run(id, 1), "the copy": other.Get(runner.Key{Session: id, Run: 2})} {
			if r == nil {
				t.Errorf("%s: no run", name)
				continue
			}
			if at := exit(t, r).At.Wall; at.After(began.Add(time.Hour)) {
				t.Errorf("%s ended %v after the copy was there", name, at.Sub(began))
			}
		}
		w.pass(time.Hour)
		if s := w.Session(id); s.Lease != nil {
			t.Errorf("a lease is out: %+v", s.Lease)
		}
	})
}

// An expired session that is started runs at once, is refused beside, warns twice and is
// closed after two minutes.
func TestExpiredIsStarted(t *testing.T) {
	for name, terms := range map[string]servertest.Terms{"floating": floating, "fixed": fixed} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, terms, func(w *world) {
				id := w.launch()
				w.pass(time.Second)
				w.run(id, 1).Exit(0)
				w.pass(time.Minute)
				w.Act(id, session.Expire, "the course is over")
				w.pass(2 * time.Minute)
				w.want(id, session.Expired)
				w.net.set(func() { w.net.delay = 5 * time.Second })
				at := time.Now()
				if err := w.agent.Start(id); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Second)
				r := w.run(id, 2)
				if !r.Alive() {
					t.Fatal("it waits for the network")
				}
				w.pass(30 * time.Second)
				if s := w.want(id, session.Expired); s.Observed != session.IsRunning || s.Lease != nil {
					t.Errorf("session %+v, lease %+v", s, s.Lease)
				}
				if i := w.info(id); i.Status != agent.Closing || i.ClosesSeconds == nil || *i.ClosesSeconds > 110 || i.Reason == "" {
					t.Errorf("info %+v", i)
				}
				w.pass(10 * time.Minute)
				if took := exit(t, r).At.Wall.Sub(at); took < 2*time.Minute || took > 2*time.Minute+15*time.Second {
					t.Errorf("it ran for %v", took)
				}
				if got := warnings(t, r); !slices.Equal(got, []int{120, 60}) {
					t.Errorf("warnings %v", got)
				}
				if s := w.want(id, session.Expired); s.Observed != session.IsIdle {
					t.Errorf("session %+v", s)
				}
			})
		})
	}
}
