package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/subreaper"
)

// tree is what a run's processes are to the guard: here, whatever is below a
// subreaper, but for the guard's own dialogs; and what is in the run's cgroup.
type tree struct {
	spec   Spec
	log    *slog.Logger
	group  *cgroup           // nil if there is none to be had
	legacy legacy            // what else limits it
	thread *subreaper.Thread // starts the children that are not adopted
	main   process           // zero before the start

	mu sync.Mutex
	// own are the children that os/exec waits for; all others are reaped here.
	own map[int]bool
}

func newTree(spec Spec, log *slog.Logger) (*tree, error) {
	// Orphans below us come to us instead of to init: no double fork gets away.
	if err := subreaper.Become(); err != nil {
		return nil, err
	}
	t := &tree{spec: spec, log: log, own: make(map[int]bool), thread: subreaper.NewThread(), group: makeCgroup(spec, log)}
	var memory, processes, cpu error = errNoCgroup, errNoCgroup, errNoCgroup
	if t.group != nil {
		memory, processes, cpu = t.group.limit(spec)
	}
	for _, l := range []struct {
		wanted bool
		err    *error
		limit  func(Spec) error
	}{
		{spec.MemoryBytes > 0, &memory, t.legacy.memory},
		{spec.Processes > 0, &processes, t.legacy.processes},
		{spec.CPUPercent > 0, &cpu, t.legacy.cpu},
	} {
		if l.wanted && *l.err != nil {
			*l.err = l.limit(spec)
		}
	}
	unlimited(spec, log, memory, processes, cpu)
	return t, nil
}

// cgroup returns the folder of the cgroup that the app is started in, or "".
func (t *tree) cgroup() string {
	if t.group == nil {
		return ""
	}
	return t.group.path
}

// leaveCgroup gives the cgroup up: the app cannot be started in it.
func (t *tree) leaveCgroup() {
	if err := t.group.remove(); err != nil {
		t.log.Warn("the cgroup stays", "err", err)
	}
	t.group = nil
}

// outOfMemory reports whether the kernel killed something for its memory.
func (t *tree) outOfMemory() bool {
	return t.group != nil && t.group.oomKilled() || t.legacy.oomKilled()
}

func (t *tree) close() {
	if t.group != nil {
		if err := t.group.remove(); err != nil {
			t.log.Warn("the cgroup stays", "err", err)
		}
	}
	if err := t.legacy.remove(); err != nil {
		t.log.Warn("a cgroup stays", "err", err)
	}
}

// start starts the app: in its cgroup before its first instruction, in a
// process group of its own, with a signal that takes it with us. The error is
// errCgroup if the cgroup is at fault.
func (t *tree) start(cmd *exec.Cmd) (err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	t.thread.Do(func() {
		if err = t.legacy.enter(); err != nil {
			return
		}
		defer func() {
			// A thread of ours in there would count, and keep it.
			if lerr := t.legacy.leave(); lerr != nil {
				t.log.Error("cannot leave the cgroup of the run", "err", lerr)
			}
		}()
		switch {
		case t.group == nil:
			err = t.startChild(cmd)
		case t.group.kind == freezer:
			err = t.startFrozen(cmd)
		default:
			err = t.startIn(cmd)
		}
	})
	if err != nil {
		return err
	}
	t.main, err = readProcess(cmd.Process.Pid)
	if err != nil {
		t.main = process{pid: cmd.Process.Pid, pgrp: cmd.Process.Pid}
	}
	return nil
}

// startIn has the kernel put the app into its cgroup of version 2 as it makes
// the process.
func (t *tree) startIn(cmd *exec.Cmd) error {
	dir, err := os.Open(t.group.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errCgroup, err)
	}
	defer dir.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	err = t.startChild(cmd)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		// A kernel before 5.7; or not the cgroup's fault, which the next attempt
		// shows.
		return fmt.Errorf("%w: %w", errCgroup, err)
	}
	return err
}

// startFrozen starts the app in a cgroup of version 1. A thread can be in one
// by itself there, and what it forks is where it is; so nobody has to be moved
// after it has begun. The runtime makes no thread from one that is locked.
func (t *tree) startFrozen(cmd *exec.Cmd) error {
	if err := move(t.group.path); err != nil {
		return fmt.Errorf("%w: %w", errCgroup, err)
	}
	err := t.startChild(cmd)
	if back := move(filepath.Dir(t.group.path)); back != nil {
		// A thread of ours in there would be frozen with the app.
		if err == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		return fmt.Errorf("leave the cgroup of the run: %w", back)
	}
	return err
}

// startOwn starts a child that os/exec waits for.
func (t *tree) startOwn(cmd *exec.Cmd) (err error) {
	t.thread.Do(func() { err = t.startChild(cmd) })
	return err
}

