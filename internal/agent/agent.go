// Package agent is what a player and a stream host share: it checks in with the server,
// holds leases, runs apps under guards and keeps a journal.
//
// The state folder is the truth. Whatever the agent does or tells is written there first,
// so that it can be killed at any moment: started again it finds its runs, goes on
// reporting from where it was, and obeys. Whether a lease counts is decided by
// [lease.Holder] alone; the deadline of each app is held by its guard, so that an app ends
// on time though the agent never comes back.
//
// What differs between a player and a host, how an app gets onto the machine and what of
// it is run, is behind [Apps].
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/room"
	"leasehold/internal/agent/runner"
	"leasehold/internal/lease"
	"leasehold/internal/wire"
)

// ErrUnusable marks an error of [Apps] that trying again does not heal.
var ErrUnusable = errors.New("this app cannot be used on this device")

// Apps is what a player and a host do differently.
type Apps interface {
	// Add brings what the app needs onto the machine, and tells how far it is. It may be
	// called again for what is there already. An error that wraps ErrUnusable is final,
	// after any other it is tried again.
	Add(ctx context.Context, app *wire.App, progress func(percent int)) error
	// Prepare fills in what is run: the command, its folder and environment, and where
	// warnings go. The rest of the spec is the agent's.
	Prepare(app *wire.App, spec *runner.Spec) error
	// Remove takes the app off the machine, but for what the apps that stay need too:
	// others lists those, as of when it is called.
	Remove(ctx context.Context, app *wire.App, others func() []*wire.App) error
}

// Server is how the agent reaches its server; a [Client], but for tests.
type Server interface {
	CheckIn(ctx context.Context, m *wire.CheckIn) (*wire.Answer, error)
	// Events calls hint for each hint to check in, and once when the stream is open,
	// because some may have been missed before. It returns when the stream is lost.
	Events(ctx context.Context, hint func()) error
}

// Config is what an Agent needs.
type Config struct {
	// Dir is the state folder. An agent without one keeps nothing: a simulated one.
	Dir      string
	Identity *Identity // of an agent without a state folder
	Server   Server    // nil: the one that the identity names
	Runner   runner.Runner
	Apps     Apps
	Clock    boottime.Clock // nil: the machine's
	Log      *slog.Logger   // nil: discarded
	NoPush   bool           // never listen for hints
	Rand     func() float64 // in [0, 1), for jitter
	// Slots is how many sessions a host can have at once.
	Slots int
	// Missing is what a host does not offer to its sessions, a line each.
	Missing []string
	// Watching tells of a host's session who watches it; nil for a player.
	Watching func(session int64, run uint32) Watching
	// View is told of a browser that waits for the display of a host's session: it is to dial
	// that address with the ticket. It is called for each answer that says so, must not block,
	// nor call the agent; nil for a player.
	View func(session int64, run uint32, url, ticket string)
	// Notify is told what a user wants to see happen. It must not block, nor call the agent.
	Notify func(Notice)

	hook func(at string) error
}

// Watching is how a stream is watched.
type Watching struct {
	Viewers        int
	UnwatchedSince time.Time // zero while somebody watches
	IdleAt         time.Time // when it ends if nobody uses it until then, once that is near
}

// Notice is something that happened, for the user.
type Notice struct {
	Session int64
	App     string
	Text    string
	Warning bool   // the app will close
	From    string // the administrator whose message Text is; else empty
}

// Agent is an agent. Its methods are safe for concurrent use.
type Agent struct {
	Config
	log    *slog.Logger
	disk   *disk
	lock   *os.File
	server Server
	wake   chan struct{}
	failed chan struct{}
	jobs   sync.WaitGroup

	mu          sync.Mutex
	id          *Identity
	keys        lease.Keys
	clock       leaseClock
	marks       marks
	markedAt    lease.Instant
	number      uint64 // of the last check-in sent
	outstanding uint64 // the one whose answer counts; 0: none
	journal     *journal
	sessions    map[int64]*session
	complete    bool            // guards that are alive were looked for, and all found
	recovered   bool            // they were looked for: now runs may start
	run         context.Context // of Run; nil outside
	err         error           // the disk failed: nothing may be done any more that would have to be kept
	holding     bool            // … and it is waited for; see hold
	held        bool            // it was
	carried     []carried       // meanwhile
	link        Link
	toldAt      lease.Instant // when a check-in was last wanted to tell how far packages are
}

// Link is how the agent gets on with its server.
type Link struct {
	OK          bool      `json:"ok"`    // the last check-in was answered
	Since       time.Time `json:"since"` // of the last answer
	Error       string    `json:"error,omitempty"`
	Quarantined bool      `json:"quarantined,omitempty"`
}

