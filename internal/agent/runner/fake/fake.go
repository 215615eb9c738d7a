// Package fake runs apps that do not exist. Warnings, closes and deadlines are
// those of real ones, because the same plan decides them, but they happen on
// a clock that a test holds, and a run costs no process: simulated agents have
// thousands.
//
// Its runs live in the Runner, as real ones live in their folders: an agent
// that "crashes" keeps the Runner and calls Recover.
package fake

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/guard/plan"
	"leasehold/internal/agent/runner"
)

// App is how a fake app behaves. The zero App runs until it is asked to close,
// and then exits with 0 at once.
type App struct {
	StartErr  error         // it cannot be started
	ExitAfter time.Duration // it exits by itself so long after its start; 0: never
	ExitCode  int           // with this code
	SaveFor   time.Duration // asked to close, it takes so long
	Deaf      bool          // it never closes when asked
	Unproved  bool          // nothing proves that it has ended
}

// Runner implements [runner.Runner].
type Runner struct {
	clock boottime.Clock
	app   func(runner.Spec) App

	mu   sync.Mutex
	runs map[runner.Key]*Run
	pid  int
}

var _ runner.Runner = (*Runner)(nil)

// New returns a Runner on the clock: [boottime.Go] in a synctest bubble or in
// real time, a [boottime.Manual] for a test that steps. app scripts the apps;
// nil makes all of them the zero App.
func New(clock boottime.Clock, app func(runner.Spec) App) *Runner {
	if app == nil {
		app = func(runner.Spec) App { return App{} }
	}
	return &Runner{clock: clock, app: app, runs: make(map[runner.Key]*Run)}
}

// Start implements [runner.Runner].
func (r *Runner) Start(_ context.Context, spec runner.Spec) (runner.Run, error) {
	now := r.clock.Now()
	if !spec.Deadline.SameBoot(now) {
		return nil, fmt.Errorf("%w: the deadline is of another boot", runner.ErrRefused)
	}
	r.mu.Lock()
	key := runner.Key{Session: spec.Session, Run: spec.Run}
	if r.runs[key] != nil {
		r.mu.Unlock()
		return nil, runner.ErrExists
	}
	r.pid++
	run := &Run{r: r, key: key, spec: spec, app: r.app(spec), pid: r.pid, latest: spec.Deadline, changed: make(chan struct{}),
		plan: plan.New(plan.Config{Warnings: spec.Warnings, Margin: spec.Margin, Deadline: spec.Deadline.At}, now.At)}
	r.runs[key] = run
	r.mu.Unlock()

	run.mu.Lock()
	defer run.mu.Unlock()
	run.note(runner.Event{Type: guard.Starting})
	if err := run.app.StartErr; err != nil {
		run.end(runner.Event{Outcome: guard.NotStarted, Reason: err.Error()})
		return nil, fmt.Errorf("%w: %w", runner.ErrNotStarted, err)
	}
	run.note(runner.Event{Type: guard.Started, PID: run.pid})
	if run.app.ExitAfter > 0 {
		run.exitAt = now.At + run.app.ExitAfter
	}
	run.act()
	return run, nil
}

// Recover implements [runner.Runner].
func (r *Runner) Recover(context.Context) ([]runner.Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]runner.Run, 0, len(r.runs))
	for _, run := range r.runs {
		list = append(list, run)
	}
	return list, nil
}

// Get returns the run of that key, nil if there is none: for tests that make
// its app do something.
func (r *Runner) Get(key runner.Key) *Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs[key]
}

// Run implements [runner.Run].
type Run struct {
	r    *Runner
	key  runner.Key
	spec runner.Spec
	app  App
	pid  int

	mu      sync.Mutex
	plan    *plan.Plan
	exitAt  time.Duration // the app exits then; 0: it does not
	events  []runner.Event
	changed chan struct{} // closed and replaced at each event
	over    bool
	stop    func() bool    // of the timer
	latest  boottime.Stamp // the latest deadline that there was
}

// Key implements [runner.Run].
func (r *Run) Key() runner.Key { return r.key }

// Spec implements [runner.Run].
func (r *Run) Spec() runner.Spec { return r.spec }

// Exit makes the app exit by itself, now.
func (r *Run) Exit(code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.exit(code)
	}
}

// KillGuard ends the run as if somebody had killed the app and its guard.
func (r *Run) KillGuard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.end(runner.Event{Outcome: guard.GuardLost, Forced: true})
	}
}

// note records an event; r.mu is held.
func (r *Run) note(e runner.Event) {
	e.At = r.r.clock.Now()
	r.events = append(r.events, e)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Run) exit(code int) {
	e := runner.Event{Outcome: guard.ByItself, Code: &code}
	if r.plan.Phase() != plan.Running {
		e.Outcome = guard.Closed
	}
	e.Reason, _ = r.plan.Ordered()
	r.end(e)
}

func (r *Run) end(e runner.Event) {
	e.Type, e.PID, e.Proof = guard.Exited, r.pid, guard.ProofReaped
	if r.app.Unproved {
		e.Proof, e.Deadline = guard.ProofNone, &r.latest
	}
	r.over = true
	if r.stop != nil {
		r.stop()
	}
	r.note(e)
}

// tick is the timer's call.
func (r *Run) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.act()
}