func (t *tree) startChild(cmd *exec.Cmd) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	t.own[cmd.Process.Pid] = true
	return nil
}

// reap waits for the orphans that we have adopted and that have ended, and
// returns those that live.
func (t *tree) reap() []int {
	living, err := subreaper.Reap()
	if err == nil {
		return living
	}
	if !errors.Is(err, subreaper.ErrNoList) {
		t.log.Error("cannot see the app's processes", "err", err)
	}
	return t.reapByWalk()
}

// reapByWalk does that where the kernel does not list the orphans.
func (t *tree) reapByWalk() (living []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := processes()
	if err != nil {
		return nil
	}
	children := make(map[int]bool)
	for _, p := range all {
		if p.ppid != os.Getpid() {
			continue
		}
		children[p.pid] = true
		switch {
		case t.own[p.pid]:
		case p.zombie:
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
		default:
			living = append(living, p.pid)
		}
	}
	for pid := range t.own {
		if !children[pid] {
			delete(t.own, pid) // its number may come back as an orphan
		}
	}
	return living
}

// vacant reports whether nothing of the run seems to be left, its main process
// having ended: no orphan, and nothing in the cgroup. The guard's dialogs do
// not count, but what a dialog has left behind is ended.
func (t *tree) vacant() bool {
	living := t.reap()
	for _, pid := range living {
		if p, err := readProcess(pid); err == nil && t.isDialog(p) {
			_ = p.send(unix.SIGKILL)
		}
	}
	return len(living) == 0 && (t.group == nil || t.group.empty())
}

// proof returns how it is known that nothing of the run is left, when it was
// vacant and the dialogs are gone; ok is false if something is left after all.
// Both the kernel's answers must say so: a process with the rights to it can
// leave a cgroup, but not the tree below a subreaper.
func (t *tree) proof() (p Proof, ok bool) {
	t.reap()
	none, err := subreaper.NoChildren()
	if err != nil {
		t.log.Error("cannot see the app's processes", "err", err)
	}
	switch {
	case !none:
		return ProofNone, false
	case t.group == nil:
		return ProofReaped, true
	}
	return t.group.kind.proof(), t.group.empty()
}

// tenants returns the living processes of the run that a walk finds. It may
// miss some.
func (t *tree) tenants() ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	below := make(map[int][]process)
	for _, p := range all {
		below[p.ppid] = append(below[p.ppid], p)
	}
	var list []process
	queue := []int{os.Getpid()}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		for _, p := range below[parent] {
			queue = append(queue, p.pid)
			if !p.zombie && !t.isDialog(p) {
				list = append(list, p)
			}
		}
	}
	return list, nil
}

// isDialog reports whether p is one of our dialogs or was started by one. An
// app that only claims to be one still carries the token of the run.
func (t *tree) isDialog(p process) bool {
	env := environment(p.pid)
	return hasVariable(env, envDialog, t.spec.Token) && !hasVariable(env, EnvToken, t.spec.Token)
}

// terminate asks the app to end: its process group, and everything that is
// left once the main process is gone.
func (t *tree) terminate(mainRuns bool) {
	list, err := t.tenants()
	if err != nil {
		t.log.Error("cannot ask the app to close", "err", err)
		return
	}
	for _, p := range list {
		if mainRuns && p.pgrp != t.main.pid {
			continue
		}
		_ = p.send(unix.SIGTERM) // if it fails, force follows
		_ = p.send(unix.SIGCONT) // one that is stopped can only act when it goes on
	}
}

// kill kills everything that is there now.
func (t *tree) kill() error {
	if t.group != nil {
		t.group.kill()
	}
	err := killAll(func() ([]process, error) {
		list, err := t.tenants()
		if err != nil {
			return nil, err
		}
		strays, err := marked(t.spec.Token)
		return append(list, strays...), err
	})
	t.hunt()
	return err
}

// huntFor is how long one round of force hunts for orphans.
const huntFor = 100 * time.Millisecond

// hunt kills orphans as they come, until there are none or its time is over.
// The walk before it is too slow for a chain of processes that each fork a
// successor and exit at once. But when one exits its successor is an orphan
// and in the kernel's list, which takes microseconds to read; and a chain ends
// as soon as one of it is killed before it forks. A chain can be faster than
// that, so there is no promise that it is won: the guard comes again for as
// long as something is left, and says nothing else.
func (t *tree) hunt() {
	for deadline := time.Now().Add(huntFor); time.Now().Before(deadline); {
		living := t.reap()
		if len(living) == 0 {
			return
		}
		for _, pid := range living {
			// It is ours to reap, so its number is nobody else's. Its process
			// group, if it leads one, is killed in one step, forks included.
			_ = unix.Kill(-pid, unix.SIGKILL)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// childSignals returns a channel that tells when a child has ended.
func childSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGCHLD)
	return c, func() { signal.Stop(c) }
}
