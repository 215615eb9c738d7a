// Package display runs streamed apps: each on a virtual display of its own, put
// up by a stage (package stage) that a guard watches over as over any app
// (package process). So a session keeps its deadline and its display when the
// agent dies, and whoever ends it, nothing of it is left.
//
// Like package process it keeps nothing in memory. A run has two folders of its
// name, SESSION.RUN: one in Config.Runs that the guard writes and that stays
// until the run is forgotten, and one in Config.Sessions with the home folder
// and the display's socket, which goes when the run ends.
package display

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/process"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/stage"
	"leasehold/internal/agent/untrusted"
	"leasehold/internal/catalog"
)

// Config says where and how sessions run.
type Config struct {
	// Runs is the folder for the guards; no other agent may use it.
	Runs string
	// Sessions is the folder for what the sessions themselves see. Where the
	// host runs as root, their accounts must be able to pass through all that
	// it lies in. It should lie high up: programs make sockets below it, and
	// the address of a socket has no more than 108 bytes.
	Sessions string

	// Guard returns the command line of a guard for a folder, such as
	//
	//	leasehold guard --dir DIR
	Guard func(dir string) []string
	// Stage returns the command line that runs the session of a folder, and
	// Clean the one that takes it away:
	//
	//	leasehold stage run DIR
	//	leasehold stage clean DIR
	Stage, Clean func(dir string) []string

	// Separate puts each session into a sandbox, and Inside is the command line of
	// the process in there:
	//
	//	leasehold stage inside
	Separate bool
	Inside   []string
	// Shares are what sessions in a sandbox see besides the programs of the host, and
	// Scratch the size of each of their folders in memory, in bytes;
	// stage.DefaultScratch if zero.
	Shares  []sandbox.Share
	Scratch int64
	// Network is that of sessions whose spec names none; internet if empty.
	Network string
	// Resolvers are the name servers of sessions with network internet; those of the
	// host if there are none.
	Resolvers []string

	// Accounts is where the accounts of sessions come from.
	Accounts stage.Lending
	// MemoryBytes and Processes are the limits of a session whose spec has
	// none; zero is no limit.
	MemoryBytes int64
	Processes   int
	CPUPercent  int // 100 is one processor
	// ReadyWithin is how long a display and its app may take to come up; 30 s
	// if zero.
	ReadyWithin time.Duration
	// Settle is how long an app that opens no window must live to be up;
	// stage.DefaultSettle if zero.
	Settle time.Duration

	Log *slog.Logger // slog.Default if nil
}

// StartError is why a session did not start. It is runner.ErrNotStarted.
type StartError struct {
	Reason string // one line for people
	Err    error
}

// Error returns the reason.
func (e *StartError) Error() string { return e.Reason }

// Unwrap returns what is behind it.
func (e *StartError) Unwrap() []error {
	if e.Err == nil {
		return []error{runner.ErrNotStarted}
	}
	return []error{runner.ErrNotStarted, e.Err}
}

// Runner implements [runner.Runner].
type Runner struct {
	config Config
	inner  *process.Runner
	tidier tidier
}

var _ runner.Runner = (*Runner)(nil)

// New returns a Runner. It makes the folders when they are needed.
func New(c Config) (*Runner, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	var err error
	for _, dir := range []*string{&c.Runs, &c.Sessions} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, err
		}
	}
	r := &Runner{config: c, inner: process.New(c.Runs, c.Guard)}
	r.tidier = tidier{command: c.Clean, log: c.Log}
	return r, nil
}

func name(k runner.Key) string { return fmt.Sprintf("%d.%d", k.Session, k.Run) }

func (r *Runner) session(k runner.Key) string { return filepath.Join(r.config.Sessions, name(k)) }

// endWithin is how long a run that is given up may take to end.
const endWithin = 15 * time.Second

// Start implements [runner.Runner]: it returns when the display and the app are
// up. The error for a session that did not start is a [*StartError]; its run is
// over, also if ctx has ended.
func (r *Runner) Start(ctx context.Context, spec runner.Spec) (runner.Run, error) {
	key := runner.Key{Session: spec.Session, Run: spec.Run}
	if _, err := os.Stat(filepath.Join(r.config.Runs, name(key))); err == nil {
		return r.left(key), fmt.Errorf("start session %s: %w", name(key), runner.ErrExists)
	}
	if !spec.Deadline.SameBoot(boottime.Now()) {
		return nil, fmt.Errorf("start session %s: %w: the deadline is of another boot", name(key), runner.ErrRefused)
	}
	dir := r.session(key)
	guarded := r.guarded(spec, dir)
	if err := r.prepare(dir, guarded); err != nil {
		if errors.Is(err, stage.ErrExists) {
			return nil, fmt.Errorf("start session %s: %w: %w", name(key), runner.ErrExists, err)
		}
		err = r.refuse(ctx, guarded, err)
		return r.left(key), err
	}
	run, err := r.inner.Start(ctx, guarded)
	if err == nil {
		return r.wrap(run), nil
	}
	if errors.Is(err, runner.ErrExists) || errors.Is(err, runner.ErrRefused) {
		return r.left(key), errors.Join(err, r.clean(ctx, dir))
	}
	err = r.giveUp(ctx, key, err)
	return r.left(key), err
}

