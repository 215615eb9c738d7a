package agent

import (
	"context"
	"time"

	"leasehold/internal/agent/runner"
	"leasehold/internal/lease"
	"leasehold/internal/wire"
)

// patience is how long the first check-in waits to hear how runs ended.
const patience = 5 * time.Second

// recover finds the runs that are alive, and ends in the journal those that are not. It
// is called once, before the first check-in; what is to be started meanwhile waits for it.
func (a *Agent) recover(ctx context.Context) error {
	runs, err := a.Runner.Recover(ctx)
	if err != nil {
		a.log.Error("not every run could be looked at", "err", err)
	}
	// A run that is over is told of in the first check-in, which would say otherwise that
	// it goes on, and be granted a lease for it.
	for _, over := range a.find(ctx, runs, err == nil) {
		a.sleep(ctx, patience, over)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recovered = true
	for _, s := range a.sorted() {
		switch {
		case s.Gone:
			a.finishRemoval(s)
			continue
		case s.Holder.Running && s.run == nil && err != nil:
			s.lost = true
		case s.Holder.Running && s.run == nil:
			// Killed between writing that it starts and starting it.
			if a.exited(s, a.neverRan("It was not started: the agent ended before.", a.notUp())) && !a.host() {
				a.again(s)
			}
		case s.Removing && !s.Holder.Running:
			a.finishRemoval(s)
		}
		if a.err != nil {
			return a.err
		}
		if a.sessions[s.Holder.Session] == s {
			a.proceed(s)
		}
	}
	return a.err
}

// notUp is why a stream whose start was noted never began.
func (a *Agent) notUp() string {
	if !a.host() {
		return "the player ended before the app was started"
	}
	if a.held {
		return a.diskFull()
	}
	return "the host was restarted before it was up"
}

// find attaches the runs that were found to their sessions. It returns, of those that are
// over, what is closed when all that they did is in the journal.
func (a *Agent) find(ctx context.Context, runs []runner.Run, complete bool) (over []<-chan struct{}) {
	proved := make(map[runner.Key]bool)
	for _, r := range runs {
		if !r.Alive() {
			e, ok := lastEvent(ctx, r)
			proved[r.Key()] = ok && e.Proof.Proved()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.complete = complete
	for _, r := range runs {
		k := r.Key()
		s := a.sessions[k.Session]
		switch {
		case s == nil:
			if proved[k] {
				if err := r.Forget(ctx); err != nil {
					a.log.Warn("what is left of a run cannot be removed", "session", k.Session, "err", err)
				}
				continue
			}
			s = a.adopt(r)
			a.sessions[k.Session] = s
		case s.Holder.Running && k.Run == int64(s.Holder.Run):
		default:
			s.past = append(s.past, r)
			continue
		}
		watched := a.attach(s, r)
		if !r.Alive() {
			over = append(over, watched)
		}
	}
	return over
}

// adopt makes a record for a run whose session's file is lost and that lives, or may: what
// still runs is reported, and obeys.
func (a *Agent) adopt(r runner.Run) *session {
	k, spec := r.Key(), r.Spec()
	s := newSession(&record{Holder: lease.Holder{Session: k.Session, Kind: lease.Floating, Run: uint32(k.Run), Running: true}, Ready: true})
	s.App = wire.App{Name: spec.App, Licence: lease.Floating, ForceSeconds: int(spec.Margin / time.Second)}
	for _, w := range spec.Warnings {
		s.App.WarningsSeconds = append(s.App.WarningsSeconds, int(w/time.Second))
	}
	a.log.Error("an app runs, or may, whose session was lost; it is reported again", "session", k.Session, "app", spec.App)
	return s
}
