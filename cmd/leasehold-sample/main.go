// Leasehold-sample is the app that the demo delivers and the tests run: a
// window with a clock where there is an X display, a terminal program where
// there is none. Asked to close, it says that it saves, and exits.
//
// Its flags make it as hard to end as real apps can be: with children that
// leave its process group and session, and deaf to SIGTERM. It never lives
// longer than twelve hours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// longest bounds every process that this program makes.
const longest = 12 * time.Hour

// envRole tells a copy of this program which of its descendants it is.
const envRole = "LEASEHOLD_SAMPLE_ROLE"

// The roles. The detacher is there to be orphaned from: it starts the
// grandchild in a session of its own and exits at once.
const (
	roleChild      = "child"
	roleDetacher   = "detacher"
	roleGrandchild = "grandchild"
)

type options struct {
	title      string
	children   int
	ignoreTerm bool
	exitAfter  time.Duration
	exitCode   int
	pidFile    string
	terminal   bool
	unsaved    string // work to save before it closes
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		var code exitCode
		if errors.As(err, &code) {
			os.Exit(int(code))
		}
		fmt.Fprintln(os.Stderr, "leasehold-sample:", err)
		os.Exit(1)
	}
}

// exitCode is the exit code that a flag asked for.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func run(args []string, stdout io.Writer) error {
	var o options
	fs := flag.NewFlagSet("leasehold-sample", flag.ContinueOnError)
	fs.StringVar(&o.title, "title", "Leasehold Sample", "title of the window")
	fs.IntVar(&o.children, "children", 0, "start `N` children, each with a grandchild that leaves the session (at most 100)")
	fs.BoolVar(&o.ignoreTerm, "ignore-term", false, "ignore every request to close, so that only force ends it")
	fs.DurationVar(&o.exitAfter, "exit-after", longest, "exit by itself after `DURATION` (at most 12h)")
	fs.IntVar(&o.exitCode, "exit-code", 0, "exit code when it exits by itself")
	fs.StringVar(&o.pidFile, "pid-file", "", "append the number of every process to `PATH`")
	fs.BoolVar(&o.terminal, "terminal", false, "no window, even where there is a display")
	fs.StringVar(&o.unsaved, "unsaved", "", "have unsaved work: asked to close, the window asks first, and a click or a key saves it to `PATH`")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	o.children = min(o.children, 100)
	o.exitAfter = min(o.exitAfter, longest)

	role := os.Getenv(envRole)
	// Before anything else: whoever waits for the pids must find signals handled.
	closing := make(chan os.Signal, 1)
	if o.ignoreTerm {
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
	} else if role == "" {
		signal.Notify(closing, os.Interrupt, syscall.SIGTERM)
	}
	if err := appendPID(o.pidFile); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.exitAfter)
	defer cancel()
	switch role {
	case roleDetacher:
		return spawn(args, roleGrandchild, true)
	case roleChild:
		if err := spawn(args, roleDetacher, true); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	case roleGrandchild:
		<-ctx.Done()
		return nil
	}
	for range o.children {
		if err := spawn(args, roleChild, false); err != nil {
			return err
		}
	}
	if os.Getenv("DISPLAY") != "" && !o.terminal {
		err := window(ctx, o, closing, stdout)
		if err == nil || !errors.Is(err, errNoDisplay) {
			return err
		}
		fmt.Fprintln(stdout, err)
	}
	return terminal(ctx, o, closing, stdout)
}

// terminal is the app without a window.
func terminal(ctx context.Context, o options, closing <-chan os.Signal, stdout io.Writer) error {
	fmt.Fprintf(stdout, "%s is running.\n", o.title)
	select {
	case <-ctx.Done():
		fmt.Fprintf(stdout, "%s is done.\n", o.title)
		if o.exitCode != 0 {
			return exitCode(o.exitCode)
		}
	case <-closing:
		return save(o, stdout)
	}
	return nil
}

// save is what the app does before it closes because it was asked to.
func save(o options, stdout io.Writer) error {
	if o.unsaved != "" {
		if err := os.WriteFile(o.unsaved, []byte("the work\n"), 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%s was asked to close: work saved.\n", o.title)
	return nil
}

// spawn starts this program once more and lets it go.
func spawn(args []string, role string, detach bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), envRole+"="+role)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if detach {
		cmd.SysProcAttr = newSession()
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a %s: %w", role, err)
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

func appendPID(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	return errors.Join(err, f.Close())
}
