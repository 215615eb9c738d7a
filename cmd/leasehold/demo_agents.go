package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/wire"
)

// demoAgent is a real agent of the demo: a process of its own.
type demoAgent struct {
	kind      wire.AgentKind // as its command is called, too
	name      string
	self, dir string
	args      []string // of its run, besides the usual ones
	out       *lines
	noPush    bool
	cmd       *exec.Cmd
	read      sync.WaitGroup
}

// command runs one of the agent's commands.
func (a *demoAgent) command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, a.self, append([]string{string(a.kind)}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("leasehold %s %s: %w: %s", a.kind, args[0], err, out)
	}
	return nil
}

// start enrols and runs the agent.
func (a *demoAgent) start(ctx context.Context, c *control.Control, org *organisation, public string) error {
	key, _, err := c.NewEnrolmentKey(ctx, org.admin, control.KeyTerms{Kind: a.kind, Approved: true})
	if err != nil {
		return err
	}
	if err := a.command(ctx, "enroll", "--server", public, "--key", key, "--name", a.name, "--state", a.dir); err != nil {
		return err
	}
	args := append([]string{string(a.kind), "run", "--state", a.dir, "--log-level", "warn"}, a.args...)
	if a.noPush {
		args = append(args, "--no-push")
	}
	a.cmd = exec.Command(a.self, args...)
	// A group of its own: Ctrl-C reaches the demo, which ends things in order.
	a.cmd.SysProcAttr = ownGroup()
	pipe, err := a.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	a.cmd.Stderr = a.cmd.Stdout
	if err := a.cmd.Start(); err != nil {
		return err
	}
	a.read.Go(func() { a.out.copy(string(a.kind)+" │ ", pipe) })
	return nil
}

// launch launches the sample apps on the player.
func (a *demoAgent) launch(ctx context.Context, c *control.Control, org *organisation) error {
	for _, app := range org.real {
		launched, err := c.Launch(ctx, control.WhoIs(org.ann, "demo"), app, 0)
		if err != nil {
			return err
		}
		if err := a.command(ctx, "launch", launched.Link, "--accept", "--state", a.dir); err != nil {
			return err
		}
	}
	return nil
}

// end ends the agent, and then the apps, which would go on without it.
func (a *demoAgent) end() {
	if a.cmd == nil || a.cmd.Process == nil {
		return
	}
	a.cmd.Process.Signal(syscall.SIGTERM)
	killed := time.AfterFunc(10*time.Second, func() { a.cmd.Process.Kill() })
	a.read.Wait()
	a.cmd.Wait()
	killed.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	filepath.WalkDir(a.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == "spec.json" {
			wg.Go(func() { endRun(ctx, filepath.Dir(path)) })
		}
		return nil
	})
	wg.Wait()
}

// missingForStreams lists the programs of a stream host that are not installed here.
func missingForStreams() (list []string) {
	for _, p := range []string{"Xvnc", "openbox", "xterm"} {
		if _, err := exec.LookPath(p); err != nil {
			list = append(list, p)
		}
	}
	return list
}
