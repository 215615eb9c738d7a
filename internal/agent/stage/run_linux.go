package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/subreaper"
	"leasehold/internal/agent/xdisplay"
)

const (
	upEvery    = 20 * time.Millisecond  // how often to look whether the app is up
	appEvery   = 250 * time.Millisecond // how often to look what is left of an app whose main process has exited
	linger     = 5 * time.Second        // how long an app may be without main process and windows
	lingerSlow = time.Minute            // the same, if it has not had a window yet: it may be slow
	askWithin  = 2 * time.Second        // for the display to answer
	worseFirst = 250 * time.Millisecond // for the display's end to be seen before that of the app it caused
	managers   = 3                      // how often a window manager is started again
)

// session is the state of the process. Only [Run]'s goroutine touches it.
type session struct {
	dir      string
	inside   bool // this process is in the sandbox
	config   Config
	log      *slog.Logger
	launcher *launcher
	display  string // as in DISPLAY
	x        *xdisplay.Conn

	// What a session that plays outside its sandbox does itself.
	displayUp func() error
	tellReady func(pids map[string]int) error

	server, manager, app *child
	started              time.Time
	asked                bool // the app was asked to close
	windows              bool // it has had one
	idleSince            time.Time
}

// Run runs the session in dir, which [Prepare] made, until it ends, and
// returns the exit code for the process: the app's own, or one of ours. How it
// ended is in [OutcomeFile]. When ctx ends, it asks the app to close. What the
// app leaves behind is for the guard to end.
//
// It makes the calling process a subreaper, and changes its umask, limits and
// environment: it is for a process that does nothing else.
func Run(ctx context.Context, dir string) (code int, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return ExitStart, err
	}
	s := &session{dir: dir, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), started: time.Now()}
	if err := readJSON(filepath.Join(dir, configFile), &s.config); err != nil {
		return ExitStart, fmt.Errorf("stage: %w", err)
	}
	s.displayUp, s.tellReady = s.protect, s.writeReady
	var o Outcome
	if s.config.Separate {
		o = s.runSandboxed(ctx)
	} else {
		o = s.run(ctx)
	}
	o.At = time.Now()
	if err := writeOutcome(dir, o); err != nil {
		return o.Code, fmt.Errorf("stage: tell how it ended: %w", err)
	}
	if o.Reason != "" {
		s.log.Info("the session has ended", "cause", o.Cause, "code", o.Code, "reason", o.Reason)
	}
	return o.Code, nil
}

// run brings everything up and stays until something ends.
func (s *session) run(ctx context.Context) Outcome {
	if err := s.confine(); err != nil {
		return s.notUp("The host could not start the session: ", err)
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"The display did not come up: ", func(ctx context.Context) error {
			return errors.Join(s.writeManagerConfig(), s.startDisplay(ctx))
		}},
		{"The window manager did not come up: ", s.startManager},
		{"The app could not be started: ", s.startApp},
	} {
		if err := step.do(ctx); err != nil {
			if ctx.Err() != nil {
				return Outcome{Cause: Asked, Code: ExitStart}
			}
			return s.notUp(step.what, err)
		}
	}
	defer s.x.Close()
	return s.stay(ctx)
}

func (s *session) notUp(what string, err error) Outcome {
	reason := Explain(err)
	if reason == err.Error() {
		reason = what + reason
	}
	return Outcome{Cause: NotUp, Code: ExitStart, Reason: reason}
}

// confine makes this process what its children inherit.
func (s *session) confine() (err error) {
	// Orphans of the app come to us, so that we see when none is left.
	if err := subreaper.Become(); err != nil {
		return err
	}
	syscall.Umask(0o077)
	if s.config.Account > 0 || s.config.Separate {
		// The caller's may lead to where the account must not look, or cannot.
		if err := os.Setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"); err != nil {
			return err
		}
	}
	// No core dumps: a host may hand them to a program that runs as root. Of 0 the kernel
	// takes no notice then, of 1 it does.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return err
	}
	// Counted for each user, and root is not: it is for the account alone. In a sandbox
	// only what is in it counts.
	if s.config.Account > 0 || s.inside {
		if n := uint64(s.config.Processes); n > 0 {
			if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n}); err != nil {
				s.log.Warn("the processes of the session are not limited", "error", err)
			} else {
				s.log.Info("the processes of the session's account are limited", "processes", n)
			}
		}
	}
	// For our own connection to the display.
	if err := os.Setenv("XAUTHORITY", s.authority()); err != nil {
		return err
	}
	// On a host without memory, a session is a better choice than the agent.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0); err != nil {
		s.log.Info("cannot offer the session to the kernel first", "error", err)
	}
	s.launcher, err = newLauncher(s.config.Account)
	return err
}

