//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// lives is how often an app is launched and evicted.
const lives = 8

// window is the warning before the app is closed, which every eviction takes.
const window = time.Second

// benchLife measures a real player and a real app on this machine: from the launch to the
// app's process, and from the order to the end of it, pushed both.
func benchLife(ctx context.Context, o *options, db *database, t *report) (err error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	self, sample := filepath.Join(bin, "leasehold"), filepath.Join(bin, "leasehold-sample")
	for _, p := range []string{self, sample} {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w; build it first, as make bench does", err)
		}
	}
	dir, err := os.MkdirTemp("", "leasehold-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pids := filepath.Join(dir, "pids")
	app := []string{sample, "--terminal", "--exit-after", "5m", "--pid-file", pids}
	n, err := newNode(ctx, db, 300, int(window/time.Second), []catalog.Package{{Type: catalog.Command, Command: app}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	bare, err := bareStart(ctx, app, pids)
	if err != nil {
		return err
	}
	key, _, err := n.Control.NewEnrolmentKey(ctx, n.admin, control.KeyTerms{Kind: wire.Player, Uses: control.MaxKeyUses})
	if err != nil {
		return err
	}
	state := filepath.Join(dir, "player")
	player := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, self, append([]string{"player"}, args...)...)
		cmd.Env = append(os.Environ(), "DISPLAY=", "WAYLAND_DISPLAY=")
		return cmd
	}
	if out, err := player("enroll", "--server", n.url, "--key", key, "--name", "BENCH", "--state", state).CombinedOutput(); err != nil {
		return fmt.Errorf("player enroll: %w: %s", err, out)
	}
	run := player("run", "--state", state, "--log-level", "error")
	if err := run.Start(); err != nil {
		return err
	}
	defer func() {
		run.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(10*time.Second, func() { run.Process.Kill() })
		defer killed.Stop()
		run.Wait()
	}()
	// The first launch is by link, which makes the device one of the user's.
	l, err := n.Control.Launch(ctx, n.user, n.app, 0)
	if err != nil {
		return err
	}
	if out, err := player("launch", l.Link, "--accept", "--state", state).CombinedOutput(); err != nil {
		return fmt.Errorf("player launch: %w: %s", err, out)
	}
	seen := 0
	pid, err := nextPID(ctx, pids, &seen)
	if err != nil {
		return err
	}
	var started, gone []time.Duration
	id := l.Session.ID
	for i := range lives {
		took, err := n.evict(ctx, id, pid)
		if err != nil {
			return err
		}
		gone = append(gone, took-window)
		if i == lives-1 {
			break
		}
		devices, err := n.Control.Portal(ctx, n.user)
		if err != nil || len(devices.Devices) == 0 {
			return errors.Join(err, errors.New("the device was not recorded"))
		}
		begin := time.Now()
		l, err := n.Control.Launch(ctx, n.user, n.app, devices.Devices[0].ID)
		if err != nil {
			return err
		}
		if pid, err = nextPID(ctx, pids, &seen); err != nil {
			return err
		}
		started, id = append(started, time.Since(begin)), l.Session.ID
	}
	s := t.section(fmt.Sprintf("A real player and the sample app, pushed, %d times", lives), "from, to\tp50\tmax\tbare\t")
	s.row("launch → the app's process has started", quantile(started, 0.5), quantile(started, 1), bare, "(the same program, started by itself)")
	s.row("evict → the process is gone, less the warning of 1 s", quantile(gone, 0.5), quantile(gone, 1), "", "")
	return nil
}

// evict ends a session's app, and returns when its process is gone.
func (n *node) evict(ctx context.Context, id int64, pid int) (time.Duration, error) {
	// Until it holds its lease it would be refused one, which is another way to end.
	if err := await(ctx, func() (bool, error) {
		d, err := n.Control.Session(ctx, id)
		return err == nil && d.Row.Status == session.Running && d.Row.Lease != nil, err
	}); err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := n.Control.Act(ctx, n.admin, id, session.Evict, "bench"); err != nil {
		return 0, err
	}
	err := await(ctx, func() (bool, error) { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH), nil })
	return time.Since(begin), err
}

// bareStart is how long the app's program takes to start by itself.
func bareStart(ctx context.Context, app []string, pids string) (time.Duration, error) {
	var took []time.Duration
	defer os.Remove(pids)
	seen := 0
	for range 5 {
		cmd := exec.CommandContext(ctx, app[0], app[1:]...)
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		_, err := nextPID(ctx, pids, &seen)
		took = append(took, time.Since(begin))
		cmd.Process.Kill()
		cmd.Wait()
		if err != nil {
			return 0, err
		}
	}
	return quantile(took, 0.5), nil
}

// nextPID waits for a further line in the file to which the app writes its number.
func nextPID(ctx context.Context, file string, seen *int) (pid int, err error) {
	err = await(ctx, func() (bool, error) {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		lines := strings.Fields(string(b))
		if err != nil || len(lines) <= *seen {
			return false, err
		}
		*seen++
		pid, err = strconv.Atoi(lines[*seen-1])
		return true, err
	})
	return pid, err
}

// await polls until ok, for 30 seconds at most.
func await(ctx context.Context, ok func() (bool, error)) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		if done, err := ok(); done || err != nil {
			return err
		}
	}
	return errors.Join(errors.New("nothing happened for 30 s"), ctx.Err())
}
