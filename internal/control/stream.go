package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// pickHost chooses the host of the delivery method's pool with the most room, and locks it
// until the launch is stored. It refuses where no seat or no host is free.
func pickHost(tx store.Tx, d *catalog.DeliveryMethod) (int64, *session.Refusal, error) {
	if d.Licence.Seats > 0 {
		n, err := tx.SeatsTaken(d.ID)
		if err != nil {
			return 0, nil, err
		}
		if n >= d.Licence.Seats {
			return 0, &session.Refusal{Code: session.RefusedNoSeat, Message: allSeats(d.Licence.Seats) + " Try again when somebody has closed the app."}, nil
		}
	}
	seen := tx.Now().Add(-session.SilentAfter)
	hosts, err := tx.Hosts(d.Stream.Pool, seen)
	if err != nil {
		return 0, nil, err
	}
	if len(hosts) == 0 {
		return 0, &session.Refusal{Code: session.RefusedNoHost, Message: "No host that runs this app answers. Try again later, or tell your administrator."}, nil
	}
	slices.SortStableFunc(hosts, func(a, b store.HostLoad) int { return b.Free() - a.Free() })
	for _, h := range hosts {
		if h.Free() == 0 {
			break
		}
		if _, err := tx.LockAgent(h.Agent); err != nil {
			return 0, nil, err
		}
		// Others may have launched there before it was locked.
		now, err := tx.Hosts(d.Stream.Pool, seen)
		if err != nil {
			return 0, nil, err
		}
		if slices.ContainsFunc(now, func(x store.HostLoad) bool { return x.Agent == h.Agent && x.Free() > 0 }) {
			return h.Agent, nil, nil
		}
	}
	return 0, &session.Refusal{Code: session.RefusedNoHost, Message: "All hosts that run this app are full. Try again when somebody has closed theirs."}, nil
}

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
		dm, err := v.method(s.DeliveryMethodID)
		if err != nil || dm == nil || dm.Stream == nil {
			return err
		}
		out.Clipboard = !dm.Stream.ClipboardOff
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
		if !s.End(session.Actor{Role: session.User, Name: who.Username}, "ended by its user", tx.Now()) {
			return nil
		}
		host = s.AgentID
		return tx.SaveSession(before, s)
	})
	if err != nil {
		return err
	}
	if host != 0 {
		c.told([]int64{id}, []int64{host})
	}
	return nil
}

// watchStreams lets time act on streams whose hosts are silent or do not bring them up.
func (c *Control) watchStreams(ctx context.Context) error {
	var ids []int64
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		ids, err = tx.StreamsDue(tx.Now().Add(-session.StartWithin), tx.Now().Add(-session.SilentAfter), sweepBatch)
		return err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	var moved, agents []int64
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		moved, agents = nil, nil
		for _, id := range ids {
			s, err := tx.LockSession(id)
			if err != nil {
				return err
			}
			host, err := orNil(tx.Agent(s.AgentID))
			if err != nil {
				return err
			}
			var heard time.Time
			if host != nil {
				heard = host.LastSeenAt
			}
			before := store.Clone(s)
			if !s.Overdue(heard, tx.Now()) {
				continue
			}
			if err := tx.SaveSession(before, s); err != nil {
				return err
			}
			moved, agents = append(moved, id), append(agents, s.AgentID)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("control: streams: %w", err)
	}
	c.told(moved, agents)
	return nil
}