// Open opens an agent's state folder for this process alone.
// The error is ErrNotEnrolled or ErrLocked where that is why.
func Open(cfg Config) (_ *Agent, err error) {
	if cfg.Clock == nil {
		cfg.Clock = boottime.System
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Notify == nil {
		cfg.Notify = func(Notice) {}
	}
	a := &Agent{
		Config: cfg, log: cfg.Log, disk: &disk{dir: cfg.Dir, hook: cfg.hook}, server: cfg.Server, id: cfg.Identity,
		wake: make(chan struct{}, 1), failed: make(chan struct{}), sessions: map[int64]*session{},
	}
	if cfg.Dir != "" {
		if a.id, err = ReadIdentity(cfg.Dir); err != nil {
			return nil, err
		}
		if err := a.disk.makeFolders(); err != nil {
			return nil, err
		}
		if a.lock, err = a.disk.lock(); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if err := json.Unmarshal(a.id.Keys, &a.keys); err != nil {
		return nil, fmt.Errorf("agent: signing keys: %w", err)
	}
	if a.server == nil {
		if a.server, err = NewClient(a.id.Server, a.id.Credential); err != nil {
			return nil, err
		}
	}
	if cfg.Dir == "" {
		a.clock = newLeaseClock(cfg.Clock, clockMark{})
		a.marks.Epoch, a.journal = 1, &journal{disk: a.disk, epoch: 1}
		return a, nil
	}
	// The clock first: what is loaded may have to be noted.
	var m marks
	if err := a.disk.read(marksFile, &m); err != nil {
		return nil, fmt.Errorf("%w; without it this device must be enrolled again, in another folder", err)
	}
	a.clock = newLeaseClock(cfg.Clock, m.Clock)
	a.link.Since = m.Heard
	if err := a.load(); err != nil {
		return nil, err
	}
	a.number = a.marks.Reserved
	return a, nil
}

// Close gives the state folder back. Runs go on under their guards.
func (a *Agent) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.journal != nil {
		a.journal.close()
	}
	if a.lock == nil {
		return nil
	}
	err := a.lock.Close()
	a.lock = nil
	return err
}

// Identity is who the agent is.
func (a *Agent) Identity() Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *a.id
}

// Run finds the runs that are alive and then checks in until ctx is done. It returns nil
// then, and an error if the state folder cannot be written; that its disk is full passes,
// and is waited for. It does not end any app.
func (a *Agent) Run(ctx context.Context) error {
	for {
		err := a.live(ctx)
		if !room.Gone(err) || ctx.Err() != nil {
			return err
		}
		if err := a.hold(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// begin lets jobs run beside the caller until the function that it returns is called, which
// waits for them.
func (a *Agent) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run = ctx
	return ctx, func() {
		a.mu.Lock()
		a.run = nil
		a.mu.Unlock()
		cancel()
		a.jobs.Wait()
	}
}

// live is Run while the state folder can be written.
func (a *Agent) live(ctx context.Context) error {
	ctx, end := a.begin(ctx)
	defer end()
	if err := a.recover(ctx); err != nil {
		return err
	}
	if !a.NoPush {
		a.jobs.Go(func() { a.listen(ctx) })
	}
	if err := a.loop(ctx); err != nil {
		return err
	}
	// What the clock stands at, so that a boot with another wall clock gains nothing.
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		if err := a.saveMarks(); err != nil {
			return a.fail(err)
		}
	}
	return a.err
}

// Wake makes the agent check in now.
func (a *Agent) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// fail notes that the state folder cannot be written: nothing may be done any more that
// would have to be kept. a.mu is held.
func (a *Agent) fail(err error) error {
	if a.err == nil {
		a.err = err
		if !room.Gone(err) {
			a.log.Error("the state folder cannot be written; apps go on under their guards", "err", err)
		}
		close(a.failed)
		a.Wake()
	}
	return err
}

// background runs f beside the loop, unless Run is over or has not begun. a.mu is held.
func (a *Agent) background(f func(ctx context.Context)) bool {
	if a.run == nil || a.run.Err() != nil {
		return false
	}
	ctx := a.run
	a.jobs.Go(func() { f(ctx) })
	return true
}

// recheck is how long the agent sleeps before it looks at the boot clock again: timers
// stand still while the machine is suspended.
const recheck = 10 * time.Second

// sleep waits for d of the boot clock, or until wake. It returns false when ctx is done.
func (a *Agent) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	end := a.Clock.Now().Add(d)
	for {
		left := end.Sub(a.Clock.Now())
		if left <= 0 {
			return ctx.Err() == nil
		}
		fired := make(chan struct{})
		stop := a.Clock.AfterFunc(min(left, recheck), func() { close(fired) })
		select {
		case <-fired:
		case <-wake:
			stop()
			return ctx.Err() == nil
		case <-ctx.Done():
			stop()
			return false
		}
	}
}
