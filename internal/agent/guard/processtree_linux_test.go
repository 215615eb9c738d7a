package guard_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/guard"
)

// processTree is the built program of testdata/processtree.
var processTree = sync.OnceValues(func() (string, error) {
	// Beside the sample app, which is removed after the tests.
	path := filepath.Join(filepath.Dir(sample), "processtree")
	out, err := exec.Command("go", "build", "-o", path, "./testdata/processtree").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build the process tree: %w\n%s", err, out)
	}
	return path, err
})

// treeRun is a run of the process tree, and what tells whether anything of it lives.
type treeRun struct {
	dir, token string
	alive      int // the reading end of the FIFO that its processes hold
}

// growTree returns the spec of a run of the process tree.
func growTree(t *testing.T, args ...string) (guard.Spec, *treeRun) {
	t.Helper()
	program, err := processTree()
	if err != nil {
		t.Fatal(err)
	}
	r := &treeRun{dir: t.TempDir()}
	fifo := filepath.Join(r.dir, "alive")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.alive = fd
	s := spec(time.Minute)
	s.Token = rand.Text()
	r.token = s.Token
	s.Margin = 50 * time.Millisecond
	s.Argv = append([]string{program, "-dir", r.dir}, args...)
	t.Cleanup(func() {
		unix.Close(r.alive)
		// A test that fails must not leave a stopped process behind.
		for _, pid := range r.carriers() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	return s, r
}

// carriers returns the living processes that carry the token of the run.
func (r *treeRun) carriers() []int {
	var list []int
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), guard.EnvToken+"="+r.token) {
			var pid int
			fmt.Sscanf(path, "/proc/%d/", &pid)
			list = append(list, pid)
		}
	}
	return living(list)
}

// beat is when a process of the run last did a step.
func (r *treeRun) beat() time.Time {
	info, err := os.Stat(filepath.Join(r.dir, "beat"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// awaitBeats waits until the tree grows.
func (r *treeRun) awaitBeats(t *testing.T) {
	t.Helper()
	await(t, "the tree to grow", func() bool { return !r.beat().IsZero() })
}

// wantNothing reports what of the run is alive, now and half a second later.
func (r *treeRun) wantNothing(t *testing.T) {
	t.Helper()
	before := r.beat()
	for _, when := range []string{"when the end was told", "500 ms later"} {
		if n, err := unix.Read(r.alive, make([]byte, 1)); n != 0 {
			t.Errorf("%s a process holds the FIFO: read %d, %v", when, n, err)
		}
		if left := r.carriers(); len(left) > 0 {
			t.Errorf("%s processes carry the run's token: %v", when, left)
		}
		if after := r.beat(); !after.Equal(before) {
			t.Errorf("%s a chain goes on: its last step was %v after the end", when, after.Sub(before))
		}
		if when != "500 ms later" {
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// mechanisms runs a test with each way to know that a run is over.
func mechanisms(t *testing.T, test func(t *testing.T, m guard.Proof)) {
	for _, m := range []guard.Proof{guard.ProofCgroup, guard.FrozenCgroup, guard.ProofFreezer, guard.ProofReaped} {
		t.Run(string(m), func(t *testing.T) {
			if !guard.HasMechanism(m) {
				t.Skipf("there is no writable hierarchy for %s here: run these tests as root, or in a cgroup that is delegated to them", m)
			}
			t.Parallel()
			test(t, m)
		})
	}
}

// proofOf is the proof that a mechanism gives.
func proofOf(m guard.Proof) guard.Proof {
	if m == guard.FrozenCgroup {
		return guard.ProofCgroup
	}
	return m
}

// An app whose processes fork, hand over and exit every few milliseconds does not outlive
// its eviction.
func TestAForkChainEnds(t *testing.T) {
	t.Parallel()
	mechanisms(t, func(t *testing.T, m guard.Proof) {
		for _, life := range []string{"20ms", "5ms", "1ms", "300us"} {
			t.Run(life, func(t *testing.T) {
				t.Parallel()
				s, tree := growTree(t, "-chain", life)
				h := spawnWith(t, s, m)
				tree.awaitBeats(t)
				if _, err := h.Close(t.Context(), orderIn(100*time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				events := follow(t, h)
				tree.wantNothing(t)
				if last := events[len(events)-1]; last.Proof != proofOf(m) || last.Outcome != guard.Killed {
					t.Errorf("exited %+v", last)
				}
			})
		}
	})
}

// An app that hands over to a chain of processes and exits has not ended before the chain
// has, also if nobody asks it to.
func TestAnAppThatHandsOverHasNotEnded(t *testing.T) {
	t.Parallel()
	mechanisms(t, func(t *testing.T, m guard.Proof) {
		for _, life := range []string{"20ms", "300us"} {
			t.Run(life, func(t *testing.T) {
				t.Parallel()
				s, tree := growTree(t, "-chain", life, "-for", "1s")
				h := spawnWith(t, s, m)
				tree.awaitBeats(t)
				events := follow(t, h)
				tree.wantNothing(t)
				wantTypes(t, events, "starting started main_exited exited")
				last := events[len(events)-1]
				if last.Proof != proofOf(m) || last.Outcome != guard.ByItself {
					t.Errorf("exited %+v", last)
				}
			})
		}
	})
}
