// Package player is the agent on a person's device: it takes launches by link and by
// push, adds their packages, and runs them as real processes under guards.
//
// One process holds the state folder: "leasehold player run". The other commands speak to
// it through a socket in that folder, which only its owner can open.
package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/dialog"
	"leasehold/internal/agent/packages"
	"leasehold/internal/agent/player/page"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/process"
	"leasehold/internal/catalog"
	"leasehold/internal/wire"
)

// Errors of launch links; compare with errors.Is.
var (
	ErrBadLink     = errors.New("not a launch link of Leasehold")
	ErrOtherServer = errors.New("this launch link is of another server than the one this device is enrolled with")
)

// Config is what a Player needs.
type Config struct {
	Dir string // the state folder
	// Guard returns the command line of a guard for a folder.
	Guard func(dir string) []string
	Out   io.Writer    // the terminal, for the user; nil: discarded
	Log   *slog.Logger // nil: discarded
	// NoPush: never listen for hints.
	NoPush bool
	// Terminal is a file that guards write warnings to where there is no desktop, also
	// when the player is gone; "": a file in the state folder.
	Terminal string

	// For tests; nil means the real ones.
	Server agent.Server
	Clock  boottime.Clock
}

// Player is a running player.
type Player struct {
	cfg    Config
	log    *slog.Logger
	agent  *agent.Agent
	client *agent.Client
	out    sync.Mutex

	mu    sync.Mutex
	page  *page.Server // once somebody wanted it
	pages sync.WaitGroup
	// dialogs are being put up.
	dialogs sync.WaitGroup
	ending  bool
}

