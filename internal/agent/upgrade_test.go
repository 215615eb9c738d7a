package agent_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"leasehold/internal/agent"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// What a run runs, and what is on the machine.
func (w *world) wantVersion(id, n, method int64, there ...int64) {
	w.t.Helper()
	if got := w.run(id, n).Spec().Argv[0]; got != fmt.Sprint(method) {
		w.t.Errorf("run %d runs version %s, want %d", n, got, method)
	}
	if got := w.apps.packages(); !slices.Equal(got, there) {
		w.t.Errorf("packages %v are on the machine, want %v", got, there)
	}
}

// A newer version is brought beside the one that runs; that runs on under its own seat, and
// the next start is the newer one.
func TestUpgradeWhileRunning(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		old := w.method.ID
		next := w.successor(floating).ID
		w.apps.set(func() { w.apps.block = make(chan struct{}) })
		w.pass(2 * time.Minute)
		w.want(id, session.UpgradeRequested)
		if u := w.info(id).Upgrade; u == nil || u.Method != next || u.Status != agent.UpgradeAdding || u.Progress != 42 {
			t.Fatalf("upgrade %+v", u)
		}
		if s := w.Session(id); s.Progress != 42 {
			t.Errorf("the server knows of %d %%", s.Progress)
		}
		w.wantVersion(id, 1, old, old)
		close(w.apps.block)
		w.apps.set(func() { w.apps.block = nil })
		w.pass(2 * time.Second)
		s := w.want(id, session.Running)
		if s.DeliveryMethodID != next || s.RunMethod != old || s.Lease == nil || s.Lease.DeliveryMethod != old {
			t.Fatalf("granted: %+v, lease %+v", s, s.Lease)
		}
		if u := w.info(id).Upgrade; u == nil || u.Status != agent.UpgradeNext {
			t.Errorf("upgrade %+v", u)
		}
		w.pass(time.Hour)
		if s := w.want(id, session.Running); !w.run(id, 1).Alive() || s.Lease == nil || s.Lease.DeliveryMethod != old {
			t.Fatalf("the old version did not run on: %+v", s.Lease)
		}
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		w.want(id, session.Stopped)
		if i := w.info(id); i.Upgrade != nil || i.Method != next {
			t.Errorf("after the exit: %+v", i)
		}
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.wantVersion(id, 2, next, next)
		if s := w.want(id, session.Running); s.RunMethod != next || s.Lease == nil || s.Lease.DeliveryMethod != next {
			t.Errorf("run 2: %+v, lease %+v", s, s.Lease)
		}
	})
}

// An app that is stopped is upgraded at once; a start in the middle runs what is there.
func TestUpgradeWhileStopped(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.run(id, 1).Exit(0)
		w.pass(time.Minute)
		old := w.method.ID
		next := w.successor(floating).ID
		w.apps.set(func() { w.apps.block = make(chan struct{}) })
		w.pass(2 * time.Minute)
		w.want(id, session.UpgradeRequested)
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Second)
		w.wantVersion(id, 2, old, old)
		w.want(id, session.Running)
		w.run(id, 2).Exit(0)
		w.pass(time.Second)
		close(w.apps.block)
		w.apps.set(func() { w.apps.block = nil })
		w.pass(3 * time.Minute)
		if s := w.want(id, session.Stopped); s.DeliveryMethodID != next {
			t.Errorf("session %+v", s)
		}
		if i := w.info(id); i.Method != next || i.Upgrade != nil {
			t.Errorf("info %+v", i)
		}
		if got := w.apps.packages(); !slices.Equal(got, []int64{next}) {
			t.Errorf("packages %v", got)
		}
	})
}

