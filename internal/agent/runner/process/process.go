// Package process runs apps as real processes, each under a guard of its own
// (see package guard). It keeps nothing in memory: a run is its folder, so an
// agent that was killed and started again has lost nothing.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
)

// Runner implements [runner.Runner].
type Runner struct {
	root    string
	command func(dir string) []string
}

var _ runner.Runner = (*Runner)(nil)

// New returns a Runner that keeps the folders of its runs in root, which it
// makes when it is needed and which no other agent may use. command returns
// the command line of a guard for a folder, such as
//
//	leasehold guard --dir DIR
func New(root string, command func(dir string) []string) *Runner {
	return &Runner{root: root, command: command}
}

// Start implements [runner.Runner].
func (r *Runner) Start(ctx context.Context, spec runner.Spec) (runner.Run, error) {
	key := runner.Key{Session: spec.Session, Run: spec.Run}
	h, err := guard.Spawn(ctx, r.dir(key), spec, r.command)
	if err == nil {
		return &run{h}, nil
	}
	if run, oerr := r.Open(key); oerr == nil {
		return run, err
	}
	return nil, err
}

func (r *Runner) dir(key runner.Key) string {
	return filepath.Join(r.root, fmt.Sprintf("%d.%d", key.Session, key.Run))
}

// Open returns a run that was started and not forgotten, as Recover does, but
// without looking after it; the error is fs.ErrNotExist if there is none.
func (r *Runner) Open(key runner.Key) (runner.Run, error) {
	h, err := guard.Open(r.dir(key))
	if err != nil {
		return nil, err
	}
	return &run{h}, nil
}

// Recover implements [runner.Runner].
func (r *Runner) Recover(ctx context.Context) ([]runner.Run, error) {
	found, err := guard.Find(r.root)
	if err != nil {
		return nil, err
	}
	var runs []runner.Run
	var errs []error
	for _, f := range found {
		if f.Err != nil {
			// The folder was never finished, so nothing was ever started in it.
			errs = append(errs, guard.Remove(f.Dir))
			continue
		}
		if !f.Alive && !f.Ended {
			// Still a run: the agent must not think that nothing of it lives. A guard that was
			// only just starting, when the agent that started it was killed, is there by now.
			if _, err := guard.Sweep(ctx, f.Dir); err != nil && !errors.Is(err, guard.ErrAlive) {
				errs = append(errs, err)
			}
		}
		h, err := guard.Open(f.Dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		runs = append(runs, &run{h})
	}
	return runs, errors.Join(errs...)
}

type run struct{ h *guard.Handle }

func (r *run) Key() runner.Key {
	return runner.Key{Session: r.h.Spec().Session, Run: r.h.Spec().Run}
}

func (r *run) Spec() runner.Spec { return r.h.Spec() }

func (r *run) Challenge(ctx context.Context) (string, error) {
	c, err := r.h.Challenge(ctx)
	return c, ended(err)
}

func (r *run) Extend(ctx context.Context, l runner.Lease) (bool, error) {
	changed, err := r.h.Extend(ctx, l)
	return changed, ended(err)
}

func (r *run) Close(ctx context.Context, o runner.Order) (bool, error) {
	changed, err := r.h.Close(ctx, o)
	return changed, ended(err)
}

func (r *run) Stop(ctx context.Context, reason string) (bool, error) {
	changed, err := r.h.Stop(ctx, reason)
	return changed, ended(err)
}

// ended says in the contract's words that there is no guard any more.
func ended(err error) error {
	if errors.Is(err, guard.ErrGone) {
		return fmt.Errorf("%w: %w", runner.ErrEnded, err)
	}
	return err
}

func (r *run) Status(ctx context.Context) (runner.Status, error) {
	s, err := r.h.Status(ctx)
	if errors.Is(err, guard.ErrGone) {
		e, err := guard.Sweep(ctx, r.h.Dir())
		if err != nil {
			return runner.Status{}, err
		}
		k := r.Key()
		return runner.Status{Session: k.Session, Run: k.Run, PID: e.PID, Reason: e.Reason, MainExited: true, Ended: true}, nil
	}
	return s, err
}

func (r *run) Events(ctx context.Context, from int64) ([]runner.Event, int64, error) {
	events, next, err := r.h.AwaitEvents(ctx, from)
	if !errors.Is(err, guard.ErrGone) {
		return events, next, err
	}
	// Either all has been told, or the guard died and the last event is still to be
	// written.
	if _, err := guard.Sweep(ctx, r.h.Dir()); err != nil {
		return nil, from, err
	}
	events, next, err = guard.ReadEvents(r.h.Dir(), from)
	if err == nil && len(events) == 0 {
		err = io.EOF
	}
	return events, next, err
}

func (r *run) Wait(ctx context.Context) (runner.Event, error) {
	return runner.AwaitExit(ctx, r)
}

func (r *run) Alive() bool {
	if !r.h.Alive() {
		return false
	}
	// The guard lives a moment longer than what it guards.
	_, over, err := r.h.Ended()
	return err != nil || !over
}

func (r *run) Forget(context.Context) error { return guard.Remove(r.h.Dir()) }
