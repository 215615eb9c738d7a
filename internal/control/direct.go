package control

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// direct derives what the agent is to do from what is wanted and what it reported.
func (ci *checkIn) direct(verdict lease.Verdict) error {
	states := map[int64]*wire.SessionState{}
	for i := range ci.m.Sessions {
		states[ci.m.Sessions[i].Session] = &ci.m.Sessions[i]
	}
	for _, id := range ci.order {
		s, st := ci.sessions[id], states[id]
		if s.AgentID != ci.agent.ID {
			continue
		}
		gone := !s.DeletedAt.IsZero() || s.Status == session.Removed || s.Kind == session.Stream && s.Status.Ended()
		switch {
		case st == nil && (s.Status == session.Launched || s.Status == session.Starting) && s.DeletedAt.IsZero() && verdict != lease.Stale:
			app, err := ci.appFor(s)
			if err != nil {
				return err
			}
			ci.out.answer.Directives = append(ci.out.answer.Directives, wire.Directive{Type: wire.DirAdd, Session: id, App: app})
		case st != nil && gone:
			ci.out.answer.Directives = append(ci.out.answer.Directives, wire.Directive{Type: wire.DirRemove, Session: id, UpTo: s.Wanted, Reason: endReason(s)})
		case st != nil && s.Wanted > st.Stored:
			d := wire.Directive{Type: wire.DirRevoke, Session: id, UpTo: s.Wanted}
			if s.Order != nil {
				d.Action, d.Reason = s.Order.Action, s.Order.Reason
			}
			ci.out.answer.Directives = append(ci.out.answer.Directives, d)
		}
		if st != nil && !gone && verdict != lease.Stale {
			if err := ci.directUpgrade(s, st); err != nil {
				return err
			}
			if err := ci.directMessages(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// directMessages has the agent show what its user was not shown yet. The user of a stream
// looks at the viewer's page, which shows it without the host.
func (ci *checkIn) directMessages(s *session.Session) error {
	if s.Kind == session.Stream || s.Said == s.Told || s.Observed != session.IsRunning {
		return nil
	}
	list, err := ci.tx.Messages(s.ID)
	if err != nil {
		return err
	}
	for i := range list {
		if m := &list[i]; s.Waits(m) {
			ci.out.answer.Directives = append(ci.out.answer.Directives, wire.Directive{Type: wire.DirMessage, Session: s.ID,
				Message: &wire.Message{N: m.N, From: m.By.Name, Text: m.Text, At: m.At}})
		}
	}
	return nil
}

// endReason is why a stream is ended, for whoever looks at it; "" for others.
func endReason(s *session.Session) string {
	if s.Kind != session.Stream {
		return ""
	}
	return s.Reason
}

// appFor is what the session's agent needs to add and run its app.
func (ci *checkIn) appFor(s *session.Session) (*wire.App, error) {
	return ci.Control.appFor(ci.view, s, s.DeliveryMethodID, ci.agent)
}

func (c *Control) appFor(v view, s *session.Session, method int64, ag *store.Agent) (*wire.App, error) {
	dm, err := v.method(method)
	if err != nil {
		return nil, err
	}
	a, err := v.app(s.AppID)
	if err != nil {
		return nil, err
	}
	u, err := v.user(s.UserID)
	if err != nil {
		return nil, err
	}
	set, err := v.settings()
	if err != nil {
		return nil, err
	}
	if dm == nil || a == nil || u == nil {
		return nil, fmt.Errorf("control: session %d: %w", s.ID, store.ErrNotFound)
	}
	out := &wire.App{
		Name: a.Name, DeliveryMethod: dm.ID, Licence: dm.Licence.Type,
		HeartbeatSeconds: dm.HeartbeatSeconds, WarningsSeconds: dm.WarningsSeconds,
		ForceSeconds: set.ForceSeconds, WaitSeconds: set.WaitSeconds,
		User: u.Name, Package: dm.PackageFor(ag.OS, ag.Arch), Start: true,
	}
	if st := dm.Stream; st != nil {
		out.Stream = &wire.Stream{
			Geometry: st.Geometry, ReconnectSeconds: st.ReconnectSeconds, IdleSeconds: st.IdleSeconds, MaxSeconds: st.MaxSeconds,
			Clipboard: !st.ClipboardOff, Login: u.Username, Nested: st.Sandbox == catalog.NestedSandbox,
			Network: cmp.Or(st.Network, catalog.Internet), Allow: st.Allow,
		}
	}
	return out, nil
}

// pace sets the time of the next check-in: the shortest heartbeat among the agent's live
// sessions, spread so that agents do not come all at once.
func (ci *checkIn) pace() error {
	a := ci.out.answer
	next := lease.NextCheckIn(lease.Terms{Heartbeat: ci.set.heartbeat()}, rand.Float64())
	if ci.agent.Kind == wire.Host {
		// Also while it runs nothing, or it would count as silent and get nothing to run.
		next = min(next, lease.NextCheckIn(lease.Terms{Heartbeat: catalog.StreamHeartbeat * time.Second}, rand.Float64()))
	}
	for _, id := range ci.order {
		s := ci.sessions[id]
		if s.Status.Ended() || !s.DeletedAt.IsZero() {
			continue
		}
		dm, err := ci.view.method(s.LeaseDeliveryMethod())
		if err != nil {
			return err
		}
		if dm != nil {
			next = min(next, lease.NextCheckIn(dm.Terms(ci.set.force()), rand.Float64()))
		}
	}
	if !ci.now.Signs && len(ci.m.Sessions) > 0 {
		next = min(next, lease.Period) // leases can be granted then
	}
	if ci.m.More || a.NextEpoch != 0 || a.JumpTo != 0 {
		next = 0 // the agent has more to say, or has to say it again
	}
	a.NextMillis = next.Milliseconds()
	return nil
}
