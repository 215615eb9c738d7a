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
		return a.remove(s, reasonOf(d, removing))
	case wire.DirView:
		if s != nil && s.Up != 0 && s.Holder.Running && !s.Closing && a.View != nil {
			a.View(d.Session, s.Holder.Run, d.URL, d.Ticket)
		}
		return nil
	case wire.DirMessage:
		if s == nil {
			return nil
		}
		return a.message(s, d.Message)
	case wire.DirOffer, wire.DirUpgrade:
		switch {
		case s == nil:
			return nil
		case d.Type == wire.DirOffer:
			return a.offer(s, d)
		}
		return a.upgraded(s, d)
	}
	a.log.Warn("the server wants something that this agent does not know", "directive", d.Type, "session", d.Session)
	return nil
}

// add begins a session: on disk first, then its package is added beside. a.mu is held.
func (a *Agent) add(d wire.Directive) error {
	s := newSession(&record{Holder: lease.Holder{Session: d.Session, Kind: licence(d.App)}, App: *d.App, Start: d.App.Start})
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
	return a.close(s, reasonOf(d, endedByAdmin), list...)
}

// message shows the user of a running app what an administrator tells them, and then
// reports it: a crash in between shows it twice, which is better than never. a.mu is held.
func (a *Agent) message(s *session, m *wire.Message) error {
	if m == nil || m.N <= s.Told || !s.Holder.Running {
		return nil
	}
	a.log.Info("a message to the user", "session", s.Holder.Session, "app", s.App.Name, "from", m.From, "text", m.Text)
	a.Notify(Notice{Session: s.Holder.Session, App: s.App.Name, Text: m.Text, From: m.From})
	s.Told, s.Message = m.N, m
	return a.commit(s, a.note(wire.Observation{Type: state.ObsTold, UpTo: uint64(m.N), Run: s.Holder.Run}))
}

// What users are told where the server gives no reason.
const (
	endedByAdmin = "Your administrator has ended this session."
	removing     = "The app is being removed from this device."
)

func reasonOf(d wire.Directive, otherwise string) string {
	if d.Reason != "" {
		return d.Reason
	}
	return otherwise
}

// proceed does what is left to do for a session: to add its app or a newer version of it,
// to put that in the old one's place, to start it. It may be called at any time. a.mu is
// held.
func (a *Agent) proceed(s *session) {
	if s.Removing || s.Gone || a.err != nil || a.swap(s) != nil {
		return
	}
	switch u := s.Upgrade; {
	case !s.Ready:
		a.bring(s, nil)
	case u != nil && !u.Ready:
		a.bring(s, u)
	}
	a.tidy(s)
	if s.Ready && s.Start && !s.Holder.Running {
		if err := a.start(s); err != nil {
			a.log.Error("the app could not be started", "session", s.Holder.Session, "err", err)
		}
	}
}

// bring begins to add a session's app, or the newer version u of it, unless one is being
// added or that is in vain. a.mu is held.
func (a *Agent) bring(s *session, u *upgrade) {
	app := s.App
	if u != nil {
		app = u.App
	}
	if s.adding != nil || a.run == nil || s.unusable != 0 && s.unusable == app.DeliveryMethod {
		return
	}
	ctx, cancel := context.WithCancel(a.run)
	if !a.background(func(context.Context) { a.fetch(ctx, s, app, u) }) {
		cancel()
		return
	}
	s.adding, s.bringing, s.progress = cancel, u, 0
}

// Pauses between attempts to add an app.
const (
	addRetry    = 5 * time.Second
	addRetryMax = 5 * time.Minute
)

// fetch adds the package of a session's app, or of the newer version u, again and again
// until that worked or never will.
func (a *Agent) fetch(ctx context.Context, s *session, app wire.App, u *upgrade) {
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		s.adding()
		s.adding, s.bringing = nil, nil
		switch {
		case a.err != nil:
		case s.Gone:
			a.finishRemoval(s) // it waited for us
		default:
			a.proceed(s)
		}
	}()
	for pause := addRetry; ; pause = min(2*pause, addRetryMax) {
		err := a.Apps.Add(ctx, &app, func(percent int) { a.advance(s, percent) })
		if ctx.Err() != nil || a.fetched(s, &app, u, err) || !a.sleep(ctx, pause, nil) {
			return
		}
	}
}

// tellEvery is how often the server hears how far packages are.
const tellEvery = 2 * time.Second

// advance notes how much of a package is there, and tells the server of it now and then.
func (a *Agent) advance(s *session, percent int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	percent = min(max(percent, 0), 100)
	if percent == s.progress {
		return
	}
	s.progress = percent
	if now := a.clock.now(); now-a.toldAt >= int64(tellEvery) {
		a.toldAt = now
		a.Wake()
	}
}

// fetched notes what came of adding a package. It reports whether that was the last word.
func (a *Agent) fetched(s *session, app *wire.App, u *upgrade, err error) (over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Gone || a.err != nil || u != nil && s.Upgrade != u {
		return true
	}
	if err == nil {
		var list []wire.Observation
		if u == nil {
			s.Ready, s.Problem = true, ""
			list = append(list, a.note(wire.Observation{Type: state.ObsAdded}))
		} else {
			u.Ready, u.Problem = true, ""
		}
		if a.commit(s, list...) == nil {
			a.Wake()
		}
		return true
	}
	again := !errors.Is(err, ErrUnusable)
	a.log.Error("the app could not be added", "session", s.Holder.Session, "app", app.Name, "method", app.DeliveryMethod, "again", again, "err", err)
	if !again {
		s.unusable = app.DeliveryMethod
	}
	what, problem := "could not be added: ", &s.Problem
	text := "It could not be added: " + err.Error()
	if u != nil {
		what, problem = "stays at its version, because the newer one could not be added: ", &u.Problem
		text = "The newer version could not be added: " + err.Error()
	}
	if *problem != text {
		*problem = text
		if a.commit(s) == nil {
			a.Wake()
		}
		a.tell(s, what+err.Error())
	}
	return !again
}
