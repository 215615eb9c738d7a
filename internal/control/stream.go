package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// StreamView is a streamed session as its own user sees it.
type StreamView struct {
	ID        int64
	AppID     int64
	AppName   string
	Status    session.Status
	Reason    string
	EndsAt    time.Time // when it has lasted as long as it may; zero: never
	IdleAt    time.Time // when it ends if nobody uses it until then, once that is near; zero: it is not
	Clipboard bool
	Waits     time.Duration     // how long it goes on while nobody watches
	Messages  []session.Message // that its user has not been shown
}

// Stream returns a user's own stream. It returns store.ErrNotFound for any other session.
func (c *Control) Stream(ctx context.Context, who Who, id int64) (*StreamView, error) {
	var out *StreamView
	err := c.Store.View(ctx, func(tx store.Tx) error {
		s, err := ownStream(tx.Session(id))(who)
		if err != nil {
			return err
		}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		app, err := v.app(s.AppID)
		if err != nil {
			return err
		}
		out = &StreamView{ID: id, AppID: s.AppID, Status: s.Status, Reason: s.Reason, IdleAt: s.IdleAt}
		if app != nil {
			out.AppName = app.Name
		}
		if s.Said > s.Told {
			all, err := tx.Messages(id)
			if err != nil {
				return err
			}
			out.Messages = slices.DeleteFunc(all, func(m session.Message) bool { return !s.Waits(&m) })
		}
		dm, err := v.method(s.DeliveryMethodID)
		if err != nil || dm == nil || dm.Stream == nil {
			return err
		}
		out.Clipboard, out.Waits = !dm.Stream.ClipboardOff, time.Duration(dm.Stream.ReconnectSeconds)*time.Second
		if dm.Stream.MaxSeconds > 0 && !s.FirstRunAt.IsZero() {
			out.EndsAt = s.FirstRunAt.Add(time.Duration(dm.Stream.MaxSeconds) * time.Second)
		}
		return nil
	})
	return out, err
}

// ownStream lets only the session's own user have it.
func ownStream(s *session.Session, err error) func(Who) (*session.Session, error) {
	return func(who Who) (*session.Session, error) {
		if err == nil && (s.Kind != session.Stream || s.UserID != who.UserID || !s.DeletedAt.IsZero()) {
			err = store.ErrNotFound
		}
		return s, err
	}
}

// EndStream ends a user's own stream, because they want that. One that is over already
// stays as it is. It returns store.ErrNotFound for any other session.
func (c *Control) EndStream(ctx context.Context, who Who, id int64) error {
	var host int64
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		host = 0
		s, err := ownStream(tx.LockSession(id))(who)
		if err != nil {
			return err
		}
		before := store.Clone(s)
		if !s.End(session.Actor{Role: session.User, Name: who.Username}, "ended by its user", tx.WallNow()) {
			return nil
		}
		host = s.AgentID
		return saveSession(tx, before, s)
	})
	if err != nil {
		return err
	}
	if host != 0 {
		c.told([]int64{id}, []int64{host})
	}
	return nil
}

// Shown notes that a user's own stream was shown the messages up to n. It returns
// store.ErrNotFound for any other session.
func (c *Control) Shown(ctx context.Context, who Who, id int64, n uint32) error {
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		s, err := ownStream(tx.LockSession(id))(who)
		if err != nil || s.Told >= n {
			return err
		}
		before := store.Clone(s)
		s.Shown(n, tx.WallNow())
		return saveSession(tx, before, s)
	})
	if err == nil {
		c.Hub.Changed(id)
	}
	return err
}

// TunnelLife is how long a ticket for a tunnel is good.
const TunnelLife = 30 * time.Second

// ErrNoDisplay: the session has no display that could be seen.
var ErrNoDisplay = errors.New("the session has no display now")

// OpenTunnel makes a ticket for a browser that waits on this node for a session's display,
// and tells the session's host. It returns ErrNoDisplay for a session that is not up.
func (c *Control) OpenTunnel(ctx context.Context, id int64) (ticket string, err error) {
	var host int64
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		s, err := tx.Session(id)
		if err != nil {
			return err
		}
		if s.Kind != session.Stream || s.Status != session.Connected && s.Status != session.Unknown {
			return fmt.Errorf("%w: it is %s", ErrNoDisplay, s.Status)
		}
		host = s.AgentID
		ticket, _ = secret()
		return tx.AddTunnel(&store.Tunnel{Ticket: ticket, Session: id, Agent: host, Node: cmp.Or(c.NodeURL, c.PublicURL), ExpiresAt: tx.LeaseNow().About(TunnelLife)})
	})
	if err != nil {
		return "", err
	}
	c.Hub.Wake(host)
	return ticket, nil
}

// TakeTunnel redeems the ticket that a host shows, once. It returns store.ErrNotFound.
func (c *Control) TakeTunnel(ctx context.Context, agent int64, ticket string) (t *store.Tunnel, err error) {
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		t, err = tx.TakeTunnel(agent, ticket)
		return err
	})
	return t, err
}

// viewers tells a host which browsers wait for it.
func (ci *checkIn) viewers() error {
	if ci.agent.Kind != wire.Host {
		return nil
	}
	list, err := ci.tx.Tunnels(ci.agent.ID)
	for _, t := range list {
		ci.out.answer.Directives = append(ci.out.answer.Directives, wire.Directive{Type: wire.DirView, Session: t.Session, Ticket: t.Ticket, URL: t.Node})
	}
	return err
}

// watchStreams lets time act on streams whose hosts are silent or do not bring them up.
func (c *Control) watchStreams(ctx context.Context) error {
	var ids []int64
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		ids, err = tx.StreamsDue(tx.LeaseNow().Earliest.Add(-session.SilentAfter), sweepBatch)
		return err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	err = c.inTurns(ctx, ids, func(tx store.Tx, s *session.Session) (bool, error) {
		host, err := c.agentOf(tx, s)
		return err == nil && s.Overdue(host.Contact(), tx.LeaseNow()), err
	})
	if err != nil {
		return fmt.Errorf("control: streams: %w", err)
	}
	return nil
}
