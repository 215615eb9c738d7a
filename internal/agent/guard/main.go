package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard/plan"
	"leasehold/internal/agent/localsocket"
)

// Main is the guard: it runs the app of the folder dir and returns when the
// run is over and its last event is on disk. It writes its log to standard
// error, which [Spawn] sends to guard.log. When ctx ends, as when the system
// shuts down, it asks the app to close and forces it a margin later.
//
// It makes the calling process a subreaper and changes its working directory:
// it is for a process that does nothing else.
func Main(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	g, err := newGuard(dir)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer g.close()
	if err := keepInherited(); err != nil {
		g.log.Warn("the app may see files that this process has inherited", "err", err)
	}
	if err := g.run(ctx); err != nil {
		g.log.Error("guard ends with an error", "error", err)
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// guard is the state of the process. Its loop is the only goroutine that
// touches it, but for what is said to be shared.
type guard struct {
	dir        string
	spec       Spec
	log        *slog.Logger
	events     *eventLog
	tree       *tree
	plan       *plan.Plan
	challenger *challenger
	notify     *notifier
	server     *server
	socket     net.Listener

	app      *exec.Cmd
	exits    chan *os.ProcessState // of the main process, once
	state    *os.ProcessState      // nil while it runs
	windows  chan int              // how many windows were asked to close
	termAt   time.Duration         // when SIGTERM follows; 0 if it needs not any more
	output   *output
	tenants  int
	killWait time.Duration // pause between two rounds of force

	forcedAt  time.Duration // when force was first used; 0 before
	resisted  bool          // it was told that force does not end it
	lookWait  time.Duration // pause before the next look at what the main process has left
	exitedAt  time.Duration // when that ended; 0 before
	countedAt time.Duration // when what is left was last counted
	told      bool          // MainExited is told
	latest    time.Duration // the latest deadline that there was
	proof     Proof         // how it is known that nothing is left; "" while something is

	ready     bool          // Started is told
	readyBy   time.Duration // when an app that is not ready is given up
	late      bool          // it was
	clearWait time.Duration // pause between two rounds of clearing up; 0 before the first
}

func newGuard(dir string) (_ *guard, err error) {
	spec, err := readSpec(dir)
	if err != nil {
		return nil, err
	}
	g := &guard{
		dir: dir, spec: spec, challenger: newChallenger(),
		log:     slog.New(slog.NewTextHandler(os.Stderr, nil)).With("run", spec.marker()),
		exits:   make(chan *os.ProcessState, 1),
		windows: make(chan int, 1),
	}
	now := boottime.Now()
	if !spec.Deadline.SameBoot(now) {
		return nil, fmt.Errorf("the deadline of %s is of another boot", spec.marker())
	}
	if g.latest, err = spec.firstDeadline(now); err != nil {
		return nil, err
	}
	start, err := processStart(os.Getpid())
	if err != nil {
		return nil, err
	}
	// From here on nobody else runs or sweeps this run.
	if err := take(dir, claim{PID: os.Getpid(), Start: start, At: now, Cgroups: append(cgroupPaths(spec), legacyPaths(spec)...)}); err != nil {
		return nil, fmt.Errorf("claim the run: %w", err)
	}
	if g.events, err = openEvents(dir); err != nil {
		return nil, err
	}
	g.plan = plan.New(plan.Config{Warnings: spec.Warnings, Margin: spec.Margin, Deadline: g.latest}, now.At)
	return g, nil
}

func (s Spec) marker() string { return fmt.Sprintf("%d.%d", s.Session, s.Run) }

func (g *guard) close() {
	if g.notify != nil {
		g.notify.close()
	}
	if g.socket != nil {
		g.socket.Close()
		os.Remove(filepath.Join(g.dir, socketFile))
	}
	if g.tree != nil {
		g.tree.close()
	}
	g.events.close()
}

// run starts the app and stays until it has ended.
func (g *guard) run(ctx context.Context) (err error) {
	var treeErr error
	if g.tree, treeErr = newTree(g.spec, g.log); treeErr != nil {
		g.tree = nil
	}
	if err := g.starting(); err != nil {
		return err
	}
	defer func() {
		// Whatever went wrong, the run does not stay open on disk.
		if err != nil {
			err = errors.Join(err, g.notStarted(err))
		}
		if g.server != nil {
			close(g.server.done)
		}
	}()
	// Nothing of the player may be mistaken for a part of this run, and the
	// app's additions, such as DISPLAY, count for us as well.
	os.Unsetenv(EnvRun)
	os.Unsetenv(EnvToken)
	os.Unsetenv(envDialog)
	base := os.Environ()
	if g.spec.Stream == nil { // the stage of a stream sees to it itself
		base = appEnvironment(base)
	}
	for _, kv := range g.spec.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && (k == "DISPLAY" || k == "XAUTHORITY" || k == "WAYLAND_DISPLAY") {
			os.Setenv(k, v)
		}
	}
	if treeErr != nil {
		return treeErr
	}
	if g.socket, err = localsocket.Listen(g.dir, socketFile); err != nil {
		return err
	}
	g.server = &server{calls: make(chan call), done: make(chan struct{}), events: g.events}
	if err := g.start(base); err != nil {
		return err
	}
	// A player that waits for "started" can give orders at once.
	go g.server.serve(g.socket)
	g.notify = newNotifier(g.spec, g.tree, g.log)
	g.readyBy = boottime.Now().At + g.spec.readyWithin()
	return g.loop(ctx)
}

// starting tells that the app is about to be started, and in which cgroup. It
// is on disk before the app can do anything, so that whoever finds the run
// later knows whom to ask whether anything of it is left.
func (g *guard) starting() error {
	e := Event{Type: Starting}
	if g.tree != nil {
		e.Cgroup = g.tree.cgroup()
	}
	return g.events.append(e)
}

// start starts the app.
func (g *guard) start(base []string) error {
	if len(g.spec.Argv) == 0 {
		return fmt.Errorf("%w: no command", ErrNotStarted)
	}
	out, err := newOutput(filepath.Join(g.dir, outputFile))
	if err != nil {
		return err
	}
	g.output = out
	command := func() *exec.Cmd {
		cmd := exec.Command(g.spec.Argv[0], g.spec.Argv[1:]...)
		cmd.Dir = g.spec.Dir
		cmd.Env = append(append(slices.Clone(base), g.spec.Env...), EnvRun+"="+g.spec.marker(), EnvToken+"="+g.spec.Token)
		cmd.Stdout, cmd.Stderr = out.w, out.w
		return cmd
	}
	g.app = command()
	err = g.tree.start(g.app)
	if errors.Is(err, errCgroup) {
		g.log.Warn("started without a cgroup", "error", err)
		g.tree.leaveCgroup()
		if err = g.starting(); err == nil {
			g.app = command()
			err = g.tree.start(g.app)
		}
	}
	out.w.Close()
	if err != nil {
		out.wait()
		return fmt.Errorf("%w: %w", ErrNotStarted, err)
	}
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // the state says all
		g.exits <- cmd.ProcessState
	}(g.app)
	return nil
}

