package agent

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// Errors of what a user asks for; compare with errors.Is.
var (
	ErrUnknown  = errors.New("there is no such session on this device")
	ErrRunning  = errors.New("the app is running; close it first")
	ErrNotReady = errors.New("the app has not been added yet")
	ErrRemoving = errors.New("the app is being removed")
	ErrNoLease  = errors.New("it holds no lease that could be returned")
	ErrFloating = errors.New("only an offline licence has a lease to return; this app's ends when the app is closed")
	ErrStopping = errors.New("the agent is stopping")
)

// retry is how long the agent waits before it tries again what a guard did not answer.
const retry = time.Second

// spawnWithin bounds the start of a guard.
const spawnWithin = 2 * time.Minute

// session is one session of this agent: its record, and what is known while it runs.
type session struct {
	record
	run      runner.Run // the current one; nil before its guard is there
	spawning bool
	lost     bool               // it may be alive, but could not be recovered
	past     []runner.Run       // over, and their folders still there
	adding   context.CancelFunc // a package of it is being added …
	bringing *upgrade           // … this newer version's, or if nil the app's own
	progress int                // … percent of it
	unusable int64              // the delivery method whose package can never be added
	tidying  bool               // packages of old versions are being removed
	removing bool               // what it left behind is being removed
	steer    chan struct{}
}

func newSession(r *record) *session {
	return &session{record: *r, steer: make(chan struct{}, 1)}
}

// direct makes the guard do what now holds, soon.
func (s *session) direct() {
	select {
	case s.steer <- struct{}{}:
	default:
	}
}

// guarded reports whether a guard of the current run is, or may be, alive.
func (s *session) guarded() bool {
	return s.spawning || s.lost || s.run != nil && s.run.Alive()
}

func (s *session) window() time.Duration {
	w := 0
	for _, n := range s.App.WarningsSeconds {
		w = max(w, n)
	}
	return time.Duration(w) * time.Second
}

// Start starts the app of a session that is on this device. It returns once the start is
// on disk; authorisation runs beside the app.
func (a *Agent) Start(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[id]
	if s == nil {
		return ErrUnknown
	}
	return a.start(s)
}

// start begins the next run: on disk first, then beside the caller. a.mu is held.
func (a *Agent) start(s *session) error {
	switch {
	case a.err != nil:
		return a.err
	case s.Removing || s.Gone:
		return ErrRemoving
	case !s.Ready:
		return ErrNotReady
	case s.Holder.Running:
		return ErrRunning
	case a.run == nil || a.run.Err() != nil:
		return ErrStopping
	case !a.recovered:
		// What runs already is being looked for; then it starts.
		s.Start = true
		return a.commit(s)
	}
	a.drop(s)
	run, err := s.Holder.Start()
	if err != nil {
		return err
	}
	s.Start, s.Offset, s.Closing, s.Reason, s.Ended, s.Problem, s.Closes = false, 0, false, "", "", "", 0
	now := a.Clock.Now()
	started := wire.Observation{Type: state.ObsStarted, At: a.clock.time(now), Run: run, Mark: s.Holder.Mark, Method: s.App.DeliveryMethod}
	if err := a.commit(s, a.note(started)); err != nil {
		return err
	}
	signed := ""
	deadline := now.Add(time.Duration(s.App.WaitSeconds)*time.Second + s.window())
	if a.host() {
		deadline = deadline.Add(wire.ComeUpWithin)
	}
	if s.Holder.Covered(a.clock.instant(now)) {
		deadline, signed = a.clock.stamp(s.Holder.Lease.End), s.Signed
	}
	s.spawning = true
	app := s.App
	a.background(func(ctx context.Context) { a.spawn(ctx, s, app, run, deadline, signed) })
	return nil
}

