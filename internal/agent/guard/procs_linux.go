package guard

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one line of the process table.
type process struct {
	pid, ppid, pgrp int
	zombie          bool
	start           string // clock ticks since boot; with pid, names a process for ever
}

// readProcess reads /proc/PID/stat.
func readProcess(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name stands in parentheses and may contain anything, those included.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return process{}, fmt.Errorf("/proc/%d/stat: no name", pid)
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	p := process{pid: pid, zombie: f[0] == "Z" || f[0] == "X", start: f[19]}
	p.ppid, _ = strconv.Atoi(f[1])
	p.pgrp, _ = strconv.Atoi(f[2])
	return p, nil
}

// processStart tells when a living process started; a zombie does not live.
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

// processes reads the process table. What ends meanwhile is left out.
func processes() ([]process, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// environment returns what the process was started with, NUL after each; nil
// if we may not see it.
func environment(pid int) []byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	return b
}

func hasVariable(env []byte, key, value string) bool {
	want := append([]byte(key+"="+value), 0)
	return bytes.HasPrefix(env, want) || bytes.Contains(env, append([]byte{0}, want...))
}

// marked returns the living processes that carry the token of a run, wherever
// they went, but for this one.
func marked(token string) ([]process, error) {
	if token == "" {
		return nil, nil
	}
	all, err := processes()
	if err != nil {
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

// send signals the process that p names, and no other that has got its number
// since.
func (p process) send(sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		if errors.Is(err, unix.ENOSYS) {
			return unix.Kill(p.pid, sig)
		}
		return err
	}
	defer unix.Close(fd)
	if now, err := readProcess(p.pid); err != nil || now.start != p.start {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// killAll freezes and then kills what targets returns, and whatever that has
// made meanwhile: a process that is stopped cannot fork. It returns the errors
// of those it could not signal.
func killAll(targets func() ([]process, error)) error {
	frozen := make(map[process]bool)
	var errs []error
	// The bound is against processes that we may not stop; the caller comes again.
	for range 50 {
		list, err := targets()
		if err != nil {
			return err
		}
		fresh := false
		for _, p := range list {
			id := process{pid: p.pid, start: p.start}
			if frozen[id] {
				continue
			}
			frozen[id], fresh = true, true
			if err := p.send(unix.SIGSTOP); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("process %d: %w", p.pid, err))
			}
		}
		if !fresh {
			break
		}
	}
	for p := range frozen {
		if err := p.send(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("process %d: %w", p.pid, err))
		}
	}
	return errors.Join(errs...)
}