// A fixed lease of the old version is its seat: it is given back, and the next start takes
// one of the new version's.
func TestUpgradeGivesTheSeatBack(t *testing.T) {
	for name, kinds := range map[string][2]lease.Kind{
		"fixed to fixed":    {lease.Fixed, lease.Fixed},
		"fixed to floating": {lease.Fixed, lease.Floating},
		"floating to fixed": {lease.Floating, lease.Fixed},
	} {
		t.Run(name, func(t *testing.T) {
			terms := func(k lease.Kind) servertest.Terms {
				if k == lease.Fixed {
					return servertest.Terms{Kind: k, Offline: 3600, Seats: 1}
				}
				return servertest.Terms{Kind: k, Seats: 1}
			}
			inWorld(t, terms(kinds[0]), func(w *world) {
				id := w.launch()
				w.pass(time.Second)
				w.want(id, session.Running)
				next := w.successor(terms(kinds[1])).ID
				w.pass(3 * time.Minute)
				if s := w.Session(id); s.DeliveryMethodID != next || s.Lease == nil || s.Lease.DeliveryMethod != w.method.ID {
					t.Fatalf("session %+v, lease %+v", s, s.Lease)
				}
				w.run(id, 1).Exit(0)
				w.pass(3 * time.Minute)
				if s := w.want(id, session.Stopped); s.Lease != nil && s.Lease.DeliveryMethod != next {
					t.Errorf("the old seat is not given back: %+v", s.Lease)
				}
				if err := w.agent.Start(id); err != nil {
					t.Fatal(err)
				}
				w.pass(2 * time.Second)
				s := w.want(id, session.Running)
				if s.Lease == nil || s.Lease.DeliveryMethod != next || s.Lease.Kind != kinds[1] {
					t.Errorf("lease %+v", s.Lease)
				}
				if i := w.info(id); i.Licence != kinds[1] || i.LeaseSeconds == nil {
					t.Errorf("info %+v", i)
				}
			})
		})
	}
}

// Put off, it is not brought for a day; by hand it is.
func TestUpgradePutOff(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		if err := w.agent.PutOff(id); !errors.Is(err, agent.ErrNoUpgrade) {
			t.Errorf("put off nothing: %v", err)
		}
		if err := w.agent.Upgrade(id); !errors.Is(err, agent.ErrNoUpgrade) {
			t.Errorf("upgrade to nothing: %v", err)
		}
		next := w.successor(floating).ID
		w.apps.set(func() { w.apps.block = make(chan struct{}) })
		w.pass(2 * time.Minute)
		w.want(id, session.UpgradeRequested)
		if err := w.agent.PutOff(id); err != nil {
			t.Fatal(err)
		}
		w.apps.set(func() { w.apps.block = nil })
		w.pass(time.Minute)
		w.want(id, session.Running)
		if u := w.info(id).Upgrade; u == nil || u.Status != agent.UpgradePutOff || u.Seconds < 23*3600 {
			t.Fatalf("upgrade %+v", u)
		}
		w.pass(time.Hour)
		if s := w.want(id, session.Running); s.DeliveryMethodID != w.method.ID {
			t.Fatal("upgraded all the same")
		}
		if err := w.agent.Upgrade(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if s := w.want(id, session.Running); s.DeliveryMethodID != next {
			t.Errorf("not upgraded: %+v", s)
		}
		if err := w.agent.PutOff(id); !errors.Is(err, agent.ErrUpgraded) {
			t.Errorf("put off what is granted: %v", err)
		}
	})
}

func TestUpgradePutOffForADay(t *testing.T) {
	if testing.Short() {
		t.Skip("a day of check-ins")
	}
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.run(id, 1).Exit(0)
		w.apps.set(func() { w.apps.block = make(chan struct{}) })
		next := w.successor(floating).ID
		w.pass(2 * time.Minute)
		if err := w.agent.PutOff(id); err != nil {
			t.Fatal(err)
		}
		w.apps.set(func() { w.apps.block = nil })
		w.net.set(func() { w.net.down = true })
		w.slowly()
		w.pass(24*time.Hour - 10*time.Minute)
		w.net.set(func() { w.net.down = false })
		w.pass(5 * time.Minute)
		if w.Session(id).DeliveryMethodID == next {
			t.Error("upgraded within the day")
		}
		w.pass(15 * time.Minute)
		if w.Session(id).DeliveryMethodID != next {
			t.Error("not upgraded after the day")
		}
	})
}