// act does what is due and sets the timer for what comes next; r.mu is held.
func (r *Run) act() {
	if r.stop != nil {
		r.stop()
	}
	for !r.over {
		now := r.r.clock.Now().At
		if r.exitAt > 0 && now >= r.exitAt {
			code := r.app.ExitCode
			if r.plan.Phase() != plan.Running {
				code = 0
			}
			r.exit(code)
			return
		}
		step := r.plan.Next(now)
		switch step.Action {
		case plan.None:
			wake := r.plan.Wake()
			if r.exitAt > 0 {
				wake = min(wake, r.exitAt)
			}
			r.stop = r.r.clock.AfterFunc(max(wake-now, 0), r.tick)
			return
		case plan.Warn:
			reason, _ := r.plan.Ordered()
			r.note(runner.Event{Type: guard.Warned, Remaining: step.Remaining, Warning: step.Warning,
				Text: plan.Text(r.spec.App, step.Remaining, reason), Reason: reason, Deadline: r.deadline()})
		case plan.Ask:
			r.note(runner.Event{Type: guard.CloseAsked})
			if !r.app.Deaf {
				r.exitAt = max(now+r.app.SaveFor, 1)
			}
		case plan.Force:
			r.note(runner.Event{Type: guard.ForceUsed})
			e := runner.Event{Outcome: guard.Killed, Signal: "killed", Forced: true}
			e.Reason, _ = r.plan.Ordered()
			r.end(e)
		}
	}
}

func (r *Run) deadline() *boottime.Stamp {
	now := r.r.clock.Now()
	s := now.Add(r.plan.Deadline() - now.At)
	return &s
}

// order carries out an order unless the run is over.
func (r *Run) order(do func(now boottime.Stamp) (bool, *runner.Event, error)) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false, runner.ErrEnded
	}
	changed, e, err := do(r.r.clock.Now())
	if changed {
		r.note(*e)
		r.act()
	}
	return changed, err
}

// Challenge implements [runner.Run]. It is always the same: nobody cheats a fake.
func (r *Run) Challenge(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return "", runner.ErrEnded
	}
	return "fake", nil
}

// Extend implements [runner.Run]. It takes the deadline as it is told, if there is a token.
func (r *Run) Extend(_ context.Context, l runner.Lease) (bool, error) {
	return r.order(func(now boottime.Stamp) (bool, *runner.Event, error) {
		if !l.Deadline.SameBoot(now) {
			return false, nil, fmt.Errorf("%w: the deadline is of another boot", runner.ErrRefused)
		}
		if l.Token == "" && l.Deadline.At > r.plan.Deadline() {
			return false, nil, fmt.Errorf("%w: the lease is not signed", runner.ErrRefused)
		}
		changed := r.plan.Extend(now.At, l.Deadline.At, l.Generation)
		if changed && r.latest.Before(l.Deadline) {
			r.latest = l.Deadline
		}
		return changed, &runner.Event{Type: guard.Extended, Deadline: r.deadline(), Generation: l.Generation}, nil
	})
}

// Close implements [runner.Run].
func (r *Run) Close(_ context.Context, o runner.Order) (bool, error) {
	return r.order(func(now boottime.Stamp) (bool, *runner.Event, error) {
		deadline := o.Deadline
		if deadline.IsZero() {
			deadline = now.Add(r.plan.Window())
		}
		if !deadline.SameBoot(now) {
			return false, nil, fmt.Errorf("%w: the deadline is of another boot", runner.ErrRefused)
		}
		changed := r.plan.Close(now.At, deadline.At, o.Reason)
		return changed, &runner.Event{Type: guard.Closing, Deadline: r.deadline(), Reason: o.Reason}, nil
	})
}

// Stop implements [runner.Run].
func (r *Run) Stop(_ context.Context, reason string) (bool, error) {
	return r.order(func(now boottime.Stamp) (bool, *runner.Event, error) {
		changed := r.plan.Stop(now.At, reason)
		return changed, &runner.Event{Type: guard.Closing, Deadline: r.deadline(), Reason: reason}, nil
	})
}

// Status implements [runner.Run].
func (r *Run) Status(context.Context) (runner.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := runner.Status{Session: r.key.Session, Run: r.key.Run, PID: r.pid,
		Phase: string(r.plan.Phase()), Deadline: *r.deadline(), Generation: r.plan.Generation(),
		MainExited: r.over, Ended: r.over}
	s.Reason, s.Ordered = r.plan.Ordered()
	return s, nil
}

// Events implements [runner.Run].
func (r *Run) Events(ctx context.Context, from int64) ([]runner.Event, int64, error) {
	for {
		r.mu.Lock()
		events, changed, over := r.events, r.changed, r.over
		r.mu.Unlock()
		if from < int64(len(events)) {
			return append([]runner.Event(nil), events[from:]...), int64(len(events)), nil
		}
		if over {
			return nil, from, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, from, ctx.Err()
		}
	}
}

// Wait implements [runner.Run].
func (r *Run) Wait(ctx context.Context) (runner.Event, error) { return runner.AwaitExit(ctx, r) }

// Alive implements [runner.Run].
func (r *Run) Alive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.over
}

// Forget implements [runner.Run].
func (r *Run) Forget(context.Context) error {
	if r.Alive() {
		return runner.ErrAlive
	}
	r.r.mu.Lock()
	defer r.r.mu.Unlock()
	delete(r.r.runs, r.key)
	return nil
}
