// Package gateway joins browsers to the displays of streamed apps. A host opens connections
// outward only, so a display is reached the other way round: a browser's web socket waits
// here under a ticket of its own, the host is told to dial, and what it then brings as its
// web socket is the other end. From then on bytes are copied both ways, and neither side is
// read faster than the other one takes it (package wslink).
//
// Each browser has a tunnel of its own, which ends with it; coming back is a new one. So a
// node holds nothing that another one cannot begin anew.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"leasehold/internal/wslink"
)

// Config says how streams are joined.
type Config struct {
	// Issue makes a single-use, short-lived ticket for a tunnel of the session from its host
	// to this node, and tells the host to dial. A [RefusedError] is told to the viewer.
	Issue func(ctx context.Context, session int64) (ticket string, err error)
	// Wait is how long a browser waits for the host's tunnel; 20 s if zero.
	Wait time.Duration
	// KeepAlive is how long a peer may give no sign of life before it is asked for one;
	// wslink.KeepAlive if zero. One that is gone is noticed within twice as long.
	KeepAlive time.Duration
	// Origins may open streams besides the one that they are served from, as
	// "https://leasehold.example.org" of a server behind a proxy that rewrites the host.
	Origins []string
	// Done ends all streams when it is closed: their viewers come back to another node, or
	// to this one once it has started again.
	Done <-chan struct{}
	Log  *slog.Logger // slog.Default if nil
}

// RefusedError is why Issue makes no ticket, in words for the viewer.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "refused: " + e.Reason }

// ErrNobodyWaits is the error of a tunnel whose ticket no browser waits with here; the
// request is not answered yet.
var ErrNobodyWaits = errors.New("nobody waits for this tunnel")

// maxViewers is how many browsers may watch one session at once, on one node.
const maxViewers = 16

const defaultWait = 20 * time.Second

// Gateway joins the streams of one node.
type Gateway struct {
	Config

	mu      sync.Mutex
	streams map[int64]map[*stream]bool // by session
	waiting map[string]*stream         // by ticket
	issuing map[int64]int              // how many tickets of a session are being made
	changed chan struct{}              // closed when a ticket has been made
	left    chan struct{}              // closed when a browser has left
}

// New returns a gateway with no streams.
func New(c Config) *Gateway {
	if c.Wait <= 0 {
		c.Wait = defaultWait
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Gateway{Config: c, streams: map[int64]map[*stream]bool{}, waiting: map[string]*stream{}, issuing: map[int64]int{}, changed: make(chan struct{}), left: make(chan struct{})}
}

// View serves the web socket of a browser, whose right to see the session the caller has
// checked. It waits for the host's tunnel, then copies both ways, and returns when that is
// over: nil if the browser left, was told why, or the server stops. A request that is no web
// socket, or from another origin, is answered.
func (g *Gateway) View(w http.ResponseWriter, r *http.Request, session int64) error {
	browser, err := wslink.Accept(w, r, g.KeepAlive, g.Origins...)
	if err != nil {
		return fmt.Errorf("gateway: session %d: %w", session, err)
	}
	s := &stream{session: session, browser: browser, joined: make(chan struct{}), over: make(chan struct{})}
	if !g.add(s) {
		browser.Close(wslink.Refused, "Too many windows show this session. Close one of them.")
		return nil
	}
	defer g.remove(s)
	begin := time.Now()
	err = g.run(r.Context(), s)
	g.Log.Debug("stream over", "session", session, "lasted", time.Since(begin), "end", s.end.reason, "err", err)
	if err != nil {
		return fmt.Errorf("gateway: session %d: %w", session, err)
	}
	return nil
}

// Refuse tells a browser why it is not shown a stream: only a web socket that is open can be
// told in words.
func (g *Gateway) Refuse(w http.ResponseWriter, r *http.Request, reason string) error {
	browser, err := wslink.Accept(w, r, g.KeepAlive, g.Origins...)
	if err != nil {
		return fmt.Errorf("gateway: refuse: %w", err)
	}
	browser.Close(wslink.Refused, reason)
	return nil
}

// Tunnel serves the web socket of a host, which the caller has let in and whose ticket it
// has redeemed. It returns when the stream is over, or ErrNobodyWaits if no browser waits
// here with that ticket; then the caller answers.
func (g *Gateway) Tunnel(w http.ResponseWriter, r *http.Request, session int64, ticket string) error {
	s := g.claim(r.Context(), session, ticket)
	if s == nil {
		return fmt.Errorf("gateway: session %d: %w", session, ErrNobodyWaits)
	}
	host, err := wslink.Accept(w, r, g.KeepAlive)
	if err != nil {
		s.finish(ending{code: wslink.Unreachable, reason: "the host could not connect", err: err})
		close(s.joined)
		return fmt.Errorf("gateway: session %d: %w", session, err)
	}
	s.host = host
	close(s.joined)
	defer func() {
		if v := recover(); v != nil {
			s.finish(broken)
			panic(v)
		}
	}()
	s.copyHost() // until View closes it
	return nil
}

// End tells all viewers of a session, on this node, that it is over and why.
func (g *Gateway) End(session int64, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.streams[session] {
		s.finish(ending{code: wslink.Ended, reason: reason})
	}
}

// Sessions lists the sessions that somebody watches on this node, in no order.
func (g *Gateway) Sessions() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]int64, 0, len(g.streams))
	for id := range g.streams {
		list = append(list, id)
	}
	return list
}

