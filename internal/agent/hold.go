package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/room"
	"leasehold/internal/agent/runner"
	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// A disk that is full is full for a while only, so an agent that meets one neither gives up
// nor goes on as if it had written what it could not. It forgets what is not on its disk, as
// a crash would, and holds on: it goes on checking in for the apps that are on the disk and
// run, has their guards take renewed leases, and ends what it is told to end, none of which
// has to be kept. A lease or a revocation that it did not keep is to the server like an
// answer that was lost. Whatever would have to be kept waits: nothing is added, started,
// acknowledged or reported as ended. Once there is room it begins anew from its disk, and
// tells everything that the guards have written down meanwhile, with its true times.

// roomEvery is how long it takes at most to notice that there is room again.
const roomEvery = 10 * time.Second

// hold waits until there is room on the disk. It returns nil if there is, or ctx is done.
func (a *Agent) hold(ctx context.Context) error {
	ctx, end := a.begin(ctx)
	defer end()
	a.log.Error("the disk of the state folder is full: nothing new is added, started or reported until there is room. Apps that run go on, and can be ended", "err", a.broken())
	if err := a.reread(); err != nil {
		return err
	}
	runs, err := a.Runner.Recover(ctx)
	if err != nil {
		a.log.Warn("not every run could be looked at", "err", err)
	}
	a.steer(runs)
	if !a.NoPush {
		a.jobs.Go(func() { a.listen(ctx) })
	}
	refused := map[int64]bool{}
	for failures := 0; ; {
		next, err := a.checkInHeld(ctx, refused)
		if err != nil && ctx.Err() == nil {
			next = a.backoff(failures)
			failures++
			a.offline(err, next)
		} else {
			failures = 0
		}
		if !a.sleep(ctx, min(max(next, firstRetry), roomEvery), a.wake) {
			return nil
		}
		if err := a.disk.tryRoom(); err == nil {
			break
		} else if !room.Gone(err) {
			return err
		}
	}
	return a.release()
}

// reread makes the agent what its disk says.
func (a *Agent) reread() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.journal != nil {
		a.journal.close()
	}
	number := a.number // the next has its own, kept or not
	a.marks, a.sessions, a.outstanding, a.complete, a.recovered = marks{}, map[int64]*session{}, 0, false, false
	if err := a.load(); err != nil {
		return err
	}
	a.number = max(number, a.marks.Reserved)
	return nil
}

// steer lets the guards of the runs that are alive be told of leases and orders.
func (a *Agent) steer(runs []runner.Run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.holding, a.held = true, true
	for _, r := range runs {
		k := r.Key()
		s := a.sessions[k.Session]
		if s == nil || !s.Holder.Running || k.Run != int64(s.Holder.Run) || !r.Alive() {
			continue
		}
		s.run = r
		s.direct()
		a.background(func(ctx context.Context) { a.guide(ctx, s, r, nil) })
	}
}

// carried is a revocation that was carried out, and is still to be written down.
type carried struct {
	wire.Directive
	at boottime.Stamp
}

// release ends the holding: what is on the disk is all there is, but for what was carried
// out. That comes first, or the journal would say that those apps ended by themselves.
func (a *Agent) release() error {
	a.mu.Lock()
	a.holding, a.err, a.failed = false, nil, make(chan struct{})
	a.mu.Unlock()
	a.log.Info("the disk has room again")
	if err := a.reread(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.carried) > 0 && a.err == nil {
		c := a.carried[0]
		if s := a.sessions[c.Session]; s != nil && s.Holder.Running {
			if news, end := s.Holder.Revoke(c.UpTo); news {
				if end {
					s.Closing, s.Reason = true, reasonOf(c.Directive, endedByAdmin)
				}
				if a.commit(s, a.note(wire.Observation{Type: state.ObsRevoked, UpTo: c.UpTo, At: a.clock.time(c.at)})) != nil {
					return nil // Run waits again
				}
			}
		}
		a.carried = a.carried[1:]
	}
	return nil
}

// diskFull says for people what is wrong.
func (a *Agent) diskFull() string {
	if a.host() {
		return "The host's disk is full"
	}
	return "The disk of this device is full"
}