// environment is what the programs of the session see of the host's: little.
func (s *session) environment() []string {
	name, shell := os.Getenv("USER"), "/bin/sh"
	switch {
	case s.config.Separate:
		name = s.config.Login
	case s.config.Account > 0 || name == "":
		name = fmt.Sprintf("u%d", max(s.config.Account, os.Getuid()))
	}
	if _, err := os.Stat("/bin/bash"); err == nil {
		shell = "/bin/bash"
	}
	lang := os.Getenv("LANG")
	if lang == "" {
		lang = "C.UTF-8"
	}
	in := func(name string) string { return filepath.Join(s.dir, name) }
	env := []string{
		"HOME=" + in(homeDir), "USER=" + name, "LOGNAME=" + name, "SHELL=" + shell,
		"PATH=" + os.Getenv("PATH"), "LANG=" + lang, "TMPDIR=" + in(tmpDir),
		"XDG_RUNTIME_DIR=" + in(runDir), "XDG_SESSION_TYPE=x11",
		"XDG_CONFIG_HOME=" + in(homeDir+"/.config"), "XDG_CACHE_HOME=" + in(homeDir+"/.cache"),
		"XDG_DATA_HOME=" + in(homeDir+"/.local/share"), "XDG_STATE_HOME=" + in(homeDir+"/.local/state"),
		"DISPLAY=" + s.display, "XAUTHORITY=" + s.authority(),
	}
	for _, kv := range os.Environ() {
		k, _, _ := strings.Cut(kv, "=")
		if k == "TZ" || k == "LANGUAGE" || strings.HasPrefix(k, "LC_") || k == guard.EnvRun || k == guard.EnvToken {
			env = append(env, kv)
		}
	}
	return env
}

func (s *session) startApp(context.Context) (err error) {
	cmd := exec.Command(s.config.Argv[0], s.config.Argv[1:]...)
	cmd.Dir = s.config.Dir
	if cmd.Dir == "" {
		cmd.Dir = filepath.Join(s.dir, homeDir)
	}
	cmd.Env = append(s.environment(), s.config.Env...)
	s.app, err = s.launcher.start(cmd, os.Stdout)
	return err
}

// stay watches over the session.
func (s *session) stay(ctx context.Context) Outcome {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	settle := s.config.Settle
	if settle == 0 {
		settle = DefaultSettle
	}
	settled := time.Now().Add(settle)
	up, restarts, closing := false, 0, ctx.Done()
	var term <-chan time.Time
	var none chan int
	main := s.app.done
	for {
		if s.server.ended() {
			return Outcome{Cause: DisplayEnded, Code: ExitDisplay, Reason: "The display server ended unexpectedly"}
		}
		if s.manager.ended() {
			if restarts++; restarts > managers {
				return Outcome{Cause: ManagerEnded, Code: ExitManager, Reason: "The window manager ended again and again"}
			}
			s.log.Warn("the window manager ended and is started again", "last", s.manager.out.lastLine())
			if err := s.startManager(ctx); err != nil {
				s.log.Error("the window manager did not come up", "error", err)
				continue
			}
		}
		every := time.Hour
		if s.app.ended() {
			if s.over() {
				return s.appOutcome(up)
			}
			every = appEvery
		}
		if !up {
			windows, _ := s.ask(s.x.Windows)
			s.windows = s.windows || windows > 0
			if up = windows > 0 || time.Now().After(settled); up {
				pids := map[string]int{"display": s.server.pid(), "manager": s.manager.pid(), "app": s.app.pid()}
				if err := s.tellReady(pids); err != nil {
					return s.notUp("The host could not tell that the app is up: ", err)
				}
				continue
			}
			every = upEvery
		}
		tick := time.NewTimer(every)
		select {
		case <-tick.C:
		case <-children:
		case <-s.server.done:
		case <-s.manager.done:
		case <-main:
			main = nil
		case <-closing:
			closing, s.asked = nil, true
			none = make(chan int, 1)
			go func() {
				n, _ := s.ask(func() int { return s.x.AskToClose(nil) })
				none <- n
			}()
			term = time.After(s.config.Margin / 2)
		case n := <-none:
			if n == 0 {
				term = nil
				s.terminate() // nobody to save anything: now
			}
		case <-term:
			s.terminate()
		}
		tick.Stop()
	}
}

