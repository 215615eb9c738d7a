package guard

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// tree is what a run's processes are to the guard: here, whatever is below a
// subreaper, but for the guard's own dialogs.
type tree struct {
	spec   Spec
	log    *slog.Logger
	cgroup *cgroup // nil if none is delegated
	main   process // zero before the start

	mu sync.Mutex
	// own are the children that os/exec waits for; all others are reaped here.
	own map[int]bool
}

func newTree(spec Spec, log *slog.Logger) (*tree, error) {
	// Orphans below us come to us instead of to init: no double fork gets away.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	t := &tree{spec: spec, log: log, own: make(map[int]bool)}
	if path := cgroupPath(spec); path != "" {
		c, err := makeCgroup(path)
		if err != nil {
			log.Info("no cgroup", "error", err)
		}
		t.cgroup = c
	}
	var memory, processes error = errNoCgroup, errNoCgroup
	if t.cgroup != nil {
		memory, processes = limitCgroup(t.cgroup.path, spec)
	}
	unlimited(spec, log, memory, processes)
	return t, nil
}

// outOfMemory reports whether the kernel killed something for its memory.
func (t *tree) outOfMemory() bool {
	return t.cgroup != nil && oomKilled(t.cgroup.path)
}

func (t *tree) close() {
	if t.cgroup != nil {
		if err := t.cgroup.remove(); err != nil {
			t.log.Warn("the cgroup stays", "error", err)
		}
	}
}

// start starts the app: in a process group of its own, with a signal that
// takes it with us. The calling thread must live as long as the guard.
func (t *tree) start(cmd *exec.Cmd) error {
	attr := func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	cmd.SysProcAttr = attr()
	if t.cgroup != nil {
		cmd.SysProcAttr.UseCgroupFD = true
		cmd.SysProcAttr.CgroupFD = int(t.cgroup.dir.Fd())
	}
	err := t.startOwn(cmd)
	if err != nil && t.cgroup != nil && !errors.Is(err, os.ErrNotExist) {
		// The folder could be made, and yet nothing put into it: a threaded
		// cgroup, or a kernel before 5.7. The tree alone has to do.
		t.log.Warn("started without a cgroup", "error", err)
		*cmd = exec.Cmd{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
			Stdout: cmd.Stdout, Stderr: cmd.Stderr, SysProcAttr: attr()}
		err = t.startOwn(cmd)
	}
	if err != nil {
		return err
	}
	t.main, err = readProcess(cmd.Process.Pid)
	if err != nil {
		t.main = process{pid: cmd.Process.Pid, pgrp: cmd.Process.Pid}
	}
	return nil
}

// startOwn starts a child that os/exec waits for.
func (t *tree) startOwn(cmd *exec.Cmd) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	t.own[cmd.Process.Pid] = true
	return nil
}

// reap buries the orphans that came to us and have ended.
func (t *tree) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, err := processes()
	if err != nil {
		return
	}
	children := make(map[int]bool)
	for _, p := range all {
		if p.ppid != os.Getpid() {
			continue
		}
		children[p.pid] = true
		if p.zombie && !t.own[p.pid] {
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
		}
	}
	for pid := range t.own {
		if !children[pid] {
			delete(t.own, pid) // its number may come back as an orphan
		}
	}
}

// tenants returns the living processes of the run.
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
		t.log.Error("cannot ask the app to close", "error", err)
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
	if t.cgroup != nil {
		t.cgroup.kill()
	}
	err := killAll(func() ([]process, error) {
		list, err := t.tenants()
		if err != nil {
			return nil, err
		}
		strays, err := marked(t.spec.Token)
		return append(list, strays...), err
	})
	t.reap()
	return err
}

// childSignals returns a channel that tells when a child has ended.
func childSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGCHLD)
	return c, func() { signal.Stop(c) }
}