// spawn starts the guard of a run that is on disk as started. signed is the lease that it
// begins under, "" if it has none yet.
func (a *Agent) spawn(ctx context.Context, s *session, app wire.App, run uint32, deadline boottime.Stamp, signed string) {
	spec := runner.Spec{
		Session: s.Holder.Session, Run: int64(run), App: app.Name,
		Margin: time.Duration(app.ForceSeconds) * time.Second, Deadline: deadline,
		Authority: a.authority(), Lease: signed,
	}
	for _, w := range app.WarningsSeconds {
		spec.Warnings = append(spec.Warnings, time.Duration(w)*time.Second)
	}
	err := a.Apps.Prepare(&app, &spec)
	var r runner.Run
	if err == nil {
		// A guard that is being started is not given up because the agent ends.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), spawnWithin)
		r, err = a.Runner.Start(c, spec)
		cancel()
	}
	end := a.neverRan("", "")
	over := r == nil && !errors.Is(err, runner.ErrExists)
	if err != nil && r != nil {
		// It was begun: how it ended, and whether, is on disk.
		var e runner.Event
		if e, over = lastEvent(ctx, r); over {
			end = ending{at: e.At, proof: e.Proof, deadline: e.Deadline}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// Now the row may say that it runs, or why it does not.
	defer a.Wake()
	s.spawning = false
	switch {
	case err == nil:
		a.log.Info("the app is running", "session", s.Holder.Session, "app", app.Name, "run", run)
		a.attach(s, r)
		a.tell(s, "is running")
	case errors.Is(err, context.DeadlineExceeded) || !over:
		// It may be alive. Only a new start of the agent finds out.
		s.lost = true
		a.log.Error("a guard did not say that it is there", "session", s.Holder.Session, "run", run, "err", err)
	default:
		a.log.Error("the app could not be started", "session", s.Holder.Session, "run", run, "err", err)
		a.tell(s, "could not be started: "+err.Error())
		if r != nil {
			s.past = append(s.past, r)
		}
		end.problem, end.why = "It could not be started: "+err.Error(), err.Error()
		a.exited(s, end)
	}
}

// authority is whose leases a guard believes.
func (a *Agent) authority() *guard.Authority {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &guard.Authority{Agent: a.id.AgentID, Keys: a.keys}
}

// host reports whether this agent is a stream host.
func (a *Agent) host() bool { return a.id.Kind == wire.Host }

// came commits that a stream's display and app are up. a.mu is held.
func (a *Agent) came(s *session, at boottime.Stamp) bool {
	if !a.host() || s.Up != 0 || !s.Holder.Running {
		return true
	}
	s.Up = a.clock.instant(at)
	return a.commit(s, a.note(wire.Observation{Type: state.ObsUp, At: a.clock.time(at), Run: s.Holder.Run, Mark: s.Holder.Mark})) == nil
}

// tell tells the user what happened to an app.
func (a *Agent) tell(s *session, text string) {
	a.Notify(Notice{Session: s.Holder.Session, App: s.App.Name, Text: text})
}

// attach watches a run and directs its guard. What it returns is closed when the run is
// over and in the journal. a.mu is held.
func (a *Agent) attach(s *session, r runner.Run) <-chan struct{} {
	s.run = r
	s.direct()
	over := make(chan struct{})
	a.background(func(ctx context.Context) {
		defer close(over)
		a.watch(ctx, s, r)
	})
	a.background(func(ctx context.Context) { a.guide(ctx, s, r, over) })
	return over
}

// watch puts a run's events into the journal, each once, until the last.
func (a *Agent) watch(ctx context.Context, s *session, r runner.Run) {
	a.mu.Lock()
	from := s.Offset
	a.mu.Unlock()
	began := from > 0
	for ctx.Err() == nil {
		events, next, err := r.Events(ctx, from)
		if len(events) > 0 {
			began = began || events[0].Type == guard.Starting
			if !a.happened(s, events, next, began) {
				return
			}
		}
		from = next
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warn("a run's events cannot be read", "session", s.Holder.Session, "err", err)
			if !a.sleep(ctx, retry, nil) {
				return
			}
		}
	}
}

// happened commits a run's events. began is false if there was never anything of the app.
// It returns false after the last one.
func (a *Agent) happened(s *session, events []runner.Event, next int64, began bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return false
	}
	id := s.Holder.Session
	for _, e := range events {
		switch e.Type {
		case guard.Warned:
			a.log.Warn("warned the user", "session", id, "app", s.App.Name, "text", e.Text)
			a.Notify(Notice{Session: id, App: s.App.Name, Text: e.Text, Warning: true})
			s.Offset = next
			s.Closes = a.clock.now() + int64(e.Remaining)
			if e.Deadline != nil && e.Deadline.SameBoot(a.clock.from) {
				s.Closes = a.clock.instant(*e.Deadline)
			}
			seconds := int(math.Round(e.Remaining.Seconds()))
			if a.commit(s, a.note(wire.Observation{Type: state.ObsWarned, At: a.clock.time(e.At), Run: s.Holder.Run, Seconds: seconds, Reason: e.Reason})) != nil {
				return false
			}
		case guard.Started:
			if !a.came(s, e.At) {
				return false
			}
		case guard.Extended:
			s.Closes = 0
		case guard.Resisting:
			a.log.Error("an app resists its end by force; its guard goes on", "session", id, "app", s.App.Name, "run", s.Holder.Run)
		case guard.Exited:
			problem := ""
			if e.Outcome == guard.NotStarted {
				problem = "It could not be started: " + e.Reason
			}
			a.log.Info("the app has ended", "session", id, "app", s.App.Name, "run", s.Holder.Run, "outcome", e.Outcome, "reason", e.Reason, "forced", e.Forced, "proof", e.Proof)
			a.tell(s, "has ended ("+string(e.Outcome)+")")
			// Nothing follows, and its folder may be gone by now.
			if a.exited(s, ending{next, e.At, problem, a.whyEnded(s, e), e.Proof, e.Deadline}) && !began && !a.host() {
				a.again(s)
			}
			return false
		}
	}
	return true
}

