// Package runner is the contract between an agent and whatever runs its apps:
// real processes under a guard (package process), or none at all (package
// fake, for tests and for thousands of simulated agents). Package runnertest
// holds every implementation to it.
//
// A run, once started, lives on its own: it warns, closes and ends at its
// deadline even if the agent is gone. The agent moves the deadline as leases
// come in, orders closes, and reads what happened. After a crash it gets all
// runs back from Recover, those that ended meanwhile included, and reads their
// events from where it had got to; nothing is lost and nothing told twice.
package runner

import (
	"context"
	"errors"

	"leasehold/internal/agent/guard"
)

// The types of a run are those of the guard.
type (
	// Spec says what to run and until when.
	Spec = guard.Spec
	// Lease is a lease as a run is told of it.
	Lease = guard.Lease
	// Order is a close: its deadline, never later than the present one, and why.
	Order = guard.Order
	// Status is how a run is.
	Status = guard.Status
	// Event is something that happened to a run.
	Event = guard.Event
)

// Errors of every implementation; compare with errors.Is.
var (
	// ErrExists: this session has had a run of this number, and it was not forgotten.
	ErrExists = guard.ErrExists
	// ErrNotStarted: the app could not be started.
	ErrNotStarted = guard.ErrNotStarted
	// ErrEnded: the run is over, orders come too late.
	ErrEnded = errors.New("run has ended")
	// ErrAlive: the run is not over, so it cannot be forgotten.
	ErrAlive = guard.ErrAlive
	// ErrUnresponsive: the run must be taken as running, but does not answer.
	ErrUnresponsive = guard.ErrUnresponsive
	// ErrRefused: the order makes no sense, such as a deadline of another boot.
	ErrRefused = guard.ErrRefused
)

// Key names a run of an agent.
type Key struct{ Session, Run int64 }

// Runner starts runs and finds them again.
type Runner interface {
	// Start starts the app and returns when it runs; the run does not depend
	// on ctx after that. The error is ErrExists or ErrNotStarted; a run that
	// did not start is over, with its events to be recovered. Where there is
	// anything of it on disk, it is returned beside the error: its last event
	// tells how it ended, and one that has none may be alive.
	Start(ctx context.Context, spec Spec) (Run, error)

	// Recover returns every run that was started and not forgotten, in no
	// order. A run whose guard has died is ended first: whatever is left of it
	// is killed, as far as it can be seen, and its last event written, which says
	// whether anything proves that nothing is left. The agent calls it once, before it
	// starts anything. With an error the runs that could be recovered are
	// returned all the same.
	Recover(ctx context.Context) ([]Run, error)
}

// Run is one run of an app. Its methods may be called concurrently.
type Run interface {
	// Key returns the run's session and number.
	Key() Key

	// Spec returns what the run was started with.
	Spec() Spec

	// Challenge returns what a lease must answer to extend the run. The lease
	// counts from now on: ask for it right before the lease.
	Challenge(ctx context.Context) (string, error)

	// Extend moves the deadline, of this boot, to that of a lease, which the
	// run verifies. It reports whether anything changed: not once a close was
	// ordered or has begun, nor for a generation that is behind. The error is
	// ErrRefused for a lease that does not verify, unless it only shortens.
	Extend(ctx context.Context, l Lease) (changed bool, err error)

	// Close orders the app to close at a deadline, with warnings. It reports
	// whether anything changed; a repeated order changes nothing.
	Close(ctx context.Context, order Order) (changed bool, err error)

	// Stop asks the app to close now, without warnings. It does not wait.
	Stop(ctx context.Context, reason string) (changed bool, err error)

	// Status tells how the run is. Of a run that has ended, Ended is true, and
	// there is no error.
	Status(ctx context.Context) (Status, error)

	// Events returns what happened from the offset on (0 at first), and the
	// offset for the next call; it waits until there is something. After the
	// event Exited, which is always the last and always comes, it returns
	// io.EOF. Events of a run that has ended can be read until it is forgotten.
	Events(ctx context.Context, from int64) (events []Event, next int64, err error)

	// Wait returns the event Exited once the run is over.
	Wait(ctx context.Context) (Event, error)

	// Alive reports whether the run is, or may be, not over: its guard lives.
	Alive() bool

	// Forget removes all trace of a run that has ended, when the agent has
	// told the server. The error is ErrAlive for one that has not.
	Forget(ctx context.Context) error
}
