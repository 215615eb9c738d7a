// Package host is the stream host: an agent whose apps run on virtual displays of their
// own and are seen in a browser.
//
// It is the same agent as a player, with the same check-ins, leases and journal. What is
// its own: an app is a command that is installed on the host, it runs on a display that is
// put up for it (package runner/display), and the host ends what nobody watches, nobody
// uses, or has lasted long enough. These timers are the host's, so they go on when it is
// cut off from its server.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/wire"
)

// Config is what a Host needs.
type Config struct {
	Dir string // the state folder
	// Displays says how sessions run; its Runs folder is the state folder's unless set.
	Displays display.Config
	Slots    int      // how many sessions at once; at least 1
	Missing  []string // what it does not offer to its sessions, a line each
	Server   agent.Server
	NoPush   bool
	Out      io.Writer // what happens, for people; nil: nowhere
	Log      *slog.Logger
}

// Host is a stream host.
type Host struct {
	cfg      Config
	agent    *agent.Agent
	displays *display.Runner
	watches  *watches
	tunnels  tunnels
	out      sync.Mutex
}

// ErrWrongKind: the state folder is another kind of agent's.
var ErrWrongKind = errors.New("this is the state folder of another kind of agent")

// Open opens the state folder for this process alone. The error is agent.ErrNotEnrolled,
// agent.ErrLocked or ErrWrongKind where that is why.
func Open(cfg Config) (*Host, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	id, err := agent.ReadIdentity(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if id.Kind != wire.Host {
		return nil, fmt.Errorf("%w: %s is a %s's", ErrWrongKind, cfg.Dir, id.Kind)
	}
	if cfg.Displays.Runs == "" {
		cfg.Displays.Runs = filepath.Join(cfg.Dir, "runs")
	}
	cfg.Displays.ReadyWithin = wire.ComeUpWithin
	if cfg.Displays.Log == nil {
		cfg.Displays.Log = cfg.Log
	}
	h := &Host{cfg: cfg, watches: newWatches(boottime.System)}
	if h.displays, err = display.New(cfg.Displays); err != nil {
		return nil, err
	}
	h.agent, err = agent.Open(agent.Config{
		Dir: cfg.Dir, Server: cfg.Server, Log: cfg.Log, NoPush: cfg.NoPush,
		Runner: h.displays, Apps: apps{}, Slots: max(cfg.Slots, 1), Missing: cfg.Missing, Watching: h.watches.of, View: h.view, Notify: h.notify,
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Close gives the state folder back. Sessions go on under their guards.
func (h *Host) Close() error { return h.agent.Close() }

// Run runs the host until ctx is done. It ends no session.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := h.agent.Identity()
	h.say("Host “%s” is enrolled with %s; it can have %d sessions at once.", id.Name, id.Server, max(h.cfg.Slots, 1))
	h.tunnels.open(ctx)
	var timers sync.WaitGroup
	timers.Go(func() { h.keepTime(ctx) })
	err := h.agent.Run(ctx)
	cancel()
	timers.Wait()
	h.tunnels.wait()
	if n := len(h.agent.Streams()); n > 0 {
		h.say("The host ends. Sessions that run go on until their leases end: %d.", n)
	}
	return err
}

// keepTime ends the sessions whose time has come, looking once a second.
func (h *Host) keepTime(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		over, news := h.watches.look(h.agent.Streams())
		for _, o := range over {
			h.cfg.Log.Info("a session is ended", "session", o.session, "reason", o.reason)
			if err := h.agent.End(o.session, o.reason); err != nil {
				h.cfg.Log.Warn("a session cannot be ended", "session", o.session, "err", err)
				continue
			}
			h.tunnels.end(o.session, o.reason)
		}
		if news {
			h.agent.Wake()
		}
	}
}

// dial connects to the display of a session's run, where it speaks RFB.
func (h *Host) dial(ctx context.Context, session int64, run uint32) (net.Conn, error) {
	conn, err := h.displays.Dial(ctx, runner.Key{Session: session, Run: int64(run)})
	if err != nil {
		return nil, fmt.Errorf("host: session %d: %w", session, err)
	}
	return conn, nil
}

func (h *Host) notify(n agent.Notice) { h.say("Session %d: %s %s.", n.Session, n.App, n.Text) }

func (h *Host) say(format string, args ...any) {
	h.out.Lock()
	defer h.out.Unlock()
	fmt.Fprintf(h.cfg.Out, format+"\n", args...)
}
