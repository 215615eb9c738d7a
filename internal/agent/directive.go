package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// Add takes a session that the server gave outside of a check-in, as the answer to a
// launch link. It reports whether the session is new here.
func (a *Agent) Add(d wire.Directive) (added bool, err error) {
	if d.Type != wire.DirAdd || d.App == nil || d.Session <= 0 {
		return false, fmt.Errorf("agent: not a directive to add an app: %s %d", d.Type, d.Session)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return false, a.err
	}
	if a.sessions[d.Session] != nil {
		return false, nil
	}
	return true, a.add(d)
}

// do carries out a directive, which may come any number of times. a.mu is held.
func (a *Agent) do(d wire.Directive) error {
	s := a.sessions[d.Session]
	if s != nil && s.Gone {
		return nil // it is on its way out
	}
	switch d.Type {
	case wire.DirAdd:
		if s != nil || d.App == nil || d.Session <= 0 {
			return nil
		}
		return a.add(d)
	case wire.DirRevoke:
		if s == nil {
			return nil
		}
		return a.revoke(s, d)
	case wire.DirRemove:
		if s == nil {
			return nil
		}
		if err := a.revoke(s, d); err != nil {
			return err
		}
		return a.remove(s, reasonOf(d, "The app is being removed from this device."))
	}
	a.log.Warn("the server wants something that this agent does not know", "directive", d.Type, "session", d.Session)
	return nil
}

// add begins a session: on disk first, then its package is added beside. a.mu is held.
func (a *Agent) add(d wire.Directive) error {
	kind := d.App.Licence
	if kind != lease.Fixed {
		kind = lease.Floating
	}
	s := newSession(&record{Holder: lease.Holder{Session: d.Session, Kind: kind}, App: *d.App, Start: d.App.Start})
	a.sessions[d.Session] = s
	a.log.Info("adding an app", "session", d.Session, "app", d.App.Name)
	if err := a.commit(s); err != nil {
		return err
	}
	a.tell(s, "is being added")
	a.proceed(s)
	return nil
}

// revoke stores a revocation, reports it, and ends what runs under it. a.mu is held.
func (a *Agent) revoke(s *session, d wire.Directive) error {
	news, end := s.Holder.Revoke(d.UpTo)
	var list []wire.Observation
	if news {
		list = append(list, a.note(wire.Observation{Type: state.ObsRevoked, UpTo: d.UpTo}))
		a.log.Info("a lease was revoked", "session", d.Session, "action", d.Action, "up_to", d.UpTo, "ends_run", end)
	}
	if !end {
		if news {
			return a.commit(s, list...)
		}
		return nil
	}
	return a.close(s, reasonOf(d, "Your administrator has ended this session."), list...)
}

func reasonOf(d wire.Directive, otherwise string) string {
	if d.Reason != "" {
		return d.Reason
	}
	return otherwise
}

// proceed does what is left to do for a session that is being added, or waits to be
// started. a.mu is held.
func (a *Agent) proceed(s *session) {
	switch {
	case s.Removing || s.Gone || s.Holder.Running:
	case !s.Ready && s.adding == nil && a.run != nil:
		ctx, cancel := context.WithCancel(a.run)
		if a.background(func(context.Context) { a.fetch(ctx, s) }) {
			s.adding = cancel
		} else {
			cancel()
		}
	case s.Ready && s.Start:
		if err := a.start(s); err != nil {
			a.log.Error("the app could not be started", "session", s.Holder.Session, "err", err)
		}
	}
}

// Pauses between attempts to add an app.
const (
	addRetry    = 5 * time.Second
	addRetryMax = 5 * time.Minute
)

// fetch adds a session's package, again and again until that worked or never will.
func (a *Agent) fetch(ctx context.Context, s *session) {
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		s.adding()
		s.adding = nil
		if s.Gone && a.err == nil {
			a.finishRemoval(s) // it waited for us
		}
	}()
	app := s.App // does not change while it is being added
	for pause := addRetry; ; pause = min(2*pause, addRetryMax) {
		err := a.Apps.Add(ctx, &app, func(percent int) {
			a.mu.Lock()
			s.progress = min(max(percent, 0), 100)
			a.mu.Unlock()
		})
		if ctx.Err() != nil {
			return
		}
		again := err != nil && !errors.Is(err, ErrUnusable)
		a.mu.Lock()
		if s.Gone || a.err != nil {
			a.mu.Unlock()
			return
		}
		if err == nil {
			s.Ready, s.Problem = true, ""
			if a.commit(s, a.note(wire.Observation{Type: state.ObsAdded})) == nil {
				a.proceed(s)
			}
			a.mu.Unlock()
			return
		}
		problem := "It could not be added: " + err.Error()
		a.log.Error("the app could not be added", "session", s.Holder.Session, "app", app.Name, "again", again, "err", err)
		if s.Problem != problem {
			s.Problem = problem
			a.commit(s)
			a.tell(s, "could not be added: "+err.Error())
		}
		a.mu.Unlock()
		if !again || !a.sleep(ctx, pause, nil) {
			return
		}
	}
}