// Open opens the state folder for this process alone.
// The error is agent.ErrNotEnrolled or agent.ErrLocked where that is why.
func Open(cfg Config) (*Player, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("player: %w", err)
	}
	cfg.Dir = dir
	id, err := agent.ReadIdentity(dir)
	if err != nil {
		return nil, err
	}
	if id.Kind != wire.Player {
		return nil, fmt.Errorf("player: %s is the state folder of a %s", dir, id.Kind)
	}
	p := &Player{cfg: cfg, log: cfg.Log}
	if p.client, err = agent.NewClient(id.Server, id.Credential); err != nil {
		return nil, err
	}
	server := cfg.Server
	if server == nil {
		server = p.client
	}
	terminal := cfg.Terminal
	if terminal == "" {
		terminal = filepath.Join(dir, "warnings.log")
	}
	p.agent, err = agent.Open(agent.Config{
		Dir: dir, Server: server, Log: cfg.Log, NoPush: cfg.NoPush, Clock: cfg.Clock,
		Runner: process.New(filepath.Join(dir, "runs"), cfg.Guard),
		Apps:   &apps{store: packages.New(filepath.Join(dir, "packages"), nil), terminal: terminal},
		Notify: p.notify,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Close gives the state folder back. Apps go on under their guards.
func (p *Player) Close() error {
	p.client.Close()
	p.dialogs.Wait()
	return p.agent.Close()
}

// Run runs the player until ctx is done. It ends no app.
func (p *Player) Run(ctx context.Context) error {
	l, err := listen(p.cfg.Dir)
	if err != nil {
		return fmt.Errorf("player: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var served sync.WaitGroup
	served.Go(func() { p.serve(ctx, l) })
	id := p.agent.Identity()
	p.say("Device “%s” is enrolled with %s.", id.Name, id.Server)
	err = p.agent.Run(ctx)
	cancel()
	l.Close()
	served.Wait()
	p.closePage()
	os.Remove(filepath.Join(p.cfg.Dir, socketFile))
	list, _ := p.agent.List()
	alive := 0
	for _, i := range list {
		if i.Status == agent.Running || i.Status == agent.Closing {
			alive++
		}
	}
	if alive > 0 {
		p.say("The player ends. %s still running: each goes on under its guard, until its lease ends.", count(alive))
	}
	return err
}

func count(n int) string {
	if n == 1 {
		return "1 app is"
	}
	return fmt.Sprintf("%d apps are", n)
}

// say tells the user something.
func (p *Player) say(format string, args ...any) {
	p.out.Lock()
	defer p.out.Unlock()
	fmt.Fprintf(p.cfg.Out, format+"\n", args...)
}

func (p *Player) notify(n agent.Notice) {
	if n.Warning {
		// Where the terminal is one, the guard writes to it by itself.
		if p.cfg.Terminal == "" || desktop() {
			p.say("WARNING (session %d): %s", n.Session, strings.ReplaceAll(n.Text, "\n", " "))
		}
		return
	}
	if n.From != "" {
		p.say("MESSAGE from %s (session %d, %s): %s", n.From, n.Session, n.App, strings.ReplaceAll(n.Text, "\n", " "))
		p.show(n)
		return
	}
	p.say("Session %d: %s %s.", n.Session, n.App, n.Text)
}

// standing is how long a message stands on the desktop unless its user closes it.
const standing = 10 * time.Minute

// show puts a message on the desktop, if there is one, beside what stands there.
func (p *Player) show(n agent.Notice) {
	if !desktop() {
		return
	}
	p.dialogs.Go(func() {
		_, err := dialog.New(dialog.Options{Log: os.Stderr}).Show(dialog.Message{
			Title: n.App, Heading: "Message from " + n.From, Text: n.Text, Timeout: standing,
		})
		if err != nil {
			p.log.Warn("no dialog for a message; it is in the player's page", "session", n.Session, "err", err)
		}
	})
}

// ParseLink returns the server and the ticket of a launch link.
func ParseLink(link string) (server, ticket string, err error) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != wire.LinkScheme || u.Host != "launch" || u.Path != "" && u.Path != "/" {
		return "", "", fmt.Errorf("%w: it must begin with %s://launch?", ErrBadLink, wire.LinkScheme)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || q.Get("server") == "" || q.Get("ticket") == "" {
		return "", "", fmt.Errorf("%w: it must name a server and a ticket", ErrBadLink)
	}
	server, err = agent.CleanServer(q.Get("server"))
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrBadLink, err)
	}
	return server, q.Get("ticket"), nil
}

// redeemWithin bounds the redemption of a link.
const redeemWithin = 30 * time.Second

// Launched is what came of a launch link.
type Launched struct {
	Session int64  `json:"session"`
	App     string `json:"app"`
	New     bool   `json:"new"` // else the link was redeemed here before
	// Waits: no player is running, so the app is added when one does.
	Waits bool `json:"waits,omitempty"`
	// Stranger is who made the link, if they have not used this device before and were not
	// accepted. Then nothing was done; App is what they launched.
	Stranger *wire.Person `json:"stranger,omitempty"`
}

// Launch redeems a launch link and begins to add its app. Whoever launches from a link may
// send further launches here, so one who is new to this device has to be accepted.
func (p *Player) Launch(ctx context.Context, link string, accept bool) (*Launched, error) {
	server, ticket, err := ParseLink(link)
	if err != nil {
		return nil, err
	}
	if id := p.agent.Identity(); server != id.Server {
		return nil, fmt.Errorf("%w: it is of %s, and the device is enrolled with %s", ErrOtherServer, server, id.Server)
	}
	ctx, cancel := context.WithTimeout(ctx, redeemWithin)
	defer cancel()
	r, err := p.client.Redeem(ctx, ticket, !accept)
	if err != nil {
		return nil, err
	}
	if r.Stranger != nil {
		return &Launched{App: r.App, Stranger: r.Stranger}, nil
	}
	// A check-in under way may have brought the app before this answer came.
	added, err := p.agent.Add(r.Directive)
	if err != nil {
		return nil, err
	}
	p.agent.Wake()
	return &Launched{Session: r.Directive.Session, App: r.Directive.App.Name, New: r.New || added}, nil
}

// apps implements [agent.Apps] with packages and real processes.
type apps struct {
	store    *packages.Store
	terminal string
}

func (a *apps) Add(ctx context.Context, app *wire.App, progress func(int)) error {
	err := a.store.Add(ctx, app.Package, progress)
	if packages.Final(err) {
		return fmt.Errorf("%w: %w", agent.ErrUnusable, err)
	}
	return err
}

func (a *apps) Prepare(app *wire.App, spec *runner.Spec) (err error) {
	if spec.Argv, spec.Dir, err = a.store.Command(app.Package); err != nil {
		return err
	}
	if spec.Dir == "" {
		// Where the player happens to have been started is no place for an app.
		if home, err := os.UserHomeDir(); err == nil {
			if info, err := os.Stat(home); err == nil && info.IsDir() {
				spec.Dir = home
			}
		}
	}
	spec.Title = app.Name
	spec.Dialogs, spec.Terminal = desktop(), a.terminal
	return nil
}

func (a *apps) Remove(_ context.Context, app *wire.App, others func() []*wire.App) error {
	return a.store.Remove(app.Package, func() []*catalog.Package {
		var kept []*catalog.Package
		for _, o := range others() {
			kept = append(kept, o.Package)
		}
		return kept
	})
}

// desktop reports whether there is one to show dialogs on.
func desktop() bool {
	switch runtime.GOOS {
	case "windows", "darwin":
		return true
	}
	return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// OpenWithin is Open for a player that is to stay: it waits until patience is over for
// another process to leave the state folder, because commands use it for a moment while
// no player runs, and a player that was just killed may not be quite gone.
func OpenWithin(ctx context.Context, cfg Config, patience time.Duration) (*Player, error) {
	for end := time.Now().Add(patience); ; {
		p, err := Open(cfg)
		if !errors.Is(err, agent.ErrLocked) || time.Now().After(end) {
			return p, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
