package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/agent/runner"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

var errCrash = errors.New("killed here")

// crasher kills the agent at its nth write: from there on nothing is written any more.
type crasher struct {
	mu    sync.Mutex
	n     int // writes until then; below 0 without a crash
	where string
}

func (c *crasher) at(point string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.n--; {
	case c.n == 0:
		c.where = point
	case c.n < 0 && c.where == "":
		return nil // none is to happen
	case c.n > 0:
		return nil
	}
	return errCrash
}

func (c *crasher) crashed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.where
}

// The agent is killed before, after and amid each of its writes in the life of a session,
// and started again. Nothing is lost, nothing happens twice, nothing is left behind.
func TestKilledAtEveryWrite(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	writes := life(t, 0)
	if writes < 50 {
		t.Fatalf("only %d writes", writes)
	}
	t.Logf("%d writes", writes)
	for n := 1; n <= writes; n += stride {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			life(t, n)
		})
	}
}

// life is the life of a session with a crash at the nth write, or none. It returns how
// many writes there were.
func life(t *testing.T, n int) int {
	c := &crasher{n: n}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, floating)
		w.hook = c.at
		restarted := false
		revive := func() {
			t.Helper()
			if c.crashed() == "" || restarted {
				return
			}
			restarted = true
			if w.agent != nil {
				w.end()
			}
			w.hook = nil
			w.start()
			w.pass(5 * time.Second)
		}
		if w.tryStart() != nil {
			revive()
		}
		defer func() { w.end() }()
		w.pass(time.Second)
		revive()

		id := w.launch()
		w.pass(time.Second)
		revive()
		// A redeemed launch that the agent did not keep comes with a check-in.
		w.pass(2 * time.Minute)
		revive()
		w.want(id, session.Running)

		r := w.latest(id)
		r.Exit(0)
		w.pass(time.Second)
		revive()
		w.want(id, session.Stopped)

		// A newer version, under another kind of licence.
		next := w.successor(servertest.Terms{Kind: lease.Fixed, Offline: 3600}).ID
		w.pass(3 * time.Minute)
		revive()
		w.pass(3 * time.Minute)
		revive()
		if s := w.want(id, session.Stopped); s.DeliveryMethodID != next || w.info(id).Method != next || w.info(id).Upgrade != nil {
			t.Errorf("not upgraded: %+v, %+v", s, w.info(id))
		}
		if got := w.apps.packages(); !slices.Equal(got, []int64{next}) {
			t.Errorf("packages %v", got)
		}

		if err := w.agent.Start(id); err != nil && c.crashed() == "" {
			t.Fatal(err)
		}
		w.pass(2 * time.Second)
		revive()
		if w.Session(id).Status == session.Stopped {
			// The user's click was not kept, and they were told so.
			if err := w.agent.Start(id); err != nil {
				t.Fatal(err)
			}
			w.pass(2 * time.Second)
		}
		if s := w.want(id, session.Running); s.Lease == nil {
			t.Errorf("no lease: %+v", s)
		}

		w.Act(id, session.Evict, "enough")
		w.pass(time.Minute)
		revive()
		w.pass(90 * time.Second) // it has closed, and its ETA is not over
		revive()
		w.pass(time.Minute)
		if o := w.want(id, session.Evicted).Order; o.ClosedBy != session.ByAgent || o.WarnedAt.IsZero() {
			t.Errorf("order %+v", o)
		}
		if w.latest(id).Alive() {
			t.Error("the evicted app runs")
		}

		if err := w.agent.Remove(id); err != nil && c.crashed() == "" {
			t.Fatal(err)
		}
		w.pass(2 * time.Second)
		revive()
		if w.Session(id).Status != session.Removed {
			if err := w.agent.Remove(id); err != nil {
				t.Fatal(err)
			}
			w.pass(2 * time.Second)
		}
		if s := w.want(id, session.Removed); s.Lease != nil {
			t.Errorf("a lease is out: %+v", s.Lease)
		}
		if got := w.apps.packages(); len(got) != 0 {
			t.Errorf("packages %v are left", got)
		}
		if list, link := w.agent.List(); len(list) != 0 || link.Quarantined || !link.OK {
			t.Errorf("left: %+v, %+v", list, link)
		}
		w.history(id)
	})
	t.Logf("killed %s", c.crashed())
	return -c.n
}

// history checks that the session's history leads from each status to the next.
func (w *world) history(id int64) {
	w.t.Helper()
	var list []session.Transition
	err := w.Store.View(context.Background(), func(tx store.Tx) (err error) {
		list, err = tx.Transitions(id)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var text string
	from := session.Status("")
	runs := 0
	for _, tr := range list {
		text += " " + string(tr.To)
		if tr.From != from {
			w.t.Errorf("history does not lead on:%s", text)
		}
		from = tr.To
		if tr.To == session.Running && tr.From != session.RenewalRequested {
			runs++
		}
	}
	if runs != 2 {
		w.t.Errorf("%d runs in the history, want 2:%s", runs, text)
	}
}

// tryStart is start, for an agent that may be killed while it starts.
func (w *world) tryStart() (err error) {
	a, err := w.open()
	if err != nil {
		return err
	}
	w.begin(a)
	return nil
}

// latest is the latest run of a session.
func (w *world) latest(id int64) interface {
	Exit(int)
	Alive() bool
} {
	w.t.Helper()
	for n := int64(9); n > 0; n-- {
		if r := w.runner.Get(runner.Key{Session: id, Run: n}); r != nil {
			return r
		}
	}
	w.t.Fatalf("session %d has no run", id)
	return nil
}