// loop does what the plan says and what the player orders.
func (g *guard) loop(ctx context.Context) error {
	children, ignore := childSignals()
	defer ignore()
	stopping := ctx.Done()
	for {
		over, err := g.act()
		if over || err != nil {
			return err
		}
		timer := time.NewTimer(g.pause())
		select {
		case <-timer.C:
		case g.state = <-g.exits:
			g.exits, g.exitedAt, g.lookWait = nil, boottime.Now().At, 0
		case <-children:
			g.lookWait = 0
		case n := <-g.windows:
			if n == 0 && g.termAt > 0 {
				g.termAt = 1 // nobody to save anything: now
			}
		case c := <-g.server.calls:
			c.answer <- g.answer(c.request)
		case <-stopping:
			stopping = nil
			g.stop("the system asked the guard to end")
		}
		timer.Stop()
	}
}

// pause is how long the loop may sleep. It never sleeps long, because timers
// stand still during suspend and the deadline does not.
func (g *guard) pause() time.Duration {
	now := boottime.Now().At
	d := min(g.plan.Wake()-now, boottime.Recheck)
	if g.termAt > 0 {
		d = min(d, g.termAt-now)
	}
	if g.plan.Phase() == plan.Forced {
		d = g.killWait
	}
	if !g.ready {
		d = min(d, readyEvery)
	}
	if g.clearWait > 0 {
		d = min(d, g.clearWait)
	}
	if g.state != nil {
		d = min(d, g.lookWait)
	}
	return max(d, 0)
}

