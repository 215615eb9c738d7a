package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// CheckIn is an agent's heartbeat: it applies what the agent observed and answers with
// what the server wants. from is the address it came from. What it changes is committed before it returns.
// It returns an [invalid.Error] or wire.ErrVersion for a message that is not right.
func (c *Control) CheckIn(ctx context.Context, agent int64, m *wire.CheckIn, from string) (*wire.Answer, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	var out *outcome
	// A check-in that says nothing new, of an agent whose apps all rest, only reads.
	quiet := len(m.Observations) == 0 && !slices.ContainsFunc(m.Sessions, func(s wire.SessionState) bool { return s.State == session.IsRunning })
	if quiet {
		err := c.Store.View(ctx, func(tx store.Tx) (err error) {
			out, err = c.checkIn(tx, agent, m, from, reads)
			return err
		})
		if err != nil && !errors.Is(err, errMustWrite) {
			return nil, err
		}
		quiet = err == nil
	}
	if !quiet {
		err := c.Store.Update(store.Soon(ctx), func(tx store.Tx) (err error) {
			out, err = c.checkIn(tx, agent, m, from, waits)
			return err
		})
		if errors.Is(err, store.ErrLocked) {
			err = c.Store.Update(ctx, func(tx store.Tx) (err error) {
				out, err = c.checkIn(tx, agent, m, from, passesOver)
				return err
			})
		}
		if err != nil {
			return nil, err
		}
	}
	if out.restored {
		c.Log.Warn("the database is behind its agents: it was restored; new seats wait", "agent", agent)
		if err := c.Store.RestartClock(ctx); err != nil {
			c.Log.Error("lease clock", "err", err)
		}
	}
	c.answered.mark(agent, m.Number)
	c.seen.mark(agent, store.Seen{At: out.now.Wall, Lease: out.now.Earliest})
	c.Hub.Changed(out.changed...)
	ring := c.keys.Load()
	for _, g := range out.grants {
		token, err := ring.sign.Sign(g.Grant, agent, g.length, g.challenge, out.now.Wall)
		if err != nil {
			return nil, err
		}
		out.answer.Leases = append(out.answer.Leases, wire.Lease{Session: g.Session, Token: token})
	}
	if len(out.grants) > 0 {
		out.answer.Keys = ring.jwks
	}
	return out.answer, nil
}

// whereFrom is from where an agent's apps are run.
func whereFrom(addr string, a *store.Agent) (w directory.Where) {
	if a != nil && a.Kind == wire.Host {
		// The organisation's own; where its user is was judged when they launched.
		return directory.Where{Ownership: directory.Organisation}
	}
	var err error
	w.Addr, err = netip.ParseAddr(addr)
	w.Unknown = err != nil
	if a != nil {
		w.Ownership = a.Ownership
	}
	return w
}

// errMustWrite ends a read-only attempt that found something to write.
var errMustWrite = errors.New("control: this check-in changes something")

// mode is how a check-in meets the rows of its sessions.
type mode int

const (
	reads      mode = iota // it locks and changes none
	waits                  // for those that somebody else has locked
	passesOver             // those that somebody else has locked; see passOver
)

// granted is a grant that is to be signed.
type granted struct {
	*lease.Grant
	length    time.Duration
	challenge string // of the guard that it is for
}

type outcome struct {
	answer  *wire.Answer
	grants  []granted
	changed []int64
	// restored says that this check-in showed the database to be behind its agents.
	restored bool
	now      lease.Now
}

// checkIn is one check-in in one transaction.
type checkIn struct {
	*Control
	tx    store.Tx
	view  view
	m     *wire.CheckIn
	agent *store.Agent
	src   session.Source
	where directory.Where
	set   *Settings
	now   lease.Now
	out   *outcome
	mode  mode

	sessions map[int64]*session.Session
	before   map[int64]*session.Session
	order    []int64 // ids in ascending order
}

