package guard_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/guard"
)

// treeSeed repeats what a failed test has printed.
var treeSeed = flag.Uint64("tree-seed", 0, "the seed of the random process trees; 0 takes another each time")

// trees is how many random trees each mechanism has to end.
const trees = 6

// Random process trees end with their guard's word, and nothing of them is left when it is
// said, by each way of knowing it. See testdata/processtree for what grows in them.
func TestRandomProcessTrees(t *testing.T) {
	t.Parallel()
	seed := *treeSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("to repeat it: -tree-seed %d", seed)
	namespaces := namespacesWork()
	if !namespaces {
		t.Log("without PID namespaces: this process may make none; run these tests as root, or allow user namespaces")
	}
	mechanisms(t, func(t *testing.T, m guard.Proof) {
		for i := range uint64(trees) {
			t.Run(fmt.Sprintf("tree %d", i+1), func(t *testing.T) {
				t.Parallel()
				s, tree := growTree(t, "-seed", fmt.Sprint(seed*trees+i), fmt.Sprintf("-namespaces=%v", namespaces), fmt.Sprintf("-stay=%v", i%2 == 0))
				h := spawnWith(t, s, m)
				r := rand.New(rand.NewPCG(seed, i))
				time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
				if _, err := h.Stop(t.Context(), "enough"); err != nil {
					t.Fatal(err)
				}
				events := follow(t, h)
				tree.wantNothing(t)
				last := events[len(events)-1]
				if last.Proof != proofOf(m) {
					t.Errorf("proof %q, want %q", last.Proof, proofOf(m))
				}
				if t.Failed() {
					b, _ := os.ReadFile(filepath.Join(h.Dir(), "app.log"))
					t.Logf("the tree:\n%s", b)
				}
			})
		}
	})
}

// namespacesWork reports whether this process can make a PID namespace, as root or in a
// user namespace.
func namespacesWork() bool {
	flags := uintptr(unix.CLONE_NEWPID)
	if os.Geteuid() != 0 {
		flags |= unix.CLONE_NEWUSER
	}
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
	if err != nil {
		return false
	}
	_, err = p.Wait()
	return err == nil
}

// A guard that is killed, also in the middle of ending its run, leaves its processes to be
// swept. A cgroup then tells when nothing is left; without one nobody can.
func TestSweepOfARandomProcessTree(t *testing.T) {
	t.Parallel()
	mechanisms(t, func(t *testing.T, m guard.Proof) {
		for _, ending := range []bool{false, true} {
			t.Run(fmt.Sprintf("ending=%v", ending), func(t *testing.T) {
				t.Parallel()
				s, tree := growTree(t, "-chain", "3ms", "-for", "5s")
				s.Margin = 20 * time.Millisecond
				h := spawnWith(t, s, m)
				st, err := h.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tree.awaitBeats(t)
				if ending {
					if _, err := h.Stop(t.Context(), "enough"); err != nil {
						t.Fatal(err)
					}
					time.Sleep(s.Margin)
				}
				_ = syscall.Kill(st.Guard, syscall.SIGKILL) // it may have ended the run by now
				await(t, "the guard to die", func() bool { return !h.Alive() })
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				e, err := guard.Sweep(ctx, h.Dir())
				if err != nil {
					t.Fatal(err)
				}
				if e.Outcome != guard.GuardLost && ending {
					t.Skip("the guard had ended the run before it was killed")
				}
				want := proofOf(m)
				if m == guard.ProofReaped {
					want = guard.ProofNone
				}
				if e.Proof != want || (e.Deadline != nil) != (want == guard.ProofNone) {
					t.Errorf("swept %+v, want the proof %q", e, want)
				}
				if want.Proved() {
					tree.wantNothing(t)
				}
			})
		}
	})
}
