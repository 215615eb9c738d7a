// Package runnertest is the conformance suite of package runner: what an agent
// relies on, tried on every implementation. Its deadlines are short but real
// on the implementation's own clock, so fakes run it in a synctest bubble.
package runnertest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
)

// Apps that a harness must be able to run, by the first argument of a Spec.
const (
	Polite  = "polite"  // exits with 0 when it is asked to close
	Deaf    = "deaf"    // never closes when asked
	Brief   = "brief"   // exits by itself with 4, soon
	Missing = "missing" // cannot be started
)

// Harness is an implementation under test. Start turns Argv, one of the names
// above, into its own kind of app.
type Harness struct {
	runner.Runner
	Clock boottime.Clock
	// Argv returns the command line of one of the apps.
	Argv func(app string) []string
	// Lead is added to the life of every run that is too short for a start
	// that takes that long; zero for those that start at once.
	Lead time.Duration
}

// Run runs the suite. each is called once for each test, in a subtest: it
// makes a fresh harness and passes it on, inside a bubble if it likes.
func Run(t *testing.T, each func(t *testing.T, test func(t *testing.T, h Harness))) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"a lease that runs out warns, asks and ends", runsOut},
		{"a deaf app is forced after the margin", forced},
		{"an app that ends by itself", byItself},
		{"an app that cannot be started", notStarted},
		{"a run is started once", once},
		{"extend", extend},
		{"close", closes},
		{"stop", stops},
		{"recover", recovers},
		{"an ended context ends a wait, not the run", waiting},
		{"deadlines of another boot are refused", otherBoot},
	} {
		t.Run(c.name, func(t *testing.T) { each(t, c.test) })
	}
}

const (
	large, small = 1200 * time.Millisecond, 600 * time.Millisecond
	margin       = 2 * time.Second
)

func (h Harness) spec(app string, lifetime time.Duration) runner.Spec {
	return runner.Spec{
		Session: 5, Run: 2, App: "App", Argv: h.Argv(app),
		Warnings: []time.Duration{large, small}, Margin: margin,
		Deadline: h.Clock.Now().Add(lifetime + h.Lead), Authority: Authority(),
	}
}

// extended extends a run by a lease of its own challenge.
func extended(t *testing.T, r runner.Run, deadline boottime.Stamp, generation uint64) (bool, error) {
	t.Helper()
	challenge, err := r.Challenge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Extend(t.Context(), Lease(t, r.Spec(), challenge, deadline, generation))
}

func (h Harness) start(t *testing.T, app string, lifetime time.Duration) runner.Run {
	t.Helper()
	r, err := h.Start(t.Context(), h.spec(app, lifetime))
	if err != nil {
		t.Fatal(err)
	}
	if k := r.Key(); k != (runner.Key{Session: 5, Run: 2}) {
		t.Errorf("key %v", k)
	}
	return r
}

// finish reads a run's events to the end and checks what holds for every run.
func finish(t *testing.T, r runner.Run) []runner.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []runner.Event
	for from := int64(0); ; {
		events, next, err := r.Events(ctx, from)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %s: %v", types(all), err)
		}
		if len(events) == 0 || next <= from {
			t.Fatalf("%d events, offset %d after %d", len(events), next, from)
		}
		all, from = append(all, events...), next
	}
	if len(all) == 0 || all[0].Type != guard.Starting || all[len(all)-1].Type != guard.Exited {
		t.Fatalf("events %s", types(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].At.Before(all[i-1].At) {
			t.Errorf("event %d is before the one before it", i)
		}
	}
	if all[len(all)-1].Proof == "" {
		t.Error("the last event does not say how it is known that nothing is left")
	}
	exit, err := r.Wait(ctx)
	if err != nil || exit.Outcome != all[len(all)-1].Outcome {
		t.Errorf("Wait: %+v, %v", exit, err)
	}
	s, err := r.Status(ctx)
	if err != nil || !s.Ended {
		t.Errorf("Status of an ended run: %+v, %v", s, err)
	}
	if r.Alive() {
		t.Error("an ended run is alive")
	}
	if _, err := r.Extend(ctx, runner.Lease{Deadline: r.Spec().Deadline.Add(time.Hour), Generation: 99}); !errors.Is(err, runner.ErrEnded) {
		t.Errorf("Extend of an ended run: %v", err)
	}
	if _, err := r.Close(ctx, runner.Order{}); !errors.Is(err, runner.ErrEnded) {
		t.Errorf("Close of an ended run: %v", err)
	}
	return all
}

