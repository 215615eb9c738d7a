package agent

import (
	"context"

	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// Return gives a session's lease back. Only a fixed one outlives its run.
func (a *Agent) Return(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := a.session(id)
	switch {
	case err != nil:
		return err
	case s.Holder.Kind != lease.Fixed:
		return ErrFloating
	case s.Holder.Running:
		return ErrRunning
	case s.Holder.Lease == nil:
		return ErrNoLease
	}
	upTo := s.Holder.GiveUp(a.number)
	return a.commit(s, a.note(wire.Observation{Type: state.ObsReturned, UpTo: upTo}))
}

// End ends the run of a session, for a reason that its user is told.
func (a *Agent) End(id int64, reason string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holding {
		a.endHeld(a.sessions[id], reason)
		return nil
	}
	s, err := a.session(id)
	switch {
	case err != nil:
		return err
	case !s.Holder.Running:
		return nil
	}
	return a.close(s, reason)
}

// Remove removes a session's app from this device; a run of it is ended first, with its
// warnings.
func (a *Agent) Remove(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[id]
	switch {
	case s == nil:
		return ErrUnknown
	case a.err != nil:
		return a.err
	case s.Gone:
		return nil
	}
	return a.remove(s, removing)
}

// remove removes a session's app as soon as no run of it is alive. a.mu is held.
func (a *Agent) remove(s *session, reason string) error {
	if s.removing || s.Removing && s.Holder.Running {
		return nil
	}
	s.Removing = true
	if s.Holder.Running {
		s.Closing = false // so that it is written, with the reason
		return a.close(s, reason)
	}
	a.finishRemoval(s)
	return a.err
}

// finishRemoval takes the app of a session off, which has no run any more. a.mu is held.
func (a *Agent) finishRemoval(s *session) {
	if !s.Gone {
		s.Gone = true
		upTo := s.Holder.GiveUp(a.number)
		if a.commit(s, a.note(wire.Observation{Type: state.ObsRemoved, UpTo: upTo})) != nil {
			return
		}
	}
	a.drop(s)
	if s.adding != nil {
		s.adding() // and then this once more
		return
	}
	s.removing = s.removing || a.background(func(ctx context.Context) { a.cleanUp(ctx, s) })
}

// cleanUp takes off the machine what a session that is gone left there, and forgets it.
// Killed before, the agent does it at its next start.
func (a *Agent) cleanUp(ctx context.Context, s *session) {
	a.mu.Lock()
	app, versions, cleared := s.App, s.versions(), s.Cleared
	a.mu.Unlock()
	if cleared {
		versions = nil
	}
	for i := range versions {
		err := a.Apps.Remove(ctx, &versions[i], a.needed)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.log.Error("what an app left behind cannot be removed", "session", s.Holder.Session, "err", err)
		}
	}
	a.mu.Lock()
	if !cleared {
		a.log.Info("the app was removed", "session", s.Holder.Session, "app", app.Name)
		a.tell(s, "was removed")
	}
	if a.err == nil && a.unproved(s) {
		// Until then it is listed: what the server does not find listed is over to it.
		s.Cleared = true
		if a.commit(s) != nil {
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		if !a.awaitProof(ctx, s) {
			return
		}
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if a.err == nil {
		_ = a.forget(s) // it has failed the agent, which begins anew
	}
}

// needed lists the apps that stay on the machine.
func (a *Agent) needed() []*wire.App {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []*wire.App
	for _, s := range a.sorted() {
		if s.Gone {
			continue
		}
		app := s.App
		list = append(list, &app)
		if s.Upgrade != nil {
			newer := s.Upgrade.App
			list = append(list, &newer)
		}
	}
	return list
}

// versions lists all versions of the session's app that may have something on the machine.
func (r *record) versions() []wire.App {
	list := append([]wire.App{r.App}, r.Old...)
	if r.Upgrade != nil {
		list = append(list, r.Upgrade.App)
	}
	return list
}
