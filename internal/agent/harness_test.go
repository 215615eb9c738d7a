package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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
	"leasehold/internal/directory"
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
	// The server beats rarely here; its lease clock is as fresh as a real one's all the same.
	if err := n.Control.Store.Tick(ctx); err != nil {
		return nil, err
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

// fakeApps are there at once, unless they fail. As real ones, a delivery method's package
// stays for as long as another session needs it.
type fakeApps struct {
	mu      sync.Mutex
	fail    error
	block   chan struct{} // not nil: adding takes for ever
	removed int
	steps   int            // so many fifths of a second it takes
	there   map[int64]bool // packages on the machine, by delivery method
}

func (f *fakeApps) Add(ctx context.Context, app *wire.App, progress func(int)) error {
	f.mu.Lock()
	block, steps := f.block, f.steps
	f.mu.Unlock()
	for i := range steps {
		progress(100 * i / steps)
		time.Sleep(200 * time.Millisecond) // in the bubble
	}
	if block != nil {
		progress(42)
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		if f.there == nil {
			f.there = map[int64]bool{}
		}
		f.there[app.DeliveryMethod] = true
	}
	return f.fail
}

// Prepare runs what is there: its command is the delivery method's number.
func (f *fakeApps) Prepare(app *wire.App, spec *runner.Spec) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.there[app.DeliveryMethod] {
		return fmt.Errorf("the package of delivery method %d is not there", app.DeliveryMethod)
	}
	spec.Argv = []string{strconv.FormatInt(app.DeliveryMethod, 10)}
	return nil
}

func (f *fakeApps) Remove(_ context.Context, app *wire.App, others func() []*wire.App) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed++
	for _, o := range others() {
		if o.DeliveryMethod == app.DeliveryMethod {
			return nil
		}
	}
	delete(f.there, app.DeliveryMethod)
	return nil
}

func (f *fakeApps) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// packages are the delivery methods whose packages are on the machine.
func (f *fakeApps) packages() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.there))
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
	method *catalog.DeliveryMethod
	agent  *agent.Agent
	hook   func(string) error
	device *deviceClock
	clock  boottime.Clock // of the agent; nil: the device's
	beats  atomic.Int64   // pause between the server's beats
	stop   context.CancelFunc
	over   chan error
	late   atomic.Int64 // how long a guard takes to start an app
	behave fake.App
	notify func(agent.Notice)
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
	w.app, w.method = w.App("App", terms)
	e, err := w.Control.Enrol(context.Background(), &wire.Enrol{V: wire.Version, Key: w.EnrolmentKey(), Kind: wire.Player, Name: "LAB-1", OS: "linux", Arch: "amd64"}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.net = &network{Direct: servertest.Direct{Control: w.Control, Agent: e.AgentID}}
	w.device = newDeviceClock()
	w.runner = fake.New(guards{w.device}, func(runner.Spec) fake.App { return w.behave })
	w.apps = &fakeApps{}
	w.write("agent.json", agent.Identity{Server: "http://127.0.0.1:1", AgentID: e.AgentID, Kind: wire.Player, Name: "LAB-1", Credential: e.Credential, Keys: e.Keys})
	w.write("marks.json", map[string]any{"epoch": 1})
	w.beats.Store(int64(20 * time.Second))
	ctx, cancel := context.WithCancel(context.Background())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		// As Control.Run, but rarely: an hour of this is a matter of a second.
		for ctx.Err() == nil {
			w.Control.Beat(ctx)
			select {
			case <-time.After(time.Duration(w.beats.Load())):
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

// change changes a file of the agent's, which does not run.
func (w *world) change(name string, f func(map[string]any)) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		w.t.Fatal(err)
	}
	f(v)
	w.write(name, v)
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

// lateRunner is a runner whose guards take their time.
type lateRunner struct {
	runner.Runner
	late *atomic.Int64
}

func (r lateRunner) Start(ctx context.Context, spec runner.Spec) (runner.Run, error) {
	time.Sleep(time.Duration(r.late.Load())) // in the bubble
	return r.Runner.Start(ctx, spec)
}

func (w *world) open() (*agent.Agent, error) {
	cfg := agent.Config{Dir: w.dir, Server: w.net, Runner: lateRunner{w.runner, &w.late}, Apps: w.apps, Clock: w.device, Notify: w.notify}
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

// slowly has the server look at its time every ten minutes, for tests of days.
func (w *world) slowly() { w.beats.Store(int64(10 * time.Minute)) }

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
	r, err := w.redeem(ticket)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.agent.Add(r.Directive); err != nil && !errors.Is(err, errCrash) {
		w.t.Fatal(err)
	}
	return l.Session.ID
}

func (w *world) redeem(ticket string) (*wire.Redeemed, error) {
	return w.Control.Redeem(context.Background(), w.net.Agent, &wire.Redeem{V: wire.Version, Ticket: ticket}, "")
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

// successor gives the app a newer version, to which sessions of the present one move.
func (w *world) successor(terms servertest.Terms) *catalog.DeliveryMethod {
	w.t.Helper()
	ctx := context.Background()
	next := &catalog.DeliveryMethod{
		AppID: w.app.ID, Name: "newer", HeartbeatSeconds: 60, WarningsSeconds: []int{120, 60},
		Licence:  catalog.Licence{Type: terms.Kind, Seats: terms.Seats, OfflineSeconds: terms.Offline},
		Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"newer"}}},
	}
	if err := w.Control.CreateDeliveryMethod(ctx, w.Admin, next); err != nil {
		w.t.Fatal(err)
	}
	p := &directory.Provision{Name: "newer", UserIDs: []int64{w.User.UserID}, DeliveryMethodIDs: []int64{next.ID}, Enabled: true}
	if err := w.Control.CreateProvision(ctx, w.Admin, p); err != nil {
		w.t.Fatal(err)
	}
	w.succeed(next.ID)
	return next
}

// succeed makes a delivery method the successor of the app's first; 0: none.
func (w *world) succeed(id int64) {
	w.t.Helper()
	_, err := w.Control.UpdateDeliveryMethod(context.Background(), w.Admin, w.method.ID, func(d *catalog.DeliveryMethod) error {
		d.SuccessorID = id
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// info is what the agent tells its user of a session.
func (w *world) info(id int64) agent.Info {
	w.t.Helper()
	list, _ := w.agent.List()
	for _, i := range list {
		if i.Session == id {
			return i
		}
	}
	w.t.Fatalf("session %d is not on this device", id)
	return agent.Info{}
}