func types(events []runner.Event) string {
	var list []string
	for _, e := range events {
		list = append(list, string(e.Type))
	}
	return strings.Join(list, " ")
}

func want(t *testing.T, events []runner.Event, wantTypes string, outcome guard.Outcome) {
	t.Helper()
	if got := types(events); got != wantTypes {
		t.Errorf("events\n got %s\nwant %s", got, wantTypes)
	}
	if got := events[len(events)-1].Outcome; got != outcome {
		t.Errorf("outcome %q, want %q", got, outcome)
	}
}

func at(events []runner.Event, typ guard.EventType) runner.Event {
	if i := slices.IndexFunc(events, func(e runner.Event) bool { return e.Type == typ }); i >= 0 {
		return events[i]
	}
	return runner.Event{}
}

func runsOut(t *testing.T, h Harness) {
	r := h.start(t, Polite, 2500*time.Millisecond)
	if !r.Alive() {
		t.Error("not alive")
	}
	if err := r.Forget(t.Context()); !errors.Is(err, runner.ErrAlive) {
		t.Errorf("Forget of a living run: %v", err)
	}
	events := finish(t, r)
	want(t, events, "starting started warned warned asked exited", guard.Closed)
	if at(events, guard.CloseAsked).At.Before(r.Spec().Deadline) {
		t.Error("asked before the deadline")
	}
	if w := at(events, guard.Warned); w.Warning != large || w.Remaining > large || !strings.HasPrefix(w.Text, "App will close in ") {
		t.Errorf("warned %+v", w)
	}
}

func forced(t *testing.T, h Harness) {
	r := h.start(t, Deaf, 2*time.Second)
	events := finish(t, r)
	want(t, events, "starting started warned warned asked forced exited", guard.Killed)
	if at(events, guard.ForceUsed).At.Before(r.Spec().Deadline.Add(margin)) {
		t.Error("forced before the margin was over")
	}
	if !events[len(events)-1].Forced {
		t.Error("the last event does not tell of force")
	}
}

func byItself(t *testing.T, h Harness) {
	events := finish(t, h.start(t, Brief, time.Minute))
	want(t, events, "starting started exited", guard.ByItself)
	if code := events[2].Code; code == nil || *code != 4 {
		t.Errorf("code %v", code)
	}
}

func notStarted(t *testing.T, h Harness) {
	if _, err := h.Start(t.Context(), h.spec(Missing, time.Minute)); !errors.Is(err, runner.ErrNotStarted) {
		t.Fatalf("got %v, want ErrNotStarted", err)
	}
	runs, err := h.Recover(t.Context())
	if err != nil || len(runs) != 1 {
		t.Fatalf("recovered %d, %v", len(runs), err)
	}
	want(t, finish(t, runs[0]), "starting exited", guard.NotStarted)
}

func once(t *testing.T, h Harness) {
	r := h.start(t, Brief, time.Minute)
	if _, err := h.Start(t.Context(), h.spec(Brief, time.Minute)); !errors.Is(err, runner.ErrExists) {
		t.Errorf("started twice: %v", err)
	}
	finish(t, r)
	if err := r.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := h.Recover(t.Context())
	if err != nil || len(runs) != 0 {
		t.Errorf("recovered %d after Forget, %v", len(runs), err)
	}
}

func extend(t *testing.T, h Harness) {
	r := h.start(t, Polite, 2*time.Second)
	ctx := t.Context()
	end := r.Spec().Deadline.Add(500 * time.Millisecond)
	if changed, err := extended(t, r, end, 3); err != nil || !changed {
		t.Fatal(changed, err)
	}
	// Whoever has no signed lease can only shorten.
	if changed, err := r.Extend(ctx, runner.Lease{Deadline: end.Add(time.Hour), Generation: 4}); !errors.Is(err, runner.ErrRefused) || changed {
		t.Errorf("a lease that nobody signed: %v, %v", changed, err)
	}
	if changed, err := extended(t, r, end.Add(time.Hour), 2); err != nil || changed {
		t.Errorf("a generation that is behind: %v, %v", changed, err)
	}
	s, err := r.Status(ctx)
	if err != nil || s.Generation != 3 || s.Deadline.Sub(end).Abs() > time.Millisecond || s.Ordered || s.Ended {
		t.Errorf("status %+v, %v", s, err)
	}
	events := finish(t, r)
	if at(events, guard.CloseAsked).At.Before(end) {
		t.Error("asked before the new deadline")
	}
	if at(events, guard.Extended).Generation != 3 {
		t.Errorf("events %s", types(events))
	}
}

