//go:build unix && !linux

package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one line of the process table.
type process struct {
	pid, ppid, pgrp int
	zombie          bool
	start           string
}

func processStart(pid int) (string, error) {
	p, err := readProcess(pid)
	if err != nil {
		return "", err
	}
	if p.zombie {
		return "", fmt.Errorf("process %d: %w", pid, unix.ESRCH)
	}
	return p.start, nil
}

// send signals p unless its number belongs to another process by now.
func (p process) send(sig unix.Signal) error {
	if now, err := readProcess(p.pid); err != nil || now.start != p.start {
		return unix.ESRCH
	}
	return unix.Kill(p.pid, sig)
}

func hasVariable(env []byte, key, value string) bool {
	want := append([]byte(key+"="+value), 0)
	return bytes.HasPrefix(env, want) || bytes.Contains(env, append([]byte{0}, want...))
}

// tree is what a run's processes are to the guard: what was ever seen below
// the app, because without a subreaper an orphan leaves the tree.
type tree struct {
	spec Spec
	log  *slog.Logger

	mu   sync.Mutex
	main process
	seen map[int]process // by pid
}

func newTree(spec Spec, log *slog.Logger) (*tree, error) {
	unlimited(spec, log, errNoCgroup, errNoCgroup, errNoCgroup)
	return &tree{spec: spec, log: log, seen: make(map[int]process)}, nil
}

func (t *tree) cgroup() string { return "" }

func (t *tree) leaveCgroup() {}

func (t *tree) outOfMemory() bool { return false }

func (t *tree) close() {}

func (t *tree) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.main, _ = readProcess(cmd.Process.Pid)
	t.main.pid, t.main.pgrp = cmd.Process.Pid, cmd.Process.Pid
	t.seen[t.main.pid] = t.main
	return nil
}

func (t *tree) startOwn(cmd *exec.Cmd) error { return cmd.Start() }

// reap has nothing to bury here, orphans go to launchd; but the guard calls it
// each time it wakes, at least once a second, and so sees who leaves.
func (t *tree) reap() { _, _ = t.tenants() }

// vacant reports whether a look finds nothing of the run.
func (t *tree) vacant() bool {
	list, err := t.tenants()
	if err != nil {
		t.log.Error("cannot see the app's processes", "error", err)
	}
	return err == nil && len(list) == 0
}

// proof has none to give: no process of these systems is told of all its
// descendants, and what a look does not find may be there.
func (t *tree) proof() (Proof, bool) { return ProofNone, t.vacant() }

// tenants returns the living processes of the run, as far as they were seen.
func (t *tree) tenants() ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := make(map[int]process)
	for _, p := range all {
		now[p.pid] = p
	}
	if len(all) == 0 {
		if p, err := readProcess(t.main.pid); err == nil {
			now[p.pid] = p
		}
	}
	for pid, p := range t.seen {
		if q, ok := now[pid]; !ok || q.start != p.start {
			delete(t.seen, pid)
		}
	}
	for grew := true; grew; {
		grew = false
		for pid, p := range now {
			if _, known := t.seen[pid]; known || pid == os.Getpid() {
				continue
			}
			_, below := t.seen[p.ppid]
			if below || p.pgrp == t.main.pid {
				t.seen[pid], grew = p, true
			}
		}
	}
	var list []process
	for pid := range t.seen {
		if p := now[pid]; !p.zombie {
			list = append(list, p)
		}
	}
	return list, nil
}

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
		_ = p.send(unix.SIGCONT)
	}
}

func (t *tree) kill() error {
	err := killAll(func() ([]process, error) {
		list, err := t.tenants()
		if err != nil {
			return nil, err
		}
		strays, err := marked(t.spec.Token)
		return append(list, strays...), err
	})
	if e := unix.Kill(-t.main.pid, unix.SIGKILL); e != nil && !errors.Is(e, unix.ESRCH) && !errors.Is(e, unix.EPERM) {
		err = errors.Join(err, e)
	}
	return err
}

// marked returns the living processes that carry the token of a run.
func marked(token string) ([]process, error) {
	all, err := processes()
	if err != nil || token == "" {
		return nil, err
	}
	var list []process
	for _, p := range all {
		if !p.zombie && p.pid != os.Getpid() && hasVariable(environment(p.pid), EnvToken, token) {
			list = append(list, p)
		}
	}
	return list, nil
}

// killAll stops and then kills what targets returns, and what that has made.
func killAll(targets func() ([]process, error)) error {
	stopped := make(map[process]bool)
	var errs []error
	for range 50 {
		list, err := targets()
		if err != nil {
			return err
		}
		fresh := false
		for _, p := range list {
			id := process{pid: p.pid, start: p.start}
			if stopped[id] {
				continue
			}
			stopped[id], fresh = true, true
			if err := p.send(unix.SIGSTOP); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, err)
			}
		}
		if !fresh {
			break
		}
	}
	for p := range stopped {
		if err := p.send(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func killStray(ctx context.Context, spec Spec, _ string) (killed bool, proof Proof, err error) {
	for {
		list, err := marked(spec.Token)
		if err != nil || len(list) == 0 {
			return killed, ProofNone, err
		}
		killed = true
		_ = killAll(func() ([]process, error) { return marked(spec.Token) })
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return killed, ProofNone, ctx.Err()
		}
	}
}

func cgroupPaths(Spec) []string { return nil }

func legacyPaths(Spec) []string { return nil }

func removeCgroups([]string) {}

// childSignals returns a channel that tells when a child has ended.
func childSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGCHLD)
	return c, func() { signal.Stop(c) }
}
