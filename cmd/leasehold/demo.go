package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"leasehold/internal/agent/guard"
	"leasehold/internal/control"
	"leasehold/internal/server"
	"leasehold/internal/wire"
)

type demoCmd struct {
	Port     int           `help:"Port to listen on; the next free one if it is taken." default:"8420" env:"LEASEHOLD_DEMO_PORT"`
	Sessions int           `help:"Simulated sessions besides the real ones." default:"300"`
	Sample   string        `help:"The sample app; beside this program unless set." type:"path" env:"LEASEHOLD_SAMPLE"`
	Data     string        `help:"Folder to keep everything in; a temporary one unless set." type:"path"`
	NoPush   bool          `help:"Let the player learn of orders at check-ins only."`
	For      time.Duration `help:"End by itself after this time; 0 for never." default:"0"`
}

// Sign-ins of the demo.
const (
	demoAdmin = "admin"
	demoUser  = "ann"
)

// newDemoPassword draws the password of a demo's accounts: 60 bits, easy to read and type. A
// known one would let in every page and program of the machine that finds the demo's port.
func newDemoPassword() string { return rand.Text()[:12] }

// Run is leasehold demo.
func (c *demoCmd) Run(ctx context.Context, std *stdio) (err error) {
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Sample == "" {
		c.Sample = filepath.Join(filepath.Dir(self), "leasehold-sample")
	}
	if _, err := os.Stat(c.Sample); err != nil {
		return fmt.Errorf("the sample app: %w; build it beside leasehold, as make demo does", err)
	}
	dir := c.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "leasehold-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	log := slog.New(slog.NewTextHandler(std.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := (&serverCmd{Data: dir}).open(ctx, log)
	if err != nil {
		return err
	}
	defer closeSoon(log, "database", st, closeWait)
	l, err := listenFrom(c.Port)
	if err != nil {
		return err
	}
	public := "http://" + l.Addr().String()
	s, err := server.New(ctx, server.Config{Store: st, PublicURL: public, LoopbackHosts: []string{"localhost"}, Limits: control.MaxLimits, Version: version, Log: log})
	if err != nil {
		l.Close()
		return err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	// The server outlives the player, so that the player's last words arrive.
	serve, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- s.Serve(serve, l) }()
	defer func() {
		stopServer()
		err = errors.Join(err, <-served)
	}()
	// The simulated sessions are brought to where leases are out, which takes a clock.
	if err := s.Control.AwaitClock(run); err != nil {
		return err
	}
	password := newDemoPassword()
	org, err := newOrganisation(run, s.Control, c.Sample, password)
	if err != nil {
		return fmt.Errorf("the sample organisation: %w", err)
	}
	// The simulated sessions first, so that the real ones are on top of the list.
	fleet, err := org.simulate(run, s.Control, public, c.Sessions)
	if err != nil && run.Err() == nil {
		return err
	}
	out := &lines{w: std.Out}
	p := &demoAgent{kind: wire.Player, name: demoDevice, self: self, dir: filepath.Join(dir, "player"), out: out, noPush: c.NoPush}
	defer p.end()
	if err := p.start(run, s.Control, org, public); err != nil {
		return fmt.Errorf("the player: %w", err)
	}
	if err := p.launch(run, s.Control, org); err != nil {
		return fmt.Errorf("the player: %w", err)
	}
	streams := "Streamed apps need what is missing here: " + strings.Join(missingForStreams(), ", ") + "."
	if len(missingForStreams()) == 0 {
		// High up, because the sessions' own accounts must get there.
		sessions, err := os.MkdirTemp("", "lh-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(sessions)
		if err := os.Chmod(sessions, 0o711); err != nil {
			return err
		}
		h := &demoAgent{kind: wire.Host, name: "THIS-HOST", self: self, dir: filepath.Join(dir, "host"), out: out, noPush: c.NoPush,
			args: []string{"--sessions", filepath.Join(sessions, "s"), "--slots", "4"}}
		defer h.end()
		if err := h.start(run, s.Control, org, public); err != nil {
			return fmt.Errorf("the stream host: %w", err)
		}
		streams = fmt.Sprintf("Signed in as %s, launch “Terminal”: it runs on this machine and is shown in the\n     browser. As %s, open Streaming › Sessions and click Kill in its row.", demoUser, demoAdmin)
	}
	fmt.Fprintf(out, `
Leasehold is at  %[1]s
  as an administrator: %[2]s / %[4]s
  as a user:           %[3]s / %[4]s

See an app end:
  1. Sign in as %[2]s and open Sessions. The rows of the device %[5]q are real: their
     apps are running on this machine. All others are simulated, and say so.
  2. Click Evict in the row of “Quick Notes”. Its status changes at once; the warnings
     appear here, 20 and 10 seconds before it closes, and its row says when it has closed.
  3. “Field Report” does the same with the reference's two minutes and one minute.
  4. Sign in as %[3]s in a private window to launch it again.
  5. %[6]s
Ctrl-C ends everything that this command started.

`, public, demoAdmin, demoUser, password, demoDevice, streams)
	<-run.Done()
	fmt.Fprintln(out, "\nEnding the apps, the agents and the server …")
	stop()
	if fleet != nil {
		fleet.Wait()
	}
	return nil
}

// listenFrom listens on the port on loopback, or on the next free one.
func listenFrom(port int) (net.Listener, error) {
	var first error
	for p := port; p < port+100; p++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, first
}

const demoDevice = "THIS-DEVICE"

// endRun ends one run and waits until nothing of it is left.
func endRun(ctx context.Context, dir string) {
	h, err := guard.Attach(ctx, dir)
	if err != nil {
		guard.Sweep(ctx, dir)
		return
	}
	h.Stop(ctx, "the demo has ended")
	for next := int64(0); ctx.Err() == nil; {
		events, n, err := h.AwaitEvents(ctx, next)
		if err != nil {
			return
		}
		for _, e := range events {
			if e.Type == guard.Exited {
				return
			}
		}
		next = n
	}
}

// lines writes whole lines of several writers, one at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (l *lines) copy(prefix string, r io.Reader) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		fmt.Fprintf(l, "%s%s\n", prefix, s.Text())
	}
	io.Copy(io.Discard, r)
}