func (c *Control) checkIn(tx store.Tx, agentID int64, m *wire.CheckIn, from string, mode mode) (*outcome, error) {
	ci := &checkIn{Control: c, tx: tx, m: m, mode: mode, now: tx.LeaseNow()}
	ci.out = &outcome{now: ci.now, answer: &wire.Answer{V: wire.Version, Number: m.Number}}
	if err := ci.load(agentID); err != nil {
		return nil, err
	}
	ci.where = whereFrom(from, ci.agent)
	before := *ci.agent
	if m.Slots != 0 || ci.agent.Kind == wire.Host {
		ci.agent.Slots, ci.agent.Missing = m.Slots, m.Missing
	}
	verdict := ci.agent.Chain.Present(m.Number, m.Token, m.Granted, 0)
	if verdict == lease.Fresh && m.Number < c.answered.last(agentID) {
		verdict = lease.Stale
	}
	ci.src = session.Source{
		Agent:       session.Actor{Role: session.Agent, Name: ci.agent.Name},
		Quarantined: verdict == lease.Copied,
	}
	a := ci.out.answer
	a.Quarantined = ci.src.Quarantined
	if verdict == lease.Restored {
		if err := ci.restored(); err != nil {
			return nil, err
		}
	}
	if err := ci.journal(); err != nil {
		return nil, err
	}
	// What a stale message says of now is not so any more; its journal entries are keyed.
	if verdict == lease.Stale {
		a.JumpTo = max(ci.agent.Chain.Last, c.answered.last(agentID))
	} else if !m.More && a.NextEpoch == 0 {
		if err := ci.reconcile(); err != nil {
			return nil, err
		}
		if err := ci.upgrade(); err != nil {
			return nil, err
		}
		if verdict != lease.Copied {
			if err := ci.ask(); err != nil {
				return nil, err
			}
		}
	}
	next := ""
	if len(ci.out.grants) > 0 {
		next, _ = secret()
		a.Token = next
	}
	if err := ci.direct(verdict); err != nil {
		return nil, err
	}
	if err := ci.viewers(); err != nil {
		return nil, err
	}
	if err := ci.save(); err != nil {
		return nil, err
	}
	if verdict != lease.Stale && (len(ci.out.changed) > 0 || next != "" || len(a.Refusals) > 0 || !ci.now.Signs) {
		// What was refused, or could not be granted now, is answered: no earlier message may
		// be granted it later.
		ci.agent.Chain.Commit(m.Number, m.Token, next)
	}
	if before.Chain != ci.agent.Chain || before.Epoch != ci.agent.Epoch || before.Seq != ci.agent.Seq || before.Slots != ci.agent.Slots || !slices.Equal(before.Missing, ci.agent.Missing) {
		if ci.mode == reads {
			return nil, errMustWrite
		}
		if err := tx.SaveAgent(ci.agent); err != nil {
			return nil, err
		}
	}
	return ci.out, ci.pace()
}

