package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner/runnertest"
	"leasehold/internal/agent/sampletest"
)

// The test binary is also the guard, and a player that can be killed.
const (
	envGuard  = "LEASEHOLD_TEST_GUARD"
	envPlayer = "LEASEHOLD_TEST_PLAYER"
	// envMechanism leaves a guard one way to know that its run is over.
	envMechanism = "LEASEHOLD_TEST_MECHANISM"
)

// sample is the built sample app.
var sample string

// slack is how late a busy machine may be.
const slack = 2 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(envGuard) != "" {
		guard.UseMechanism(guard.Proof(os.Getenv(envMechanism)))
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := guard.Main(ctx, os.Args[1])
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(envPlayer); dir != "" {
		// A player that starts a run and hangs until it is killed.
		sample = os.Args[1]
		if _, err := guard.Spawn(context.Background(), dir, spec(time.Minute, "--children", "1", "--pid-file", os.Args[2]), command); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("started")
		select {}
	}
	os.Exit(sampletest.Run(m, &sample))
}

// command is the guard's command line: this binary, told by its environment.
func command(dir string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// The race detector would hold each guard for a second at its exit.
	return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", envGuard + "=1", envPlayer + "=", self, dir}
}

// commandWith is the command line of a guard that has one mechanism only.
func commandWith(mechanism guard.Proof) func(dir string) []string {
	return func(dir string) []string {
		argv := command(dir)
		return slices.Insert(argv, len(argv)-2, envMechanism+"="+string(mechanism))
	}
}

// spec is a run of the sample app that has lifetime until its deadline.
func spec(lifetime time.Duration, args ...string) guard.Spec {
	return guard.Spec{
		Session: 7, Run: 1, App: "Sample",
		Argv:     append([]string{sample, "--terminal"}, args...),
		Warnings: []time.Duration{1200 * time.Millisecond, 600 * time.Millisecond},
		Margin:   2 * time.Second,
		Deadline: boottime.Now().Add(lifetime), Authority: runnertest.Authority(),
	}
}

// extend extends a run by a lease that answers a challenge of its guard.
func extend(t *testing.T, h *guard.Handle, deadline boottime.Stamp, generation uint64) (bool, error) {
	t.Helper()
	challenge, err := h.Challenge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Extend(t.Context(), runnertest.Lease(t, h.Spec(), challenge, deadline, generation))
}

func spawn(t *testing.T, s guard.Spec) *guard.Handle {
	t.Helper()
	return spawnWith(t, s, "")
}

// spawnWith has the guard use one mechanism only.
func spawnWith(t *testing.T, s guard.Spec, mechanism guard.Proof) *guard.Handle {
	t.Helper()
	h, err := guard.Spawn(t.Context(), filepath.Join(t.TempDir(), "run"), s, commandWith(mechanism))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, h) })
	return h
}

// end leaves nothing of a run behind, whatever the test did.
func end(t *testing.T, h *guard.Handle) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if h.Alive() {
		_, _ = h.Stop(ctx, "end of the test")
		await(t, "the guard to end", func() bool { return !h.Alive() })
	}
	if _, err := guard.Sweep(ctx, h.Dir()); err != nil {
		t.Errorf("sweep: %v", err)
	}
	if t.Failed() {
		b, _ := os.ReadFile(filepath.Join(h.Dir(), "guard.log"))
		t.Logf("guard.log:\n%s", b)
		b, _ = os.ReadFile(filepath.Join(h.Dir(), "events.jsonl"))
		t.Logf("events:\n%s", b)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// follow returns all events of a run, when it has ended.
func follow(t *testing.T, h *guard.Handle) []guard.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []guard.Event
	for from := int64(0); ; {
		events, next, err := h.AwaitEvents(ctx, from)
		if err != nil {
			t.Fatalf("after %v: %v", types(all), err)
		}
		all, from = append(all, events...), next
		if all[len(all)-1].Type == guard.Exited {
			return all
		}
	}
}

func types(events []guard.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, string(e.Type))
	}
	return list
}

func wantTypes(t *testing.T, events []guard.Event, want string) {
	t.Helper()
	if got := strings.Join(types(events), " "); got != want {
		t.Errorf("events\n got %s\nwant %s", got, want)
	}
}

// pids returns the processes that the sample app has written down, once there
// are n.
func pids(t *testing.T, path string, n int) []int {
	t.Helper()
	var list []int
	await(t, fmt.Sprintf("%d processes", n), func() bool {
		b, _ := os.ReadFile(path)
		list = nil
		for f := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, pid)
		}
		return len(list) >= n
	})
	return list
}