// again starts an app whose run was on disk as started when the agent was killed, and
// never began: its user still waits for it. a.mu is held.
func (a *Agent) again(s *session) {
	if a.sessions[s.Holder.Session] == s && s.Holder.Stored == s.Holder.Mark {
		s.Start = true
		a.proceed(s)
	}
}

// guide tells a guard what holds whenever that changes, until its run is over. The latest
// lease and order are looked up each time, so that nothing old overtakes something new.
func (a *Agent) guide(ctx context.Context, s *session, r runner.Run, over <-chan struct{}) {
	for {
		select {
		case <-s.steer:
		case <-over:
			return
		case <-ctx.Done():
			return
		}
		err := a.order(ctx, s, r)
		if err == nil || errors.Is(err, runner.ErrEnded) || ctx.Err() != nil {
			continue
		}
		if errors.Is(err, runner.ErrRefused) {
			// Saying it again changes nothing; the next lease does.
			a.log.Error("a guard refused an order", "session", s.Holder.Session, "err", err)
			continue
		}
		a.log.Warn("a guard did not take an order; it is repeated", "session", s.Holder.Session, "err", err)
		if a.sleep(ctx, retry, over) {
			s.direct()
		}
	}
}

// order gives a guard the order, or the end of the lease, that holds now.
func (a *Agent) order(ctx context.Context, s *session, r runner.Run) error {
	a.mu.Lock()
	current := s.run == r && (a.err == nil || a.holding)
	closing, reason, name := s.Closing, s.Reason, s.App.Name
	covered := s.Holder.Covered(a.clock.now())
	var held runner.Lease
	if covered {
		held = runner.Lease{Deadline: a.clock.stamp(s.Holder.Lease.End), Generation: s.Holder.Lease.Generation, Token: s.Signed, Keys: a.id.Keys}
	}
	a.mu.Unlock()
	switch {
	case !current:
		return nil
	case closing && a.host():
		// There is nobody to warn: what may be warned of was, in the page.
		_, err := r.Stop(ctx, reason)
		return err
	case closing:
		// Without a deadline: after the largest warning, or when it ends anyhow.
		_, err := r.Close(ctx, runner.Order{Reason: reason, Title: name + " is closing"})
		return err
	case covered:
		_, err := r.Extend(ctx, held)
		return err
	}
	return nil
}

// close ends the current run, with its warnings: on disk first. a.mu is held.
func (a *Agent) close(s *session, reason string, list ...wire.Observation) error {
	if s.Holder.Running && !s.Closing {
		s.Closing, s.Reason = true, reason
	} else if len(list) == 0 {
		return nil
	}
	if err := a.commit(s, list...); err != nil {
		return err
	}
	s.direct()
	return nil
}

// drop forgets runs that are over: the journal has all of them. a.mu is held.
func (a *Agent) drop(s *session) {
	for _, r := range s.past {
		if err := r.Forget(context.Background()); err != nil {
			a.log.Warn("what is left of a run cannot be removed", "session", s.Holder.Session, "err", err)
		}
	}
	s.past = nil
}
