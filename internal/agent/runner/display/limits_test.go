//go:build linux

package display_test

import (
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/runner/display"
)

// The memory, processes and processor time of a session end where its host says, by
// cgroups of either version, and nothing of them is left.
func TestLimits(t *testing.T) {
	if !account.Can() {
		t.Skip("cgroups of version 1 are root's: run these tests as root")
	}
	h := newHarness(t, func(c *display.Config) { c.MemoryBytes, c.Processes, c.CPUPercent = 256<<20, 300, 150 })
	s := h.up(spec(1, "/bin/sh", "-c", `cat /proc/self/cgroup > "$HOME/cgroups"; perl -e '$x = "x" x (1<<30); print "got it\n"' > "$HOME/memory" 2>&1;
		perl -e 'for (1..1000) { my $p = fork; if (!defined $p) { print "stopped after $_\n"; last } if (!$p) { sleep 5; exit } }' > "$HOME/processes"
		: > "$HOME/done"; exec `+sample))
	home := filepath.Join(s.dir, "home")
	await(t, "the attempts", func() bool { return exists(filepath.Join(home, "done")) })
	if got := readFile(t, filepath.Join(home, "memory")); strings.Contains(got, "got it") {
		t.Error("a session of 256 MiB has 1 GiB")
	}
	if got := readFile(t, filepath.Join(home, "processes")); !strings.Contains(got, "stopped") {
		t.Errorf("a session of 300 processes has a thousand: %s", got)
	}
	if log := readFile(t, filepath.Join(h.root, "runs", "1.1", "guard.log")); strings.Contains(log, "limited") {
		t.Errorf("a limit does not hold: %s", log)
	}
	s.stop()
	s.exit()
	s.nothingLeft()
	await(t, "the guard to end", func() bool { return !living(s.guard()) })
	left, _ := filepath.Glob("/sys/fs/cgroup/*/leasehold-1.1-" + s.token[:8])
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
