package guard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"leasehold/internal/agent/boottime"
)

// Spawn makes the folder dir, which must not exist, and starts a guard for it
// that outlives the caller. command returns the guard's command line for a
// folder, usually the program itself with "guard --dir DIR". Spawn returns
// when the app has started; the error is [ErrExists] for a folder that is
// there, and [ErrNotStarted] if the app could not be started: then the run is
// over, its folder and events stay.
//
// If ctx ends first the guard may still start the app: the caller finds the
// run with [Find], as after a crash.
func Spawn(ctx context.Context, dir string, spec Spec, command func(dir string) []string) (*Handle, error) {
	dir, spec, err := makeRun(dir, spec)
	if err != nil {
		return nil, fmt.Errorf("start run %s: %w", spec.marker(), err)
	}
	h := &Handle{dir: dir, spec: spec}
	if err := h.spawn(ctx, command(dir)); err != nil {
		return nil, fmt.Errorf("start run %s: %w", spec.marker(), err)
	}
	return h, nil
}

// makeRun makes the folder of a run.
func makeRun(dir string, spec Spec) (string, Spec, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", spec, err
	}
	if !spec.Deadline.SameBoot(boottime.Now()) {
		return "", spec, fmt.Errorf("%w: the deadline is of another boot", ErrRefused)
	}
	if spec.Token == "" {
		spec.Token = rand.Text()
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", spec, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %w", ErrExists, err)
		}
		return "", spec, err
	}
	if err := errors.Join(writeFile(filepath.Join(dir, specFile), spec), syncDir(filepath.Dir(dir))); err != nil {
		// Nothing ran in it, and it can be made again once there is room.
		return "", spec, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, spec, nil
}

// Refuse writes down a run that is not started, and why: for a caller that
// cannot do its part of a start, but whose runs are all to be found by [Find].
// The error is [ErrExists] for a folder that is there.
func Refuse(dir string, spec Spec, reason string) error {
	dir, spec, err := makeRun(dir, spec)
	if err != nil {
		return fmt.Errorf("refuse run %s: %w", spec.marker(), err)
	}
	if err := take(dir, claim{PID: os.Getpid(), At: boottime.Now(), Swept: true}); err != nil {
		return fmt.Errorf("refuse run %s: %w", spec.marker(), err)
	}
	log, err := openEvents(dir)
	if err != nil {
		return fmt.Errorf("refuse run %s: %w", spec.marker(), err)
	}
	defer log.close()
	if err := errors.Join(log.append(Event{Type: Starting}), log.append(Event{Type: Exited, Outcome: NotStarted, Reason: reason, Proof: ProofNeverRan})); err != nil {
		return fmt.Errorf("refuse run %s: %w", spec.marker(), err)
	}
	return nil
}