// act takes the steps that are due and reports whether the run is over.
func (g *guard) act() (over bool, err error) {
	g.tree.reap()
	if err := g.awaitReady(); err != nil {
		return false, err
	}
	now := boottime.Now().At
	if g.state != nil {
		if g.over() {
			return true, g.finish()
		}
		g.lookWait = min(max(2*g.lookWait, lookFirst), boottime.Recheck)
		if g.spec.EndsWithMain {
			g.clear()
		} else {
			g.count(now)
		}
	}
	for {
		step := g.plan.Next(now)
		switch step.Action {
		case plan.Warn:
			g.warn(step)
			continue
		case plan.Ask:
			g.record(Event{Type: CloseAsked})
			g.termAt = now + g.spec.Margin/2
			go func() { g.windows <- closeWindows(g.tree) }()
			continue
		case plan.Force:
			g.force()
		}
		break
	}
	if g.termAt > 0 && now >= g.termAt {
		g.termAt = 0
		g.tree.terminate(g.state == nil)
	}
	return false, nil
}

func (g *guard) warn(step plan.Step) {
	reason, _ := g.plan.Ordered()
	text := plan.Text(g.spec.App, step.Remaining, reason)
	g.record(Event{Type: Warned, Remaining: step.Remaining, Warning: step.Warning,
		Text: text, Reason: reason, Deadline: g.deadline()})
	g.notify.show(g.spec.title(), text, reason, step.Remaining)
}

func (s Spec) title() string {
	if s.Title != "" {
		return s.Title
	}
	return s.App
}

// record appends an event. If the disk is full the app must still be warned
// and ended in time, so the guard goes on.
func (g *guard) record(e Event) {
	if err := g.events.append(e); err != nil {
		g.log.Error("an event is lost", "event", e.Type, "error", err)
	}
}

// deadline returns the plan's deadline as a stamp.
func (g *guard) deadline() *boottime.Stamp { return stamp(g.plan.Deadline()) }

// stamp returns a moment of this boot.
func stamp(at time.Duration) *boottime.Stamp {
	now := boottime.Now()
	s := now.Add(at - now.At)
	return &s
}

func (g *guard) stop(reason string) bool {
	changed := g.plan.Stop(boottime.Now().At, reason)
	if changed {
		g.record(Event{Type: Closing, Deadline: g.deadline(), Reason: reason})
		g.notify.dismiss()
	}
	return changed
}

// answer carries out one order.
func (g *guard) answer(req request) response {
	now := boottime.Now()
	switch req.Op {
	case "status":
		return response{Status: g.status()}
	case "challenge":
		return response{Challenge: g.challenger.give(now.At)}
	case "extend":
		if !req.Deadline.SameBoot(now) {
			return response{Error: "the deadline is of another boot"}
		}
		changed, err := g.extend(&req.Lease, now)
		if err != nil {
			g.log.Warn("a lease was refused", "error", err)
			return response{Error: err.Error()}
		}
		return response{Changed: changed}
	case "close":
		if req.Order == nil {
			return response{Error: "no order"}
		}
		deadline := req.Order.Deadline
		if deadline.IsZero() {
			deadline = now.Add(g.plan.Window())
		}
		if !deadline.SameBoot(now) {
			return response{Error: "the deadline is of another boot"}
		}
		changed := g.plan.Close(now.At, deadline.At, req.Order.Reason)
		if changed {
			if req.Order.Title != "" {
				g.spec.Title = req.Order.Title
			}
			g.record(Event{Type: Closing, Deadline: g.deadline(), Reason: req.Order.Reason})
		}
		return response{Changed: changed}
	case "stop":
		return response{Changed: g.stop(req.Reason)}
	}
	return response{Error: fmt.Sprintf("unknown order %q", req.Op)}
}

func (g *guard) status() *Status {
	reason, ordered := g.plan.Ordered()
	return &Status{
		Session: g.spec.Session, Run: g.spec.Run,
		Guard: os.Getpid(), PID: g.app.Process.Pid,
		Phase: string(g.plan.Phase()), Deadline: *g.deadline(), Generation: g.plan.Generation(),
		Ordered: ordered, Reason: reason,
		MainExited: g.state != nil, Left: g.tenants,
	}
}