// Open returns how many browsers are connected.
func (g *Gateway) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, of := range g.streams {
		n += len(of)
	}
	return n
}

// Shutdown waits until all streams are over, after Done is closed, or until ctx is done: a
// server that waits for it has told every viewer to come back.
func (g *Gateway) Shutdown(ctx context.Context) error {
	for {
		g.mu.Lock()
		open, left := len(g.streams), g.left
		g.mu.Unlock()
		if open == 0 {
			return nil
		}
		select {
		case <-left:
		case <-ctx.Done():
			return fmt.Errorf("gateway: streams are open still: %w", ctx.Err())
		}
	}
}

func (g *Gateway) add(s *stream) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.streams[s.session]) >= maxViewers {
		return false
	}
	if g.streams[s.session] == nil {
		g.streams[s.session] = map[*stream]bool{}
	}
	g.streams[s.session][s] = true
	return true
}

func (g *Gateway) remove(s *stream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.streams[s.session], s)
	if len(g.streams[s.session]) == 0 {
		delete(g.streams, s.session)
	}
	close(g.left)
	g.left = make(chan struct{})
}

// ticket has a ticket made and waits with it. The host may dial before Issue has returned.
func (g *Gateway) ticket(ctx context.Context, s *stream) (ticket string, err error) {
	g.mu.Lock()
	g.issuing[s.session]++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.issuing[s.session]--; g.issuing[s.session] == 0 {
			delete(g.issuing, s.session)
		}
		if err == nil && ticket != "" {
			g.waiting[ticket] = s
		}
		close(g.changed)
		g.changed = make(chan struct{})
	}()
	return g.Issue(ctx, s.session)
}

// claim takes the stream that waits with a ticket; nil if none does.
func (g *Gateway) claim(ctx context.Context, session int64, ticket string) *stream {
	for {
		g.mu.Lock()
		s, issuing, changed := g.waiting[ticket], g.issuing[session] > 0, g.changed
		if s != nil && s.session == session {
			delete(g.waiting, ticket)
			g.mu.Unlock()
			return s
		}
		g.mu.Unlock()
		if !issuing {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// unclaim stops waiting with a ticket. It reports whether a host has claimed it.
func (g *Gateway) unclaim(ticket string) (claimed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, waits := g.waiting[ticket]
	delete(g.waiting, ticket)
	return !waits
}