// Withdrawn, the version and its package go, whatever was there of it.
func TestUpgradeWithdrawn(t *testing.T) {
	for _, name := range []string{"while it is added", "when it cannot be added"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, floating, func(w *world) {
				id := w.launch()
				w.pass(time.Second)
				if name == "while it is added" {
					w.apps.set(func() { w.apps.block = make(chan struct{}) })
				} else {
					w.apps.set(func() { w.apps.fail = fmt.Errorf("%w: bad digest", agent.ErrUnusable) })
				}
				w.successor(floating)
				w.pass(2 * time.Minute)
				w.want(id, session.UpgradeRequested)
				if name != "while it is added" && !strings.Contains(w.Session(id).Problem, "bad digest") {
					t.Errorf("the administrator sees %q", w.Session(id).Problem)
				}
				w.succeed(0)
				w.pass(2 * time.Minute)
				w.want(id, session.Running)
				if i := w.info(id); i.Upgrade != nil {
					t.Errorf("upgrade %+v", i.Upgrade)
				}
				if s := w.Session(id); s.Problem != "" || s.Progress != 0 {
					t.Errorf("left: %q, %d %%", s.Problem, s.Progress)
				}
				w.wantVersion(id, 1, w.method.ID, w.method.ID)
			})
		})
	}
}

// The server has moved the session, and the agent has lost what it knew of the new version:
// it is brought again, and runs then.
func TestUpgradeLost(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		next := w.successor(floating).ID
		w.pass(2 * time.Minute)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("sessions/%d.json", id)
		w.change(path, func(r map[string]any) { delete(r, "upgrade") })
		w.apps.set(func() { delete(w.apps.there, next) })
		w.start()
		w.pass(2 * time.Minute)
		w.run(id, 1).Exit(0)
		w.pass(time.Minute)
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Second)
		w.wantVersion(id, 2, next, next)
		w.want(id, session.Running)
	})
}

// Another session of the old version keeps its package.
func TestUpgradeKeepsWhatOthersNeed(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		one := w.launch()
		w.pass(time.Second)
		w.run(one, 1).Exit(0)
		w.pass(time.Second)
		two := w.launch() // supersedes it, so that it is offered nothing
		w.pass(time.Second)
		w.run(two, 1).Exit(0)
		next := w.successor(floating).ID
		w.pass(3 * time.Minute)
		if w.info(one).Method != w.method.ID || w.info(two).Method != next {
			t.Fatalf("one %+v, two %+v", w.info(one), w.info(two))
		}
		if got := w.apps.packages(); !slices.Equal(got, []int64{w.method.ID, next}) {
			t.Errorf("packages %v", got)
		}
		for _, id := range []int64{one, two} {
			if err := w.agent.Remove(id); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(time.Minute)
		if got := w.apps.packages(); len(got) != 0 {
			t.Errorf("packages %v are left", got)
		}
	})
}

// What keeps an app from being added is told to the server, as the server takes it.
func TestProblemReachesTheServer(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.apps.fail = fmt.Errorf("%w: \x00\xff%s", agent.ErrUnusable, strings.Repeat("ä", 400))
		id := w.launch()
		w.pass(time.Second)
		p := w.want(id, session.Launched).Problem
		if !strings.HasPrefix(p, "It could not be added: ") || len(p) > wire.MaxText || len(p) < wire.MaxText-2 || !utf8.ValidString(p) || strings.ContainsRune(p, 0) {
			t.Errorf("problem (%d bytes): %q", len(p), p)
		}
		if _, link := w.agent.List(); !link.OK {
			t.Errorf("link %+v", link)
		}
	})
}

// A package that takes long: the server hears how far it is, every other second at most.
func TestProgress(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		w.apps.steps = 100 // one in 200 ms
		id := w.launch()
		w.pass(10*time.Second + 100*time.Millisecond)
		if p := w.Session(id).Progress; p < 35 || p > 50 {
			t.Errorf("after half of it, the server knows of %d %%", p)
		}
		n := len(w.net.sent())
		w.pass(5 * time.Second)
		if n = len(w.net.sent()) - n; n < 2 || n > 3 {
			t.Errorf("%d check-ins in five seconds", n)
		}
		w.pass(10 * time.Second)
		if s := w.want(id, session.Running); s.Progress != 0 {
			t.Errorf("progress %d", s.Progress)
		}
	})
}
