package fake_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/fake"
	"leasehold/internal/agent/runner/runnertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	script := func(s runner.Spec) fake.App {
		switch s.Argv[0] {
		case runnertest.Deaf:
			return fake.App{Deaf: true}
		case runnertest.Brief:
			return fake.App{ExitAfter: 50 * time.Millisecond, ExitCode: 4}
		case runnertest.Missing:
			return fake.App{StartErr: errors.New("no such app")}
		}
		return fake.App{}
	}
	runnertest.Run(t, func(t *testing.T, test func(*testing.T, runnertest.Harness)) {
		synctest.Test(t, func(t *testing.T) {
			test(t, runnertest.Harness{
				Runner: fake.New(boottime.Go, script),
				Clock:  boottime.Go,
				Argv:   func(app string) []string { return []string{app} },
			})
		})
	})
}

func TestSteppedClock(t *testing.T) {
	clock := boottime.NewManual(boottime.Stamp{Boot: "m", At: time.Hour})
	r := fake.New(clock, func(runner.Spec) fake.App { return fake.App{SaveFor: 2 * time.Second} })
	run, err := r.Start(t.Context(), runner.Spec{Session: 1, Run: 1, App: "A",
		Warnings: []time.Duration{2 * time.Minute, time.Minute}, Margin: 5 * time.Second,
		Deadline: clock.Now().Add(5 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		events, _, err := run.Events(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	for _, step := range []struct {
		by   time.Duration
		want int
	}{{3*time.Minute - 1, 2}, {1, 3}, {time.Minute, 4}, {time.Minute, 5}, {2*time.Second - 1, 5}, {1, 6}} {
		clock.Advance(step.by)
		if got := count(); got != step.want {
			t.Fatalf("after %v: %d events, want %d", step.by, got, step.want)
		}
	}
	if e, err := run.Wait(t.Context()); err != nil || e.Outcome != guard.Closed {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestScripted(t *testing.T) {
	clock := boottime.NewManual(boottime.Stamp{Boot: "m"})
	r := fake.New(clock, nil)
	for n := int64(1); n <= 2; n++ {
		if _, err := r.Start(t.Context(), runner.Spec{Session: n, Run: 1, Deadline: clock.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	r.Get(runner.Key{Session: 1, Run: 1}).Exit(9)
	r.Get(runner.Key{Session: 2, Run: 1}).KillGuard()
	runs, err := r.Recover(t.Context())
	if err != nil || len(runs) != 2 {
		t.Fatal(len(runs), err)
	}
	for _, run := range runs {
		e, err := run.Wait(t.Context())
		if want := map[int64]guard.Outcome{1: guard.ByItself, 2: guard.GuardLost}[run.Key().Session]; err != nil || e.Outcome != want {
			t.Errorf("%+v, %v", e, err)
		}
	}
}