// left is what there is of a run that did not start; nil if nothing is.
func (r *Runner) left(key runner.Key) runner.Run {
	run, err := r.inner.Open(key)
	if err != nil {
		return nil
	}
	return r.wrap(run)
}

// guarded is the spec for the guard, whose app is the stage.
func (r *Runner) guarded(spec runner.Spec, dir string) runner.Spec {
	stream := guard.Stream{}
	if spec.Stream != nil {
		stream = *spec.Stream
	}
	stream.App = &guard.StreamApp{Argv: spec.Argv, Env: spec.Env, Dir: spec.Dir}
	spec.Stream = &stream
	spec.Argv, spec.Env, spec.Dir = r.config.Stage(dir), nil, ""
	spec.Ready, spec.ReadyWithin = stage.ReadyFile(dir), r.config.ReadyWithin
	spec.Report = stage.OutcomeFile(dir)
	spec.EndsWithMain = true
	spec.After = r.config.Clean(dir)
	if spec.MemoryBytes == 0 {
		spec.MemoryBytes = r.config.MemoryBytes
	}
	if spec.Processes == 0 {
		spec.Processes = r.config.Processes
	}
	if spec.CPUPercent == 0 {
		spec.CPUPercent = r.config.CPUPercent
	}
	return spec
}

// errShared means that sessions of this host have its network, whatever they are to have.
var errShared = errors.New("this host cannot separate its sessions, so it runs apps only whose delivery method has the network of the host")

// prepare makes the session's folder.
func (r *Runner) prepare(dir string, spec runner.Spec) error {
	network := cmp.Or(spec.Stream.Network, r.config.Network, string(catalog.Internet))
	if !r.config.Separate && network != string(catalog.HostNetwork) {
		return errShared
	}
	mode := fs.FileMode(0o700)
	if account.Can() {
		mode = 0o711 // the accounts pass through, and see nothing
	}
	if err := os.MkdirAll(r.config.Sessions, mode); err != nil {
		return err
	}
	return stage.Prepare(dir, stage.Config{
		App: spec.App, Argv: spec.Stream.App.Argv, Env: spec.Stream.App.Env, Dir: spec.Stream.App.Dir,
		Geometry: spec.Stream.Geometry, Clipboard: spec.Stream.Clipboard,
		Margin: spec.Margin, Settle: r.config.Settle, Processes: spec.Processes,
		Separate: r.config.Separate, Inside: r.config.Inside, Shares: r.config.Shares, Scratch: r.config.Scratch,
		Network: network, Allow: spec.Stream.Allow, Resolvers: r.config.Resolvers,
		Nested: spec.Stream.Nested, Login: spec.Stream.Login, Name: spec.Stream.Name,
	}, r.config.Accounts)
}

// refuse writes down a run of which not even the folder could be made, as one
// that did not start: the agent finds it by Recover like any other.
func (r *Runner) refuse(ctx context.Context, spec runner.Spec, why error) error {
	reason := stage.Explain(why)
	err := guard.Refuse(filepath.Join(r.config.Runs, fmt.Sprintf("%d.%d", spec.Session, spec.Run)), spec, reason)
	if err != nil {
		r.config.Log.WarnContext(ctx, "a session that did not start is not on disk", "session", spec.Session, "error", err)
	}
	return &StartError{Reason: reason, Err: errors.Join(why, err)}
}

// giveUp ends a run whose start failed, and returns why it did.
func (r *Runner) giveUp(ctx context.Context, key runner.Key, why error) error {
	// It is ended for certain, also if nobody waits any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	run, err := r.inner.Open(key)
	if err != nil {
		// Not even a folder: no guard was started.
		return errors.Join(&StartError{Reason: stage.Explain(why), Err: why}, r.clean(ctx, r.session(key)))
	}
	reason := "It was given up before it was up"
	var exit runner.Event
	for {
		// A guard that has only just been started is not there yet, and then
		// does not listen yet.
		_, err = run.Stop(ctx, reason)
		if !errors.Is(err, runner.ErrUnresponsive) {
			exit, err = run.Wait(ctx)
		}
		if ctx.Err() != nil || !errors.Is(err, runner.ErrUnresponsive) && !errors.Is(err, runner.ErrAlive) {
			break
		}
	}
	if err != nil {
		// It may live: the agent must not think otherwise.
		return errors.Join(why, err)
	}
	if exit.Reason != "" {
		reason = exit.Reason
	}
	return errors.Join(&StartError{Reason: reason}, r.clean(ctx, r.session(key)))
}