func orderIn(d time.Duration) guard.Order {
	return guard.Order{Deadline: boottime.Now().Add(d), Title: "Evicted"}
}

// living returns those of the processes that live; a zombie does not.
func living(list []int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(pid int) bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
	})
}

func TestALeaseRunsOut(t *testing.T) {
	t.Parallel()
	terminal := filepath.Join(t.TempDir(), "terminal")
	s := spec(2500 * time.Millisecond)
	s.Terminal = terminal
	h := spawn(t, s)
	events := follow(t, h)
	wantTypes(t, events, "starting started warned warned asked exited")
	for i, w := range []time.Duration{1200 * time.Millisecond, 600 * time.Millisecond} {
		e := events[2+i]
		if e.Warning != w || e.Remaining > w || e.Remaining < w-500*time.Millisecond {
			t.Errorf("warning %d: %v, of %v", i, e.Remaining, e.Warning)
		}
	}
	if late := events[4].At.Sub(s.Deadline); late < 0 || late > slack {
		t.Errorf("asked %v after the deadline", late)
	}
	last := events[5]
	if last.Outcome != guard.Closed || last.Code == nil || *last.Code != 0 || last.Forced {
		t.Errorf("exited %+v", last)
	}
	await(t, "the app's output", func() bool {
		b, _ := os.ReadFile(filepath.Join(h.Dir(), "app.log"))
		return strings.Contains(string(b), "work saved")
	})
	b, err := os.ReadFile(terminal)
	if err != nil || strings.Count(string(b), "Sample will close in 1 second. Save your work.\n") != 2 {
		t.Errorf("terminal: %q, %v", b, err)
	}
}

func TestDeafAppsAreForced(t *testing.T) {
	t.Parallel()
	s := spec(2*time.Second, "--ignore-term")
	events := follow(t, spawn(t, s))
	wantTypes(t, events, "starting started warned warned asked forced exited")
	if late := events[5].At.Sub(s.Deadline); late < s.Margin || late > s.Margin+slack {
		t.Errorf("forced %v after the deadline, the margin is %v", late, s.Margin)
	}
	if last := events[6]; last.Outcome != guard.Killed || last.Signal != "killed" || !last.Forced {
		t.Errorf("exited %+v", last)
	}
}

// Children, and grandchildren that have left session and process group behind
// a double fork, end with the app, with and without a cgroup.
func TestEveryDescendantEnds(t *testing.T) {
	t.Parallel()
	for _, noCgroup := range []bool{false, true} {
		for _, deaf := range []bool{false, true} {
			t.Run(fmt.Sprintf("noCgroup=%v,deaf=%v", noCgroup, deaf), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "pids")
				args := []string{"--children", "3", "--pid-file", file}
				if deaf {
					args = append(args, "--ignore-term")
				}
				s := spec(time.Minute, args...)
				s.NoCgroup = noCgroup
				h := spawn(t, s)
				// The app, three children, three detachers, three grandchildren.
				all := pids(t, file, 10)
				await(t, "the detachers to exit", func() bool { return len(living(all)) == 7 })
				if changed, err := h.Close(t.Context(), guard.Order{Deadline: boottime.Now().Add(200 * time.Millisecond)}); err != nil || !changed {
					t.Fatal(changed, err)
				}
				events := follow(t, h)
				if left := living(all); len(left) > 0 {
					t.Errorf("still alive: %v", left)
				}
				last := events[len(events)-1]
				if last.Outcome != guard.Killed {
					t.Errorf("outcome %q", last.Outcome)
				}
				// Asked, the app itself closes; only its grandchildren have to be killed.
				if !deaf && (last.Code == nil || *last.Code != 0) {
					t.Errorf("exited %+v", last)
				}
			})
		}
	}
}

func TestALauncherThatExitsIsNotTheEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	s := spec(time.Minute)
	s.Argv = []string{"/bin/sh", "-c", sample + " --terminal --pid-file " + file + " & exit 3"}
	h := spawn(t, s)
	pids(t, file, 1)
	await(t, "the launcher to exit", func() bool {
		st, err := h.Status(t.Context())
		return err == nil && st.MainExited && st.Left == 1
	})
	if _, err := h.Stop(t.Context(), "enough"); err != nil {
		t.Fatal(err)
	}
	events := follow(t, h)
	wantTypes(t, events, "starting started main_exited closing asked exited")
	last := events[len(events)-1]
	if last.Code == nil || *last.Code != 3 || last.Outcome != guard.Closed || last.Reason != "enough" {
		t.Errorf("exited %+v", last)
	}
}

