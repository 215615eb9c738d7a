package agent

import (
	"context"
	"fmt"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// ending is how a run ended, as far as is known here.
type ending struct {
	offset  int64 // how much of the run's events is in the journal
	at      boottime.Stamp
	problem string // what its user should know
	why     string // what ended it, as far as its guard knows
	// proof is how it is known that nothing of the run is left. Where it is not known,
	// deadline is the latest that its guard had; it may be nil.
	proof    guard.Proof
	deadline *boottime.Stamp
}

// neverRan is the end of a run of which nothing was ever started.
func (a *Agent) neverRan(problem, why string) ending {
	return ending{at: a.Clock.Now(), problem: problem, why: why, proof: guard.ProofNeverRan}
}

// whyEnded says why a run on a device ended, for the session's row. a.mu is held.
func (a *Agent) whyEnded(s *session, e guard.Event) string {
	if a.host() {
		return e.Reason
	}
	switch {
	case e.Outcome == guard.NotStarted:
		return "could not be started: " + e.Reason
	case s.Closing:
		return "closed as ordered"
	case e.Outcome == guard.Closed || e.Outcome == guard.Killed:
		what := "its lease ended"
		if s.Holder.Lease == nil || !s.Holder.Lease.For(s.Holder.Run) {
			what = "it got no lease in time"
		}
		if a.link.Since.IsZero() {
			return "closed by the device: " + what + "; the server was not heard from"
		}
		return "closed by the device: " + what + "; the server was last heard from at " + a.link.Since.UTC().Format("2006-01-02 15:04:05 MST")
	case e.Outcome == guard.GuardLost:
		return "its guard was killed, and the app with it"
	case e.Outcome == guard.Rebooted:
		return "the machine was restarted"
	case e.Signal != "":
		return "the app was ended by a signal: " + e.Signal
	case e.Code != nil && *e.Code != 0:
		return fmt.Sprintf("the app ended with exit code %d", *e.Code)
	}
	return "the app was closed"
}

// exited commits the end of the current run: a floating lease is destroyed before the exit
// can be reported. a.mu is held.
func (a *Agent) exited(s *session, e ending) bool {
	if !s.Holder.Running || a.err != nil {
		return a.err == nil
	}
	if s.run != nil {
		s.past = append(s.past, s.run)
		s.run = nil
	}
	s.lost = false
	if e.proof.Proved() {
		s.Holder.Exit()
	} else {
		until := a.heldUntil(s, e)
		s.Holder.ExitUnproved(until)
		s.UnprovedBoot = a.clock.from.Boot
		a.log.Warn("nothing is to be seen of a run any more, and nothing proves that it is over: its seat is free with the end of its lease, or when this machine was started again",
			"session", s.Holder.Session, "run", s.Holder.Run, "within", time.Duration(until-a.clock.now()))
	}
	s.Ended = ""
	why := e.why
	if s.Closing {
		s.Ended = s.Reason
		if s.Reason != "" {
			why = s.Reason
		}
	}
	s.Up, s.Closing, s.Reason, s.Offset, s.Problem, s.Closes, s.Message = 0, false, "", e.offset, e.problem, 0, nil
	if a.commit(s, a.note(wire.Observation{Type: state.ObsExited, At: a.clock.time(e.at), Run: s.Holder.Run, Reason: why})) != nil {
		return false
	}
	if s.Removing {
		a.finishRemoval(s)
	} else {
		a.proceed(s) // a newer version may have waited for this
	}
	return a.err == nil
}

// answerWithin is more than an answer takes to arrive and than the servers' clock may
// wrongly believe: what lies between a lease's end here and the moment at which it is over
// for the server, besides the force margin.
const answerWithin = time.Minute

// heldUntil is when a run whose end is not proved has no claim to its seat any more: at the
// end of its lease, or of the time that its guard gave it without one, as the server counts
// it. a.mu is held.
func (a *Agent) heldUntil(s *session, e ending) lease.Instant {
	until := a.clock.now()
	if l := s.Holder.Lease; l != nil {
		until = max(until, l.End)
	}
	if e.deadline != nil && e.deadline.SameBoot(a.clock.from) {
		until = max(until, a.clock.instant(*e.deadline))
	}
	return until + int64(time.Duration(s.App.ForceSeconds)*time.Second+answerWithin)
}

// unproved reports whether something may be left of a run that has ended. a.mu is held.
func (a *Agent) unproved(s *session) bool { return a.clock.now() < s.Holder.Unproved }

// prove drops what was not known of runs before the machine was started again: nothing of
// them is left.
func (a *Agent) prove(r *record) {
	if r.Holder.Unproved != 0 && r.UnprovedBoot != a.clock.from.Boot {
		r.Holder.Prove()
	}
}

// awaitProof waits until nothing can be left any more of a session's runs. It returns false
// if ctx is done before.
func (a *Agent) awaitProof(ctx context.Context, s *session) bool {
	for {
		a.mu.Lock()
		left := time.Duration(s.Holder.Unproved - a.clock.now())
		a.mu.Unlock()
		if left <= 0 {
			return ctx.Err() == nil
		}
		if !a.sleep(ctx, left, nil) {
			return false
		}
	}
}

// lastEvent returns the last event of a run that is over, for which it waits a moment; ok is
// false if it is not over, as far as can be told.
func lastEvent(ctx context.Context, r runner.Run) (e runner.Event, ok bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	e, err := r.Wait(ctx)
	return e, err == nil
}
