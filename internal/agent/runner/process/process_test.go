//go:build unix

package process_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/process"
	"leasehold/internal/agent/runner/runnertest"
	"leasehold/internal/agent/sampletest"
)

const envGuard = "LEASEHOLD_TEST_GUARD"

// sample is the built sample app.
var sample string

func TestMain(m *testing.M) {
	if os.Getenv(envGuard) != "" {
		if err := guard.Main(context.Background(), os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(sampletest.Run(m, &sample))
}

func command(dir string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// The race detector would hold each guard for a second at its exit.
	return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", envGuard + "=1", self, dir}
}

// newRunner returns a runner that leaves nothing behind.
func newRunner(t *testing.T) *process.Runner {
	r := process.New(filepath.Join(t.TempDir(), "runs"), command)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		runs, err := r.Recover(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, run := range runs {
			if _, err := runner.End(ctx, run, "end of the test"); err != nil {
				t.Error(err)
			}
		}
	})
	return r
}

func TestConformance(t *testing.T) {
	runnertest.Run(t, func(t *testing.T, test func(*testing.T, runnertest.Harness)) {
		t.Parallel()
		test(t, runnertest.Harness{
			Runner: newRunner(t),
			Clock:  boottime.System,
			Argv: func(app string) []string {
				switch app {
				case runnertest.Deaf:
					return []string{sample, "--terminal", "--ignore-term"}
				case runnertest.Brief:
					return []string{sample, "--terminal", "--exit-after", "50ms", "--exit-code", "4"}
				case runnertest.Missing:
					return []string{"/no/such/app"}
				}
				return []string{sample, "--terminal"}
			},
		})
	})
}

// The guard is killed while the agent lives: the run still comes to its end.
func TestGuardKilled(t *testing.T) {
	r := newRunner(t)
	run, err := r.Start(t.Context(), runner.Spec{Session: 1, Run: 1, App: "A", Argv: []string{sample, "--terminal"},
		Margin: time.Second, Deadline: boottime.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := run.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.Guard, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, err := run.Wait(ctx)
	if err != nil || e.Outcome != guard.GuardLost {
		t.Errorf("%+v, %v", e, err)
	}
	if s, err := run.Status(ctx); err != nil || !s.Ended {
		t.Errorf("status %+v, %v", s, err)
	}
}

// An agent that was killed while it started an app comes back while that guard is only just
// there: it finds the run alive or over, and no fault.
func TestRecoverWhileAGuardStarts(t *testing.T) {
	for i := range 40 {
		r := newRunner(t)
		ctx, cancel := context.WithCancel(t.Context())
		begun := make(chan struct{})
		go func() {
			defer close(begun)
			_, _ = r.Start(ctx, runner.Spec{Session: 1, Run: 1, App: "A", Argv: []string{sample, "--terminal"}, Margin: time.Second, Deadline: boottime.Now().Add(time.Minute)})
		}()
		time.Sleep(time.Duration(i) * time.Millisecond) // at another moment each time
		cancel()
		<-begun
		runs, err := r.Recover(t.Context())
		if err != nil {
			t.Fatalf("after %d ms: %v", i, err)
		}
		for _, run := range runs {
			if _, err := runner.End(t.Context(), run, "end of the test"); err != nil {
				t.Fatalf("after %d ms: %v", i, err)
			}
		}
	}
}
