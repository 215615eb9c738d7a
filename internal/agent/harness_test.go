package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/fake"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errNetwork = errors.New("the network is down")

// network is between agent and server: it loses, delays and doubles what it is told to.
type network struct {
	servertest.Direct
	mu          sync.Mutex
	down        bool
	loseAnswers int
	delay       time.Duration // of answers
	twice       bool          // requests arrive twice
	edit        func(*wire.Answer)
	requests    []wire.CheckIn
}

func (n *network) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *network) CheckIn(ctx context.Context, m *wire.CheckIn) (*wire.Answer, error) {
	n.mu.Lock()
	n.requests = append(n.requests, *m)
	down, delay, twice, edit := n.down, n.delay, n.twice, n.edit
	lose := n.loseAnswers > 0
	if lose && !down {
		n.loseAnswers--
	}
	n.mu.Unlock()
	if down {
		return nil, errNetwork
	}
	a, err := n.Direct.CheckIn(ctx, m)
	if twice && err == nil {
		// The second is stale, or says the same; the agent sees the first answer.
		if _, err := n.Direct.CheckIn(ctx, m); err != nil {
			return nil, err
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if lose {
		return nil, errNetwork
	}
	if edit != nil && err == nil {
		edit(a)
	}
	return a, err
}

func (n *network) Events(ctx context.Context, hint func()) error {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return errNetwork
	}
	return n.Direct.Events(ctx, func() {
		n.mu.Lock()
		down := n.down
		n.mu.Unlock()
		if !down {
			hint()
		}
	})
}

// fakeApps are there at once, unless they fail.
type fakeApps struct {
	mu      sync.Mutex
	fail    error
	block   chan struct{} // not nil: adding takes for ever
	removed int
}

func (f *fakeApps) Add(ctx context.Context, _ *wire.App, progress func(int)) error {
	if f.block != nil {
		progress(42)
		select {
		case <-f.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail
}

func (f *fakeApps) Prepare(app *wire.App, spec *runner.Spec) error {
	spec.Argv = []string{app.Name}
	return nil
}

func (f *fakeApps) Remove(context.Context, *wire.App, func() []*wire.App) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed++
	return nil
}

// world is a server and one agent in a bubble.
type world struct {
	*servertest.Server
	t      *testing.T
	dir    string
	net    *network
	runner *fake.Runner
	apps   *fakeApps
	app    *catalog.App
	agent  *agent.Agent
	hook   func(string) error
	clock  boottime.Clock // of the agent; nil: the bubble's
	stop   context.CancelFunc
	over   chan error
	behave fake.App
}

// inWorld runs a test in a bubble with an agent that runs.
func inWorld(t *testing.T, terms servertest.Terms, test func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, terms)
		w.start()
		defer func() { w.end() }()
		test(w)
	})
}

func newWorld(t *testing.T, dir string, terms servertest.Terms) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(dir, "agent")}
	w.Server = servertest.New(t, control.Config{Force: 10 * time.Second, Wait: 30 * time.Second})
	if terms.Packages == nil {
		terms.Packages = []catalog.Package{{Type: catalog.Command, Command: []string{"app"}}}
	}
	if terms.Heartbeat == 0 {
		terms.Heartbeat = 60
	}
	if terms.Warnings == nil {
		terms.Warnings = []int{120, 60}
	}
	w.app, _ = w.App("App", terms)
	e, err := w.Control.Enrol(context.Background(), &wire.Enrol{V: wire.Version, Key: w.EnrolmentKey(), Kind: wire.Player, Name: "LAB-1", OS: "linux", Arch: "amd64"}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.net = &network{Direct: servertest.Direct{Control: w.Control, Agent: e.AgentID}}
	w.runner = fake.New(boottime.Go, func(runner.Spec) fake.App { return w.behave })
	w.apps = &fakeApps{}
	w.write("agent.json", agent.Identity{Server: "http://127.0.0.1:1", AgentID: e.AgentID, Kind: wire.Player, Name: "LAB-1", Credential: e.Credential, Keys: e.Keys})
	w.write("marks.json", map[string]any{"epoch": 1})
	ctx, cancel := context.WithCancel(context.Background())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		// As Control.Run, but rarely: an hour of this is a matter of a second.
		for ctx.Err() == nil {
			w.Control.Beat(ctx)
			select {
			case <-time.After(20 * time.Second):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-kept
	})
	return w
}

func (w *world) write(name string, v any) {
	w.t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.MkdirAll(w.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, name), b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// start starts the agent, as a process would after a crash.
func (w *world) start() {
	w.t.Helper()
	a, err := w.open()
	if err != nil {
		w.t.Fatal(err)
	}
	w.begin(a)
}

func (w *world) open() (*agent.Agent, error) {
	cfg := agent.Config{Dir: w.dir, Server: w.net, Runner: w.runner, Apps: w.apps, Clock: boottime.Go}
	if w.clock != nil {
		cfg.Clock = w.clock
	}
	cfg.SetHook(w.hook)
	return agent.Open(cfg)
}

func (w *world) begin(a *agent.Agent) {
	ctx, cancel := context.WithCancel(context.Background())
	w.agent, w.stop, w.over = a, cancel, make(chan error, 1)
	go func() { w.over <- a.Run(ctx) }()
}

// end ends the agent. What was not on disk is lost.
func (w *world) end() error {
	w.stop()
	err, open := <-w.over
	if open {
		close(w.over)
		w.agent.Close()
	}
	return err
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // in the bubble: no time at all
	synctest.Wait()
}

// launch has the user launch the app, and the agent be told.
func (w *world) launch() int64 {
	w.t.Helper()
	l := w.Launch(w.app.ID)
	_, ticket := split(w.t, l.Link)
	r, err := w.Control.Redeem(context.Background(), w.net.Agent, &wire.Redeem{V: wire.Version, Ticket: ticket})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.agent.Add(r.Directive); err != nil && !errors.Is(err, errCrash) {
		w.t.Fatal(err)
	}
	return l.Session.ID
}

func (w *world) run(id int64, n int64) *fake.Run {
	w.t.Helper()
	r := w.runner.Get(runner.Key{Session: id, Run: n})
	if r == nil {
		w.t.Fatalf("session %d has no run %d", id, n)
	}
	return r
}

func (w *world) want(id int64, status session.Status) *session.Session {
	w.t.Helper()
	s := w.Session(id)
	if s.Status != status {
		w.t.Fatalf("session %d is %s, want %s: %+v", id, s.Status, status, s)
	}
	return s
}

// floating are the reference's own terms with a heartbeat of a minute: a lease lives
// 120 + 3*60 = 300 seconds.
var floating = servertest.Terms{Kind: lease.Floating}
