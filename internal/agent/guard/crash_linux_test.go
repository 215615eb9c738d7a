package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
)

// The player is killed with its whole process group; the guard lives on, a new
// player finds it and gives it orders, and misses no event.
func TestTheGuardOutlivesThePlayer(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	// As deep as no unix socket address reaches.
	dir := filepath.Join(root, strings.Repeat("d", 120), "7.1")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "pids")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	player := exec.Command(self, sample, file)
	player.Env = append(os.Environ(), envPlayer+"="+dir)
	player.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	player.Stderr = os.Stderr
	out, err := player.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := player.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Errorf("the player did not start the app: %v", err)
	}
	if err := syscall.Kill(-player.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = player.Wait()

	found, err := guard.Find(filepath.Dir(dir))
	if err != nil || len(found) != 1 || !found[0].Alive || found[0].Ended || found[0].Spec.Session != 7 {
		t.Fatalf("found %+v, %v", found, err)
	}
	if _, err := guard.Sweep(t.Context(), dir); !errors.Is(err, guard.ErrAlive) {
		t.Errorf("sweep of a living run: %v", err)
	}
	if err := guard.Remove(dir); !errors.Is(err, guard.ErrAlive) {
		t.Errorf("remove of a living run: %v", err)
	}
	h, err := guard.Attach(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer end(t, h)
	all := pids(t, file, 4)
	if _, err := h.Close(t.Context(), guard.Order{Deadline: boottime.Now().Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	wantTypes(t, follow(t, h), "starting started closing warned warned asked main_exited forced exited")
	if left := living(all); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
}

// The guard is killed as well: its app goes with it, the rest is swept.
func TestSweep(t *testing.T) {
	t.Parallel()
	for _, noCgroup := range []bool{false, true} {
		t.Run(fmt.Sprintf("noCgroup=%v", noCgroup), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			s := spec(time.Minute, "--children", "2", "--pid-file", file, "--ignore-term")
			s.NoCgroup = noCgroup
			h := spawn(t, s)
			all := pids(t, file, 7)
			st, err := h.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(st.Guard, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			await(t, "the guard and its app to die", func() bool { return !h.Alive() && !slices.Contains(living(all), st.PID) })
			if len(living(all)) == 0 {
				t.Error("nothing was left to sweep; this test proves nothing")
			}
			if _, _, err := h.AwaitEvents(t.Context(), fileSize(t, h)); !errors.Is(err, guard.ErrGone) {
				t.Errorf("awaiting events of a dead guard: %v", err)
			}
			if _, err := guard.Attach(t.Context(), h.Dir()); !errors.Is(err, guard.ErrGone) {
				t.Errorf("attach: %v", err)
			}
			// A crash in the middle of a line spoils nothing.
			f, err := os.OpenFile(filepath.Join(h.Dir(), "events.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, `{"type":"exi`)
			f.Close()

			e, err := guard.Sweep(t.Context(), h.Dir())
			if err != nil || e.Outcome != guard.GuardLost || !e.Forced || e.PID != st.PID {
				t.Errorf("swept %+v, %v", e, err)
			}
			if left := living(all); len(left) > 0 {
				t.Errorf("still alive: %v", left)
			}
			again, err := guard.Sweep(t.Context(), h.Dir())
			if err != nil || again.Outcome != e.Outcome {
				t.Errorf("swept again %+v, %v", again, err)
			}
			wantTypes(t, follow(t, h), "starting started exited")
		})
	}
}

func fileSize(t *testing.T, h *guard.Handle) int64 {
	t.Helper()
	_, next, err := guard.ReadEvents(h.Dir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// The player died between making the folder and starting the guard.
func TestARunThatWasNeverStarted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The guard of this one never gets to its claim: it is slow to start.
	_, err := guard.Spawn(ctx, dir, spec(time.Minute), func(dir string) []string {
		return []string{"/bin/true"}
	})
	if !errors.Is(err, context.Canceled) && !errors.Is(err, guard.ErrNotStarted) {
		t.Fatal(err)
	}
	e, err := guard.Sweep(t.Context(), dir)
	if err != nil || e.Outcome != guard.NotStarted {
		t.Errorf("swept %+v, %v", e, err)
	}
	// Now it comes, too late.
	argv := command(dir)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err == nil || !strings.Contains(string(out), "claim") {
		t.Errorf("a guard started in a swept folder: %v, %s", err, out)
	}
}

func TestReboot(t *testing.T) {
	t.Parallel()
	h := spawn(t, spec(time.Minute, "--exit-after", "1ms"))
	follow(t, h)
	await(t, "the guard to end", func() bool { return !h.Alive() })
	// The folder as an earlier boot of the machine would have left it.
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"spec.json", "guard.json", "events.jsonl"} {
		b, err := os.ReadFile(filepath.Join(h.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		s := strings.ReplaceAll(string(b), boottime.Now().Boot, "an-earlier-boot")
		if name == "events.jsonl" {
			lines := strings.SplitAfter(s, "\n")
			s = strings.Join(lines[:2], "")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := guard.Find(filepath.Dir(dir))
	if err != nil || len(found) != 1 || found[0].Alive || found[0].Ended {
		t.Fatalf("found %+v, %v", found, err)
	}
	if e, err := guard.Sweep(t.Context(), dir); err != nil || e.Outcome != guard.Rebooted {
		t.Errorf("swept %+v, %v", e, err)
	}
}

// At the end of the user's session the system sends SIGTERM to everybody.
func TestTheSystemEndsTheGuard(t *testing.T) {
	t.Parallel()
	h := spawn(t, spec(time.Minute))
	st, err := h.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(st.Guard, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantTypes(t, follow(t, h), "starting started closing asked exited")
}

func TestFoldersAreClosedToOthers(t *testing.T) {
	t.Parallel()
	h := spawn(t, spec(time.Minute))
	for name, want := range map[string]os.FileMode{".": 0o700, "spec.json": 0o600, "events.jsonl": 0o600, "guard.sock": 0o600} {
		fi, err := os.Stat(filepath.Join(h.Dir(), name))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
}

// Without a cgroup, what has neither the run's marker nor its session is still
// below the guard; and what forks without end is frozen before it is killed.
func TestNothingHides(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"no environment": `env -i setsid -f sh -c 'echo $$ >> "$0"; exec sleep 1000' "$0"; exec sleep 1000`,
		// Bounded all the same: a test that fails must not take the machine along.
		"forks": `i=0; while [ $i -lt 3000 ]; do i=$((i+1)); setsid -f sh -c 'echo $$ >> "$0"; sleep 0.3; exec sleep 20' "$0"; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			s := spec(time.Minute)
			s.NoCgroup = true
			s.Margin = 50 * time.Millisecond
			s.Argv = []string{"/bin/sh", "-c", "trap '' TERM; " + script, file}
			h := spawn(t, s)
			pids(t, file, 1)
			if _, err := h.Stop(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			events := follow(t, h)
			if left := living(pids(t, file, 1)); len(left) > 0 {
				t.Errorf("still alive: %v", left)
			}
			if last := events[len(events)-1]; last.Outcome != guard.Killed {
				t.Errorf("exited %+v", last)
			}
		})
	}
}