// clean takes a session away, and comes back to one that it cannot.
func (r *Runner) clean(ctx context.Context, dir string) error {
	err := r.tidier.now(context.WithoutCancel(ctx), dir)
	if err != nil {
		r.tidier.later(dir)
	}
	return err
}

// Recover implements [runner.Runner]. What is left of a session whose run is
// over, or never was on disk, it takes away.
func (r *Runner) Recover(ctx context.Context) ([]runner.Run, error) {
	found, err := r.inner.Recover(ctx)
	keep := make(map[string]bool)
	var runs []runner.Run
	for _, run := range found {
		if run.Alive() {
			keep[name(run.Key())] = true
		}
		runs = append(runs, r.wrap(run))
	}
	if err != nil {
		return runs, err // what could not be ended keeps its folder; the next start comes again
	}
	var errs []error
	entries, err := os.ReadDir(r.config.Sessions)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		path := filepath.Join(r.config.Sessions, e.Name())
		switch {
		case path == stage.Trash(r.config.Sessions):
			r.tidier.later(path)
		case !keep[e.Name()] && e.IsDir():
			errs = append(errs, r.clean(ctx, path))
		}
	}
	return runs, errors.Join(errs...)
}

// Socket returns where the display of a run is served by RFB, while the run is
// up. Its path may be longer than an address; package localsocket gets there.
func (r *Runner) Socket(key runner.Key) (path string, ok bool) {
	dir := r.session(key)
	if _, err := stage.ReadReady(dir); err != nil {
		return "", false
	}
	return stage.Socket(dir), true
}

// ErrNoDisplay means that a run is not up, or not any more.
var ErrNoDisplay = errors.New("there is no display")

// Dial connects to the display of a run, where it speaks RFB. It does so only if
// who listens there is the session: the error is [ErrNoDisplay], or one of
// package untrusted.
func (r *Runner) Dial(ctx context.Context, key runner.Key) (net.Conn, error) {
	dir := r.session(key)
	ready, err := stage.ReadReady(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDisplay, err)
	}
	uid := ready.Account
	if uid == 0 {
		uid = os.Getuid()
	}
	path := stage.Socket(dir)
	return untrusted.Dial(ctx, filepath.Dir(path), filepath.Base(path), uid)
}

// Live returns how many sessions have a folder: those that are starting, up or
// ending.
func (r *Runner) Live() (int, error) {
	entries, err := os.ReadDir(r.config.Sessions)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		switch path := filepath.Join(r.config.Sessions, e.Name()); {
		case path == stage.Trash(r.config.Sessions):
			r.tidier.later(path) // what a session has left outlasted its guard
		case e.IsDir() && strings.Contains(e.Name(), "."):
			n++
		}
	}
	return n, nil
}

// run is a run of process whose spec is that of the app.
type run struct {
	runner.Run
	r *Runner
}

func (r *Runner) wrap(inner runner.Run) runner.Run { return &run{inner, r} }

// Spec returns what the run was started with.
func (u *run) Spec() runner.Spec {
	spec := u.Run.Spec()
	if spec.Stream == nil || spec.Stream.App == nil {
		return spec
	}
	stream := *spec.Stream
	app := stream.App
	spec.Argv, spec.Env, spec.Dir, stream.App = app.Argv, app.Env, app.Dir, nil
	spec.Stream = &stream
	spec.Ready, spec.ReadyWithin, spec.Report, spec.EndsWithMain, spec.After = "", 0, "", false, nil
	return spec
}

// Wait returns the last event of the run.
func (u *run) Wait(ctx context.Context) (runner.Event, error) { return runner.AwaitExit(ctx, u) }

// Forget has the session taken away too, should anything be left of it, and
// does not wait for that.
func (u *run) Forget(ctx context.Context) error {
	if u.Alive() {
		return fmt.Errorf("forget session %s: %w", name(u.Key()), runner.ErrAlive)
	}
	if dir := u.r.session(u.Key()); exists(dir) {
		u.r.tidier.later(dir)
	}
	return u.Run.Forget(ctx)
}