// checkInHeld is a check-in of which nothing is kept. It returns when the next is due.
// refused are sessions that were to be added, and cannot be.
func (a *Agent) checkInHeld(ctx context.Context, refused map[int64]bool) (time.Duration, error) {
	m, sent := a.requestHeld(refused, a.challenges(ctx))
	answer, err := a.send(ctx, m)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		return 0, err
	}
	a.number = max(a.number, answer.JumpTo)
	if answer.Ack.Epoch == a.journal.epoch {
		a.journal.passOver(answer.Ack.Seq)
	}
	a.link.Quarantined = answer.Quarantined
	for _, l := range answer.Leases {
		if s := a.take(l, m.Number, sent); s != nil {
			s.direct()
		}
	}
	for _, d := range answer.Directives {
		a.doHeld(d, refused)
	}
	for _, r := range answer.Refusals {
		if s := a.sessions[r.Session]; s != nil && (r.Run == 0 || r.Run == s.Holder.Run) {
			a.endHeld(s, r.Message)
		}
	}
	return a.heard(m, answer), nil
}

// requestHeld says of the apps that are on the disk and run that they do, what of the
// journal is on the disk, and of the rest nothing, which is not a full report.
func (a *Agent) requestHeld(refused map[int64]bool, challenges map[runner.Run]challenge) (*wire.CheckIn, lease.Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.wake:
	default:
	}
	now := a.clock.now()
	a.number++
	m := &wire.CheckIn{
		V: wire.Version, Number: a.number, Token: a.marks.Token, Granted: a.marks.Granted,
		Epoch: a.journal.epoch, Observations: a.journal.entries,
	}
	if len(m.Observations) > wire.MaxObservations {
		m.Observations, m.More = m.Observations[:wire.MaxObservations], true
	}
	for _, s := range a.sorted() {
		switch {
		case s.Gone || len(m.Sessions) == wire.MaxSessions:
		case s.run != nil && s.run.Alive():
			st := a.snapshot(s, now, challenges)
			st.Problem = a.diskFull()
			m.Sessions = append(m.Sessions, st)
		case a.host() && s.Holder.Running && s.Up == 0 && s.run == nil:
			refused[s.Holder.Session] = true // it did not come up, and will not
		}
	}
	for id := range refused {
		if len(m.Sessions) < wire.MaxSessions {
			m.Sessions = append(m.Sessions, wire.SessionState{Session: id, State: state.IsAbsent, Problem: a.diskFull()})
		}
	}
	return m, a.clock.now()
}

// doHeld carries out of a directive what does not have to be kept. a.mu is held.
func (a *Agent) doHeld(d wire.Directive, refused map[int64]bool) {
	s := a.sessions[d.Session]
	switch d.Type {
	case wire.DirAdd:
		if s == nil && a.host() && !refused[d.Session] {
			a.log.Error("an app cannot be added: the disk is full", "session", d.Session)
			refused[d.Session] = true
			a.Wake()
		}
	case wire.DirRevoke:
		if s != nil {
			h := s.Holder // that it is stored would not be true
			if _, end := h.Revoke(d.UpTo); end {
				a.carryOut(s, d, endedByAdmin)
			}
		}
	case wire.DirRemove:
		delete(refused, d.Session)
		a.carryOut(s, d, removing)
	case wire.DirView:
		if s != nil && s.run != nil && s.Up != 0 && !s.Closing && a.View != nil {
			a.View(d.Session, s.Holder.Run, d.URL, d.Ticket)
		}
	}
}

// carryOut ends a session's run as a directive says. a.mu is held.
func (a *Agent) carryOut(s *session, d wire.Directive, otherwise string) {
	if s == nil || s.run == nil {
		return
	}
	if !slices.ContainsFunc(a.carried, func(c carried) bool { return c.Session == d.Session && c.UpTo >= d.UpTo }) {
		a.carried = append(a.carried, carried{d, a.Clock.Now()})
	}
	a.endHeld(s, reasonOf(d, otherwise))
}

// endHeld has the guard of a session's run end it. Whoever wants that says so again, until it
// has ended. a.mu is held.
func (a *Agent) endHeld(s *session, reason string) {
	if s == nil || s.run == nil || s.Closing {
		return
	}
	a.log.Info("an app is ended", "session", s.Holder.Session, "reason", reason)
	s.Closing, s.Reason = true, reason
	s.direct()
}

// tryName is a file that is written to see whether there is room.
const tryName = "room"

// tryRoom writes as much as an agent may soon have to.
func (d *disk) tryRoom() error {
	err := d.replace(tryName, make([]byte, 256<<10))
	if rerr := os.Remove(d.path(tryName)); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}