func (h *Handle) spawn(ctx context.Context, argv []string) error {
	log, err := os.OpenFile(filepath.Join(h.dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := startDetached(cmd); err != nil {
		return errors.Join(err, h.sweepAfter(ctx))
	}
	// Wait also buries the guard for as long as we live, or it would stay a zombie.
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	// The guard tells by its events alone, which also hold when nobody listens.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for dead := false; ; {
		events, _, err := ReadEvents(h.dir, 0)
		if err != nil {
			return err
		}
		for _, e := range events {
			switch e.Type {
			case Started:
				return nil
			case Exited:
				return fmt.Errorf("%w: %s", ErrNotStarted, e.Reason)
			}
		}
		if dead {
			return fmt.Errorf("%w: its guard died; see %s", errors.Join(ErrNotStarted, h.sweepAfter(ctx)), filepath.Join(h.dir, logFile))
		}
		select {
		case <-tick.C:
		case <-gone:
			dead = true // its last events are read once more
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *Handle) sweepAfter(ctx context.Context) error {
	_, err := Sweep(ctx, h.dir)
	return err
}

// Attach returns a handle for the run in dir if its guard is alive: the very
// process that claimed the folder, on this boot. The error is [ErrGone] if it
// is not, and [ErrUnresponsive], with a handle, if it is and does not answer.
func Attach(ctx context.Context, dir string) (*Handle, error) {
	h, err := Open(dir)
	if err != nil {
		return nil, err
	}
	if !h.Alive() {
		return nil, fmt.Errorf("attach to %s: %w", h.spec.marker(), ErrGone)
	}
	if _, err := h.Status(ctx); err != nil {
		if errors.Is(err, ErrGone) {
			return nil, fmt.Errorf("attach to %s: %w", h.spec.marker(), err)
		}
		return h, fmt.Errorf("attach to %s: %w", h.spec.marker(), err)
	}
	return h, nil
}

// Open returns a handle for the run in dir without asking whether its guard
// is alive: enough to read its events.
func Open(dir string) (*Handle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	spec, err := readSpec(dir)
	if err != nil {
		return nil, err
	}
	return &Handle{dir: dir, spec: spec}, nil
}

// Found is a run that [Find] found.
type Found struct {
	Dir   string
	Spec  Spec
	Alive bool // its guard is
	Ended bool // its Exited event is written; a guard may be alive a moment longer
	// Err says why the folder cannot be read, and the other fields but Dir are
	// empty: a crash while the folder was made. Nothing ran, it can be removed.
	Err error
}

// Find lists the runs whose folders lie in root, in the order of their names.
// A root that does not exist has none. A run that is neither alive nor ended
// is to be swept. It must not be called while a run of root is being spawned.
func Find(root string) ([]Found, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("find runs: %w", err)
	}
	var list []Found
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		f := Found{Dir: filepath.Join(root, e.Name())}
		if h, err := Open(f.Dir); err != nil {
			f.Err = err
		} else {
			f.Spec, f.Alive = h.spec, h.Alive()
			if _, f.Ended, err = ended(f.Dir); err != nil {
				f.Err = err
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// Sweep ends a run whose guard is dead: it kills whatever of it is left,
// writes the missing Exited event and returns it; for a run that has one it
// only returns it. The error is [ErrAlive] if the guard is alive, and that of
// ctx if processes resist; then nothing is written and Sweep can be repeated.
// After it no guard starts in the folder, so a run that was never started
// stays so.
func Sweep(ctx context.Context, dir string) (Event, error) {
	spec, err := readSpec(dir)
	if err != nil {
		return Event{}, err
	}
	// Several that wait for one run find its guard dead at once.
	unlock, err := sweeping.lock(ctx, dir)
	if err != nil {
		return Event{}, fmt.Errorf("sweep run %s: %w", spec.marker(), err)
	}
	defer unlock()
	if e, ok, err := ended(dir); ok || err != nil {
		return e, err
	}
	c := claim{PID: os.Getpid(), At: boottime.Now(), Swept: true}
	err = take(dir, c)
	if errors.Is(err, fs.ErrExist) {
		c, err = readClaim(dir)
	}
	if err != nil {
		return Event{}, fmt.Errorf("sweep run %s: %w", spec.marker(), err)
	}
	if c.alive() {
		return Event{}, fmt.Errorf("sweep run %s: %w", spec.marker(), ErrAlive)
	}
	// Again: a guard that was alive a moment ago has now written all it will.
	if e, ok, err := ended(dir); ok || err != nil {
		return e, err
	}
	e := Event{Type: Exited, Outcome: GuardLost}
	events, _, err := ReadEvents(dir, 0)
	if err != nil {
		return Event{}, err
	}
	cgroup, deadline := "", spec.Deadline
	for _, o := range events {
		switch o.Type {
		case Starting:
			cgroup = o.Cgroup
		case Started:
			e.PID = o.PID
		case Extended:
			if o.Deadline != nil && deadline.Before(*o.Deadline) {
				deadline = *o.Deadline
			}
		case ForceUsed:
			e.Forced = true
		case Closing:
			e.Reason = o.Reason
		}
	}
	switch {
	case !spec.Deadline.SameBoot(boottime.Now()):
		e.Outcome, e.Proof = Rebooted, ProofReboot
	case len(events) == 0:
		// A guard writes that it starts the app before it does.
		e.Outcome, e.Reason, e.Proof = NotStarted, "its guard never started it", ProofNeverRan
	default:
		killed, proof, err := killStray(ctx, spec, cgroup)
		if err != nil {
			return Event{}, fmt.Errorf("sweep run %s: %w", spec.marker(), err)
		}
		e.Forced, e.Proof = e.Forced || killed, proof
	}
	if !e.Proof.Proved() {
		e.Deadline = &deadline
	}
	if e.Reason == "" {
		e.Reason = readReport(spec.Report)
	}
	// What cannot be cleared up does not keep the run open.
	if err := runAfter(ctx, spec); err != nil {
		slog.WarnContext(ctx, "a run was not cleared up", "run", spec.marker(), "error", err)
	}
	log, err := openEvents(dir)
	if err != nil {
		return Event{}, fmt.Errorf("sweep run %s: %w", spec.marker(), err)
	}
	defer log.close()
	e.At = boottime.Now()
	if err := log.append(e); err != nil {
		return Event{}, fmt.Errorf("sweep run %s: %w", spec.marker(), err)
	}
	// Only now: without its cgroup nobody could tell that nothing is left.
	removeCgroups(append(c.Cgroups, cgroup))
	return e, nil
}

// Remove deletes the folder of a run that has ended, once its events were
// read. The error is [ErrAlive] for one that has not, or not certainly.
func Remove(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, specFile)); err == nil {
		if _, ok, err := ended(dir); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("remove %s: %w", dir, ErrAlive)
		}
	}
	return os.RemoveAll(dir)
}
