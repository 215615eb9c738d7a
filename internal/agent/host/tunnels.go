package host

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"leasehold/internal/agent/tunnel"
	"leasehold/internal/wire"
)

// tunnels are the browsers that a host brings displays to. A ticket is dialled once, though
// it may be named in several answers.
type tunnels struct {
	mu      sync.Mutex
	ctx     context.Context // of Run; nil outside
	dialled map[string]bool
	live    map[int64]map[string]context.CancelCauseFunc // by session and ticket
	running sync.WaitGroup
}

func (t *tunnels) open(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx, t.dialled, t.live = ctx, map[string]bool{}, map[int64]map[string]context.CancelCauseFunc{}
}

func (t *tunnels) wait() { t.running.Wait() }

// begin runs serve for a ticket that was not dialled before.
func (t *tunnels) begin(session int64, ticket string, serve func(context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || t.ctx.Err() != nil || t.dialled[ticket] {
		return
	}
	if len(t.dialled) > 10_000 {
		clear(t.dialled) // their tickets are over long ago, but for the last few, which are good once
	}
	t.dialled[ticket] = true
	ctx, cancel := context.WithCancelCause(t.ctx)
	if t.live[session] == nil {
		t.live[session] = map[string]context.CancelCauseFunc{}
	}
	t.live[session][ticket] = cancel
	t.running.Go(func() {
		serve(ctx)
		cancel(nil)
		t.mu.Lock()
		defer t.mu.Unlock()
		if delete(t.live[session], ticket); len(t.live[session]) == 0 {
			delete(t.live, session)
		}
	})
}

// end tells those who watch a session that it is over, and why.
func (t *tunnels) end(session int64, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cancel := range t.live[session] {
		cancel(&tunnel.EndedError{Reason: reason})
	}
}

// view brings the display of a session's run to the browser that waits with a ticket at a
// node of the server.
func (h *Host) view(session int64, run uint32, node, ticket string) {
	h.tunnels.begin(session, ticket, func(ctx context.Context) {
		address, ok := strings.CutPrefix(node, "http") // https becomes wss
		if !ok {
			h.cfg.Log.Error("a node's address is none", "session", session, "node", node)
			return
		}
		h.watches.join(session, run)
		h.agent.Wake()
		err := tunnel.Serve(ctx, tunnel.Options{
			URL:    "ws" + address + wire.PathTunnel + "?" + url.Values{"ticket": {ticket}}.Encode(),
			Header: http.Header{"Authorization": {"Bearer " + h.agent.Identity().Credential}},
			Dial:   func(ctx context.Context) (net.Conn, error) { return h.dial(ctx, session, run) },
			Input:  func() { h.watches.used(session, run) },
		})
		h.watches.leave(session, run)
		h.agent.Wake()
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.Warn("a viewer was lost", "session", session, "err", err)
		}
	})
}
