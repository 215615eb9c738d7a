package agent_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// The journal is lost, or what is on disk is damaged: a new epoch begins with a full
// report, and what runs goes on.
func TestLostJournal(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"gone":   os.Remove,
		"rubble": func(p string) error { return os.WriteFile(p, []byte("{}\nrubble\n"), 0o600) },
		"empty":  func(p string) error { return os.WriteFile(p, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, floating, func(w *world) {
				id := w.launch()
				w.pass(time.Second)
				if err := w.end(); err != nil {
					t.Fatal(err)
				}
				if err := damage(filepath.Join(w.dir, "journal.jsonl")); err != nil {
					t.Fatal(err)
				}
				w.start()
				w.pass(10 * time.Minute)
				w.want(id, session.Running)
				w.Act(id, session.Evict, "")
				w.pass(5 * time.Minute)
				if o := w.want(id, session.Evicted).Order; o.ClosedBy != session.ByAgent {
					t.Errorf("order %+v", o)
				}
			})
		})
	}
}

// A torn last line was told to nobody.
func TestTornJournal(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(w.dir, "journal.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"seq":3,"sess`)
		f.Close()
		w.start()
		w.pass(time.Minute)
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		w.want(id, session.Stopped)
		if m := w.net.requests[len(w.net.requests)-1]; m.Epoch != 1 {
			t.Errorf("epoch %d", m.Epoch)
		}
	})
}

// A session's file is lost while its app runs: the guard is found, and obeys.
func TestLostSession(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(w.dir, "sessions")); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(time.Minute)
		w.want(id, session.Running)
		w.Act(id, session.Evict, "")
		w.pass(5 * time.Minute)
		exit(t, w.run(id, 1))
		if o := w.Session(id).Order; o.ClosedBy != session.ByAgent {
			t.Errorf("order %+v", o)
		}
	})
}

// A machine that was off: the lease that ended meanwhile does not come back to life,
// whatever the wall clock says after the boot.
func TestReboot(t *testing.T) {
	inWorld(t, servertest.Terms{Kind: lease.Fixed, Offline: 3600}, func(w *world) {
		id := w.launch()
		w.pass(time.Second)
		w.run(id, 1).Exit(0)
		w.pass(30 * time.Minute)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.net.set(func() { w.net.down = true })
		left := func(clock boottime.Clock) int64 {
			w.clock = clock
			w.start()
			defer w.end()
			list, _ := w.agent.List()
			if list[0].LeaseSeconds == nil {
				return 0
			}
			return *list[0].LeaseSeconds
		}
		now := time.Now().UTC()
		before := left(boottime.Go)
		if before < 1700 || before > 3600 {
			t.Fatalf("%d s left before the reboot", before)
		}
		stamp := func(boot string, wall time.Time) boottime.Clock {
			return boottime.NewManual(boottime.Stamp{Boot: boot, At: time.Second, Wall: wall})
		}
		if got := left(stamp("two", now.Add(20*time.Minute))); got > before-1190 {
			t.Errorf("20 minutes off: %d s left of %d", got, before)
		}
		// The clock set back gives nothing back, neither in this boot nor in the next.
		if got := left(stamp("three", now.Add(-24*time.Hour))); got > before-1190 {
			t.Errorf("set back: %d s left of %d", got, before)
		}
		if got := left(stamp("four", now.Add(2*time.Hour))); got != 0 {
			t.Errorf("two hours off: %d s left", got)
		}
	})
}