func TestAnAppThatEndsByItself(t *testing.T) {
	t.Parallel()
	events := follow(t, spawn(t, spec(time.Minute, "--exit-after", "50ms", "--exit-code", "4")))
	wantTypes(t, events, "starting started exited")
	if last := events[2]; last.Outcome != guard.ByItself || *last.Code != 4 {
		t.Errorf("exited %+v", last)
	}
}

func TestNoSuchProgram(t *testing.T) {
	t.Parallel()
	s := spec(time.Minute)
	s.Argv = []string{"/no/such/program"}
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := guard.Spawn(t.Context(), dir, s, command); !errors.Is(err, guard.ErrNotStarted) {
		t.Fatalf("got %v, want ErrNotStarted", err)
	}
	if _, err := guard.Spawn(t.Context(), dir, s, command); !errors.Is(err, guard.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	e, err := guard.Sweep(t.Context(), dir)
	if err != nil || e.Outcome != guard.NotStarted {
		t.Errorf("got %+v, %v", e, err)
	}
	if err := guard.Remove(dir); err != nil {
		t.Error(err)
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	h := spawn(t, spec(2*time.Second))
	// Wait for the first warning, then put the end off: warned anew.
	from := int64(0)
	for warned := false; !warned; {
		events, next, err := h.AwaitEvents(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		from, warned = next, slices.Contains(types(events), string(guard.Warned))
	}
	end := boottime.Now().Add(2500 * time.Millisecond)
	if changed, err := extend(t, h, end, 2); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if changed, err := extend(t, h, end.Add(time.Hour), 1); err != nil || changed {
		t.Errorf("a generation that is behind: %v, %v", changed, err)
	}
	st, err := h.Status(t.Context())
	if err != nil || st.Generation != 2 || st.Deadline.Sub(end).Abs() > time.Millisecond || st.Phase != "running" {
		t.Errorf("status %+v, %v", st, err)
	}
	events := follow(t, h)
	got := strings.Join(types(events), " ")
	if !strings.HasSuffix(got, "extended warned warned asked exited") {
		t.Errorf("events %s", got)
	}
	if i := slices.Index(types(events), string(guard.CloseAsked)); events[i].At.Before(end) {
		t.Errorf("asked at %v, before %v", events[i].At, end)
	}
}

func TestCloseKeepsTheEarlierDeadline(t *testing.T) {
	t.Parallel()
	s := spec(time.Minute)
	h := spawn(t, s)
	ctx := t.Context()
	soon := boottime.Now().Add(time.Second)
	for _, step := range []struct {
		name string
		do   func() (bool, error)
		want bool
	}{
		{"a close", func() (bool, error) { return h.Close(ctx, guard.Order{Deadline: soon, Reason: "evicted"}) }, true},
		{"a later close", func() (bool, error) { return h.Close(ctx, guard.Order{Deadline: soon.Add(time.Hour)}) }, false},
		{"the same again", func() (bool, error) { return h.Close(ctx, guard.Order{Deadline: soon, Reason: "evicted"}) }, false},
		{"a lease", func() (bool, error) { return extend(t, h, soon.Add(time.Hour), 9) }, false},
	} {
		if changed, err := step.do(); err != nil || changed != step.want {
			t.Errorf("%s: %v, %v", step.name, changed, err)
		}
	}
	if _, err := h.Close(ctx, guard.Order{Deadline: boottime.Stamp{Boot: "another", At: 1}}); !errors.Is(err, guard.ErrRefused) {
		t.Errorf("a deadline of another boot: %v", err)
	}
	events := follow(t, h)
	wantTypes(t, events, "starting started closing warned warned asked exited")
	if e := events[3]; e.Reason != "evicted" || !strings.Contains(e.Text, "Reason: evicted") {
		t.Errorf("warned %+v", e)
	}
	if late := events[5].At.Sub(soon); late < 0 || late > slack {
		t.Errorf("asked %v after the deadline", late)
	}
	if _, err := h.Status(ctx); !errors.Is(err, guard.ErrGone) {
		await(t, "the guard to be gone", func() bool { _, err := h.Status(ctx); return errors.Is(err, guard.ErrGone) })
	}
}
