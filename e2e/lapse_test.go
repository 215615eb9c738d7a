//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func id(l *launched) string { return strconv.FormatInt(l.Session.ID, 10) }

// TestNobodyLeft kills the player and the server for good: the app is warned, and closed
// when its lease ends. What happened is told when they come back.
func TestNobodyLeft(t *testing.T) {
	const heartbeat, window = 1, 2
	s := newServer(t)
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	file := filepath.Join(t.TempDir(), "pids")
	app := org.app("Titration", heartbeat, []int{window, 1}, "--children", "2", "--pid-file", file)
	d := enrol(t, root, s.url, "LAB-204")
	d.up()
	l := s.signIn("ann", userPassword).mustLaunch(app, 0)
	d.do("launch", l.Link)
	root.awaitStatus(l.Session.ID, "running")
	eventually(t, 20*time.Second, "the app and its descendants run", func() bool { return complete(file, 2) })
	// It outlives its first lease while there is somebody to renew it.
	first := root.session(l.Session.ID).Lease
	eventually(t, 20*time.Second, "the lease is renewed past its first end", func() bool {
		now := root.session(l.Session.ID).Lease
		return now != nil && now.ExpiresAt.After(first.ExpiresAt.Add(time.Second))
	})
	if n := len(alive(pids(file))); n != 5 {
		t.Fatalf("%d processes run under a lease that is renewed", n)
	}

	d.stop(syscall.SIGKILL)
	// The player is gone, so this is the last lease.
	end := root.session(l.Session.ID).Lease.ExpiresAt
	s.stop(syscall.SIGKILL)
	warnings := filepath.Join(d.dir, "warnings.log")
	var warned []time.Time
	var gone time.Time
	eventually(t, 30*time.Second, "the app is gone", func() bool {
		b, _ := os.ReadFile(warnings)
		for n := strings.Count(string(b), "will close in"); len(warned) < n; {
			warned = append(warned, time.Now())
		}
		gone = time.Now()
		return len(alive(pids(file))) == 0
	})
	t.Logf("the lease ended at %s; warned at %v; gone at %s", end.Format(time.StampMilli), warned, gone.Format(time.StampMilli))
	b, _ := os.ReadFile(warnings)
	if two, one := strings.Index(string(b), "in 2 seconds"), strings.Index(string(b), "in 1 second."); len(warned) != 2 || two < 0 || one < two {
		t.Errorf("it was warned %d times: %s", len(warned), b)
	}
	// The agent counts from sending the request, the server from committing the lease, so
	// the app ends at most a moment before the server's end, and never after the margin.
	if gone.Before(end.Add(-500*time.Millisecond)) || gone.After(end.Add(force+time.Second)) {
		t.Errorf("gone %v after the lease's end", gone.Sub(end))
	}
	if len(warned) == 2 && gone.Sub(warned[0]) < window*time.Second-100*time.Millisecond {
		t.Errorf("warned only %v before", gone.Sub(warned[0]))
	}

	// The server comes back and knows that the lease has lapsed; then the player, and tells
	// when the app really closed.
	s.up()
	root.awaitStatus(l.Session.ID, "stopped")
	d.up()
	eventually(t, 20*time.Second, "the player tells what happened", func() bool {
		o := root.session(l.Session.ID).Observed
		gap := o.Since.Sub(gone)
		return o.State == "idle" && gap > -time.Second && gap < time.Second
	})
	if got := history(root, l.Session.ID); got != "launched added running stopped" {
		t.Errorf("the history is %s", got)
	}
}