// ask asks the display, which may hang or die meanwhile.
func (s *session) ask(question func() int) (answer int, ok bool) {
	answers := make(chan int, 1)
	go func() { answers <- question() }()
	timeout := time.NewTimer(askWithin)
	defer timeout.Stop()
	select {
	case answer = <-answers:
		return answer, true
	case <-s.server.done:
	case <-timeout.C:
	}
	return 0, false
}

// left returns the processes of the app.
func (s *session) left() []int {
	list, err := s.launcher.apps(s.server.pid(), s.manager.pid())
	if err != nil {
		s.log.Error("cannot see the app's processes", "error", err)
		return []int{0} // not over, as far as we know
	}
	return list
}

// over reports whether the app is, its main process having exited. An app is
// not over because a walk finds nothing of it: its processes may be handing
// over to each other. Where the kernel cannot be asked, it is; the guard ends
// what is left in any case, and only its word frees a seat.
func (s *session) over() bool {
	if len(s.left()) == 0 {
		orphans, err := s.launcher.orphans()
		if err != nil {
			s.log.Error("cannot see the app's processes", "error", err)
		}
		if !orphans && err == nil {
			return true
		}
	}
	if windows, ok := s.ask(s.x.Windows); !ok || windows > 0 {
		s.windows, s.idleSince = s.windows || ok, time.Time{}
		return false
	}
	if s.idleSince.IsZero() {
		s.idleSince = time.Now()
	}
	if s.windows {
		return time.Since(s.idleSince) >= linger
	}
	return time.Since(s.idleSince) >= lingerSlow
}

// terminate sends SIGTERM to what there is of the app.
func (s *session) terminate() {
	for _, pid := range s.left() {
		if pid > 0 {
			_ = unix.Kill(pid, unix.SIGTERM) // if it fails, force follows
			_ = unix.Kill(pid, unix.SIGCONT)
		}
	}
}

// writeReady tells that the session is up; pids are numbers of this machine.
func (s *session) writeReady(pids map[string]int) error {
	pids["stage"] = os.Getpid()
	return writeJSON(ReadyFile(s.dir), Ready{Display: s.display, Account: s.config.Account, Started: s.started, PIDs: pids})
}

// appOutcome tells how the app has ended.
func (s *session) appOutcome(up bool) Outcome {
	o := Outcome{Cause: AppEnded}
	how := ""
	status, _ := s.app.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		o.Code = 128 + int(status.Signal())
		how = fmt.Sprintf("by a signal (%s)", status.Signal())
	} else {
		o.Code = status.ExitStatus()
		how = fmt.Sprintf("with exit code %d", o.Code)
	}
	if s.asked {
		o.Cause = Asked
		return o
	}
	if up && o.Code == 0 {
		return o
	}
	select {
	case <-s.server.done:
		// An app whose display is gone ends a moment later.
		return Outcome{Cause: DisplayEnded, Code: ExitDisplay, Reason: "The display server ended unexpectedly"}
	case <-time.After(worseFirst):
	}
	ended := "The app ended "
	if !up {
		ended += "at its start "
	}
	if free, err := freeBytes(filepath.Join(s.dir, homeDir)); err == nil && free < 64<<10 {
		ended = Explain(errNoRoom) + ": t" + ended[1:]
	}
	if last := s.app.out.lastLine(); last != "" {
		how += ": " + last
	}
	o.Reason = ended + how
	if !up {
		// The app's own code is in the reason, for people.
		o.Cause, o.Code = NotUp, ExitStart
	}
	return o
}