func closes(t *testing.T, h Harness) {
	r := h.start(t, Polite, time.Minute)
	ctx := t.Context()
	soon := h.Clock.Now().Add(time.Second)
	if changed, err := r.Close(ctx, runner.Order{Deadline: soon, Reason: "maintenance"}); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if changed, err := r.Close(ctx, runner.Order{Deadline: soon.Add(time.Hour)}); err != nil || changed {
		t.Errorf("put off: %v, %v", changed, err)
	}
	if changed, err := extended(t, r, soon.Add(time.Hour), 8); err != nil || changed {
		t.Errorf("extended: %v, %v", changed, err)
	}
	if s, err := r.Status(ctx); err != nil || !s.Ordered || s.Reason != "maintenance" {
		t.Errorf("status %+v, %v", s, err)
	}
	events := finish(t, r)
	want(t, events, "starting started closing warned warned asked exited", guard.Closed)
	if w := at(events, guard.Warned); w.Reason != "maintenance" {
		t.Errorf("warned %+v", w)
	}
}

func stops(t *testing.T, h Harness) {
	r := h.start(t, Polite, time.Minute)
	if changed, err := r.Stop(t.Context(), "the user"); err != nil || !changed {
		t.Fatal(changed, err)
	}
	events := finish(t, r)
	want(t, events, "starting started closing asked exited", guard.Closed)
	if events[len(events)-1].Reason != "the user" {
		t.Errorf("exited %+v", events[len(events)-1])
	}
}

func recovers(t *testing.T, h Harness) {
	h.start(t, Polite, time.Minute)
	brief := h.spec(Brief, time.Minute)
	brief.Session = 6
	gone, err := h.Start(t.Context(), brief)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, gone)
	runs, err := h.Recover(t.Context())
	if err != nil || len(runs) != 2 {
		t.Fatalf("recovered %d, %v", len(runs), err)
	}
	for _, r := range runs {
		switch r.Key().Session {
		case 5:
			if !r.Alive() {
				t.Error("the living one is not alive")
			}
			if _, err := r.Stop(t.Context(), ""); err != nil {
				t.Error(err)
			}
			want(t, finish(t, r), "starting started closing asked exited", guard.Closed)
		case 6:
			if r.Alive() {
				t.Error("the ended one is alive")
			}
			want(t, finish(t, r), "starting started exited", guard.ByItself)
		default:
			t.Errorf("recovered %v", r.Key())
		}
	}
}

func waiting(t *testing.T, h Harness) {
	r := h.start(t, Polite, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	if !r.Alive() {
		t.Error("the run ended with the wait")
	}
	if _, err := r.Stop(t.Context(), ""); err != nil {
		t.Error(err)
	}
	finish(t, r)
}

func otherBoot(t *testing.T, h Harness) {
	elsewhere := boottime.Stamp{Boot: "elsewhere", At: time.Hour, Wall: time.Now()}
	s := h.spec(Polite, time.Minute)
	s.Deadline = elsewhere
	if _, err := h.Start(t.Context(), s); !errors.Is(err, runner.ErrRefused) {
		t.Errorf("Start: %v", err)
	}
	r := h.start(t, Polite, time.Minute)
	if _, err := r.Extend(t.Context(), runner.Lease{Deadline: elsewhere, Generation: 1}); !errors.Is(err, runner.ErrRefused) {
		t.Errorf("Extend: %v", err)
	}
	if _, err := r.Close(t.Context(), runner.Order{Deadline: elsewhere}); !errors.Is(err, runner.ErrRefused) {
		t.Errorf("Close: %v", err)
	}
	if _, err := r.Stop(t.Context(), ""); err != nil {
		t.Error(err)
	}
	finish(t, r)
}