// load reads the agent and its sessions, locked unless read-only.
func (ci *checkIn) load(agentID int64) (err error) {
	if ci.view, err = ci.Control.view(ci.tx); err != nil {
		return err
	}
	if ci.set, err = ci.view.settings(); err != nil {
		return err
	}
	var list []*session.Session
	if ci.mode == reads {
		if ci.agent, err = ci.tx.Agent(agentID); err != nil {
			return err
		}
		list, err = ci.tx.SessionsOfAgent(agentID)
	} else {
		if ci.agent, err = ci.tx.LockAgent(agentID); err != nil {
			return err
		}
		var ids []int64
		for i := range ci.m.Observations {
			ids = append(ids, ci.m.Observations[i].Session)
		}
		for i := range ci.m.Sessions {
			ids = append(ids, ci.m.Sessions[i].Session)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		if ci.mode == passesOver {
			var locked []int64
			if list, locked, err = ci.tx.TryLockSessionsOfAgent(agentID, ids); err == nil {
				err = ci.passOver(locked)
			}
		} else {
			list, err = ci.tx.LockSessionsOfAgent(agentID, ids)
		}
	}
	if err != nil {
		return err
	}
	ci.sessions = make(map[int64]*session.Session, len(list))
	ci.before = make(map[int64]*session.Session, len(list))
	for _, s := range list {
		ci.sessions[s.ID], ci.before[s.ID] = s, store.Clone(s)
		ci.order = append(ci.order, s.ID)
	}
	return nil
}

// passOver leaves out of the message what it says of sessions that somebody else has
// locked, so that the agent's other apps are renewed meanwhile: to the server it is a message
// that does not list them, and whose journal ends before the first entry about one of them.
// A session that a later entry is about is left out too: what the message says of it is
// ahead of what is applied. A report that begins an epoch is whole or not at all; then the
// error is store.ErrLocked.
func (ci *checkIn) passOver(locked []int64) error {
	if len(locked) == 0 {
		return nil
	}
	if ci.m.Epoch > ci.agent.Epoch {
		return fmt.Errorf("control: session %d: %w", locked[0], store.ErrLocked)
	}
	ci.Log.Warn("sessions are locked by somebody else's transaction; their agent's check-in passes over them", "agent", ci.agent.ID, "sessions", len(locked), "first", locked[0])
	out := map[int64]bool{}
	for _, id := range locked {
		out[id] = true
	}
	m := *ci.m
	m.Complete = false
	if i := slices.IndexFunc(m.Observations, func(o wire.Observation) bool { return o.Seq > ci.agent.Seq && out[o.Session] }); i >= 0 {
		for _, o := range m.Observations[i:] {
			out[o.Session] = true
		}
		m.Observations = m.Observations[:i]
	}
	m.Sessions = slices.DeleteFunc(slices.Clone(m.Sessions), func(s wire.SessionState) bool { return out[s.Session] })
	ci.m = &m
	return nil
}

// journal applies the entries that are new, each once, in order.
func (ci *checkIn) journal() error {
	m, ag, a := ci.m, ci.agent, ci.out.answer
	switch {
	case m.Epoch < ag.Epoch:
		a.NextEpoch = ag.Epoch + 1
	case m.Epoch > ag.Epoch:
		if !m.Complete {
			return invalid.Of("complete", "must be true where an epoch begins")
		}
		ag.Epoch, ag.Seq = m.Epoch, 0
	}
	for i := range m.Observations {
		o := &m.Observations[i]
		if a.NextEpoch != 0 || o.Seq <= ag.Seq {
			continue
		}
		if o.Seq != ag.Seq+1 {
			// The server has lost entries that the agent has dropped as acknowledged.
			a.NextEpoch = ag.Epoch + 1
			break
		}
		s, err := ci.own(o.Session, fmt.Sprintf("observations.%d.session", i))
		if err != nil {
			return err
		}
		if s != nil {
			was := s.Status
			at := o.At.UTC().Truncate(time.Microsecond)
			if at.After(ci.now.Wall) {
				at = ci.now.Wall
			}
			s.Observe(session.Observation{Type: o.Type, Run: o.Run, Mark: o.Mark, UpTo: o.UpTo, Seconds: o.Seconds, Reason: o.Reason, Unproved: o.Unproved, Method: o.Method, At: at}, ci.src)
			if was == session.Launched && s.Status != session.Launched {
				if err := ci.supersede(s); err != nil {
					return err
				}
			}
		}
		ag.Seq = o.Seq
	}
	a.Ack = wire.Ack{Epoch: ag.Epoch, Seq: ag.Seq}
	return nil
}

// own returns the agent's session of that number, nil if there is none any more. A
// session of another agent is an error that names the field.
func (ci *checkIn) own(id int64, field string) (*session.Session, error) {
	if s := ci.sessions[id]; s != nil {
		return s, nil
	}
	s, err := ci.tx.Session(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		ci.forget(id)
		return nil, nil
	case err != nil:
		return nil, err
	case s.AgentID != ci.agent.ID:
		return nil, invalid.Of(field, "is not a session of this agent")
	}
	// Read-only, and one that the agent has nothing more to do with: lock and look again.
	return nil, errMustWrite
}

// forget tells the agent to remove what the server does not know.
func (ci *checkIn) forget(id int64) {
	d := wire.Directive{Type: wire.DirRemove, Session: id, Reason: "the server does not know this session"}
	for _, x := range ci.out.answer.Directives {
		if x.Session == id {
			return
		}
	}
	ci.out.answer.Directives = append(ci.out.answer.Directives, d)
}

// supersede flags the user's older sessions of the same app on this device: a newer one
// has just been added.
func (ci *checkIn) supersede(s *session.Session) error {
	if ci.mode == reads {
		return errMustWrite
	}
	olds, err := ci.tx.Superseded(s.UserID, s.AppID, s.AgentID, s.ID)
	if err != nil {
		return err
	}
	for _, old := range olds {
		if mine := ci.sessions[old.ID]; mine != nil {
			old = mine
		} else {
			ci.sessions[old.ID], ci.before[old.ID] = old, store.Clone(old)
			ci.order = append(ci.order, old.ID)
		}
		old.Supersede(ci.now.Wall)
	}
	return nil
}

// reconcile applies what the agent says of every session now.
func (ci *checkIn) reconcile() error {
	listed := map[int64]bool{}
	for i := range ci.m.Sessions {
		st := &ci.m.Sessions[i]
		listed[st.Session] = true
		if s := ci.sessions[st.Session]; s != nil {
			was := s.Status
			s.Reconcile(snapshot(st), ci.now, ci.src)
			if was == session.Launched && s.Status != session.Launched {
				// The entry that said so was lost with the journal.
				if err := ci.supersede(s); err != nil {
					return err
				}
			}
		}
	}
	if ci.m.Complete {
		for _, id := range ci.order {
			if s := ci.sessions[id]; !listed[id] && s.AgentID == ci.agent.ID {
				s.Reconcile(session.Snapshot{State: session.IsAbsent, Run: s.Run, Stored: s.Wanted, Ended: s.Wanted}, ci.now, ci.src)
			}
		}
	}
	return nil
}

func snapshot(st *wire.SessionState) session.Snapshot {
	out := session.Snapshot{
		Left: time.Duration(st.LeftMillis) * time.Millisecond, Closes: time.Duration(st.ClosesMillis) * time.Millisecond,
		Up: st.Up, Viewers: st.Viewers,
		State: st.State, Run: st.Run, Mark: st.Mark, Stored: st.Stored, Ended: st.Ended,
		Seen: st.Seen, Guard: st.Guard, Holds: st.Holds,
		RunMethod: st.RunMethod, Upgrade: st.Upgrade, Ready: st.Ready, Told: st.Told, Progress: st.Progress, Problem: st.Problem,
	}
	if !st.Holds || st.LeftMillis == 0 {
		out.Left = -1 // it does not say
	}
	for _, t := range []struct {
		from *time.Time
		to   *time.Time
	}{{st.UnwatchedSince, &out.UnwatchedSince}, {st.IdleAt, &out.IdleAt}} {
		// What is no time of these days comes of a wrong clock and is not known. It does not
		// hold up the report; see wire.CheckIn for those of observations.
		if t.from != nil && wire.Plausible(*t.from) {
			*t.to = t.from.UTC().Truncate(time.Microsecond)
		}
	}
	return out
}

// save stores what changed.
func (ci *checkIn) save() error {
	for _, id := range ci.order {
		if changed(ci.before[id], ci.sessions[id]) {
			if err := ci.saveOne(id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ci *checkIn) saveOne(id int64) error {
	if ci.mode == reads {
		return errMustWrite
	}
	if err := saveSession(ci.tx, ci.before[id], ci.sessions[id]); err != nil {
		return err
	}
	ci.before[id] = store.Clone(ci.sessions[id])
	ci.out.changed = append(ci.out.changed, id)
	return nil
}
