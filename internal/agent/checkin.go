package agent

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"leasehold/internal/agent/runner"
	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// Pauses of the loop.
const (
	firstRetry   = 500 * time.Millisecond // doubled with each failure, up to a heartbeat
	maxRetry     = time.Minute
	idleBeat     = 5 * time.Minute // the heartbeat of an agent that has none of its own
	longestPause = 24 * time.Hour
	hurried      = 20               // check-ins in a row that may follow at once
	startWait    = 10 * time.Second // longest wait for an app's process before a check-in
)

// loop checks in, one request at a time, until ctx is done.
func (a *Agent) loop(ctx context.Context) error {
	failures, atOnce := 0, 0
	for {
		next, err := a.checkIn(ctx)
		switch {
		case ctx.Err() != nil:
			return a.broken()
		case a.broken() != nil:
			return a.broken()
		case err != nil:
			next = a.backoff(failures)
			failures++
			a.offline(err, next)
		default:
			failures = 0
		}
		// A server that has the agent say it again and again is not obeyed for ever.
		if next > 0 {
			atOnce = 0
		} else if atOnce++; atOnce > hurried {
			next = time.Second
		}
		if next > 0 && !a.sleep(ctx, next, a.wake) {
			return a.broken()
		}
		select {
		case <-a.failed:
			return a.broken()
		default:
		}
	}
}

func (a *Agent) broken() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// backoff is how long to wait after so many failures: fast first, never longer than a
// heartbeat, and spread.
func (a *Agent) backoff(failures int) time.Duration {
	d := firstRetry << min(failures, 20)
	d = min(d, maxRetry, max(a.heartbeat(), firstRetry))
	return time.Duration((0.5 + a.Rand()/2) * float64(d))
}

// heartbeat is the shortest among the live sessions.
func (a *Agent) heartbeat() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := idleBeat
	for _, s := range a.sessions {
		if n := s.App.HeartbeatSeconds; n > 0 {
			d = min(d, time.Duration(n)*time.Second)
		}
	}
	return d
}

func (a *Agent) offline(err error, next time.Duration) {
	a.mu.Lock()
	was := a.link
	a.link.OK, a.link.Error = false, err.Error()
	a.mu.Unlock()
	var answered *ServerError
	switch {
	case errors.As(err, &answered) && answered.Status == http.StatusUnauthorized:
		a.log.Error("the server does not know this device any more; its apps end with their leases. Enrol it again", "err", err)
	case was.OK || was.Error == "":
		a.log.Warn("the server does not answer; apps go on under their leases", "err", err)
	default:
		a.log.Debug("the server does not answer", "err", err, "next", next)
	}
}

// checkIn sends one check-in and applies its answer. It returns when the next is due.
func (a *Agent) checkIn(ctx context.Context) (time.Duration, error) {
	a.awaitStarts(ctx)
	m, sent, err := a.request(a.challenges(ctx))
	if err != nil {
		return 0, err
	}
	answer, err := a.send(ctx, m)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outstanding = 0
	if err != nil {
		return 0, err
	}
	if err := a.apply(answer, sent); err != nil {
		return 0, err
	}
	return a.heard(m, answer), nil
}

// awaitStarts waits until the process of every app that is being started is there: a
// check-in tells the whole journal, so one that goes out before would have the row say
// running too early. The wait is bounded by a heartbeat, which every lease has to spare, and
// by startWait, so that a guard that hangs holds up no order to another app. A host's
// session is not connected before its display is up, and needs no such wait.
func (a *Agent) awaitStarts(ctx context.Context) {
	limit := min(startWait, a.heartbeat())
	for from := a.Clock.Now(); ctx.Err() == nil; {
		left := limit - a.Clock.Now().Sub(from)
		a.mu.Lock()
		starting := a.err == nil && !a.host() && slices.ContainsFunc(slices.Collect(maps.Values(a.sessions)), func(s *session) bool { return s.spawning })
		a.mu.Unlock()
		if !starting || left <= 0 {
			return
		}
		a.sleep(ctx, left, a.wake) // spawn wakes
	}
}

// send brings a check-in to the server.
func (a *Agent) send(ctx context.Context, m *wire.CheckIn) (*wire.Answer, error) {
	within := min(max(2*a.heartbeat(), 2*time.Second), 30*time.Second)
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answer, err := a.server.CheckIn(ctx, m)
	if err == nil && answer.Number != m.Number {
		err = errors.New("agent: the answer is to another check-in")
	}
	return answer, err
}

// heard notes that the server has answered. It returns when the next check-in is due. a.mu
// is held.
func (a *Agent) heard(m *wire.CheckIn, answer *wire.Answer) time.Duration {
	if !a.link.OK {
		a.log.Info("the server answers", "server", a.id.Server)
	}
	a.link.OK, a.link.Error, a.link.Since = true, "", a.Clock.Now().Wall
	a.marks.Heard = a.link.Since
	if m.More {
		return 0
	}
	if slices.ContainsFunc(m.Sessions, func(s wire.SessionState) bool { return s.Defer }) {
		return retry
	}
	return min(time.Duration(max(answer.NextMillis, 0))*time.Millisecond, longestPause)
}

// challengeWithin bounds how long a check-in waits for guards. One that is slower gets its
// lease with a later check-in.
const challengeWithin = 500 * time.Millisecond

// A challenge is what a guard said when it was asked for one.
type challenge struct {
	text string // "" if it needs none
	late bool   // it did not answer
}

// challenges asks the guards of what runs for what their next lease must answer. A guard of
// the version before knows none, and needs none.
func (a *Agent) challenges(ctx context.Context) map[runner.Run]challenge {
	var runs []runner.Run
	a.mu.Lock()
	for _, s := range a.sessions {
		if s.Holder.Running && !s.Closing && s.run != nil {
			runs = append(runs, s.run)
		}
	}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, challengeWithin)
	defer cancel()
	got := make([]challenge, len(runs))
	var wg sync.WaitGroup
	for i, r := range runs {
		wg.Go(func() {
			var err error
			got[i].text, err = r.Challenge(ctx)
			if err != nil && !errors.Is(err, runner.ErrRefused) && !errors.Is(err, runner.ErrEnded) {
				a.log.Warn("a guard gave no challenge; its lease waits", "session", r.Key().Session, "err", err)
				got[i].late = true
			}
		})
	}
	wg.Wait()
	out := make(map[runner.Run]challenge, len(runs))
	for i, r := range runs {
		out[r] = got[i]
	}
	return out
}

// request is the next check-in, and the moment from which a lease in its answer counts.
// Its number is its own, whatever becomes of it.
func (a *Agent) request(challenges map[runner.Run]challenge) (*wire.CheckIn, lease.Instant, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return nil, 0, a.err
	}
	// What is reported from here on needs no further check-in.
	select {
	case <-a.wake:
	default:
	}
	now := a.clock.now()
	if a.number >= a.marks.Reserved || now-a.markedAt > int64(time.Minute) {
		a.marks.Reserved = max(a.marks.Reserved, a.number+reserve)
		if err := a.saveMarks(); err != nil {
			return nil, 0, a.fail(err)
		}
	}
	a.number++
	a.outstanding = a.number
	m := &wire.CheckIn{
		V: wire.Version, Number: a.number, Token: a.marks.Token, Granted: a.marks.Granted,
		Epoch: a.journal.epoch, Complete: a.complete, Observations: a.journal.entries, Slots: a.Slots, Missing: a.missing(),
	}
	if len(m.Observations) > wire.MaxObservations {
		m.Observations, m.More = m.Observations[:wire.MaxObservations], true
	}
	for _, s := range a.sorted() {
		if s.Gone && !a.unproved(s) {
			continue
		}
		if len(m.Sessions) == wire.MaxSessions {
			m.Complete = false
			a.log.Error("this agent has more sessions than it can report")
			break
		}
		m.Sessions = append(m.Sessions, a.snapshot(s, now, challenges))
	}
	return m, a.clock.now(), nil
}

// snapshot is what the agent knows of a session now, with what its guard gave out for this
// check-in. a.mu is held.
func (a *Agent) snapshot(s *session, now lease.Instant, challenges map[runner.Run]challenge) wire.SessionState {
	h := &s.Holder
	h.Lapse(now)
	st := wire.SessionState{
		Session: h.Session, State: state.IsIdle, Run: h.Run, Mark: h.Mark,
		Stored: h.Stored, Ended: h.Ended(), Seen: h.Seen, Guard: s.guarded() || h.Unproved != 0,
		Holds:  h.Lease != nil && h.Lease.Generation > h.Stored && (h.Kind == lease.Fixed || h.Lease.Run == h.Run),
		Method: s.App.DeliveryMethod, Told: s.Told, Problem: plain(s.problem()),
	}
	switch c, asked := challenges[s.run]; {
	case h.Running && s.run != nil && !s.Closing:
		// One that came to be after the guards were asked is asked the next time.
		st.Challenge, st.Defer = c.text, c.late || !asked
	case h.Running && s.spawning:
		st.Defer = true
	}
	if st.Holds {
		st.LeftMillis = h.LeftMillis(now)
	}
	switch {
	case h.Running:
		st.State, st.RunMethod = state.IsRunning, s.App.DeliveryMethod
	case !s.Ready || s.Gone:
		st.State = state.IsAbsent
	}
	if h.Running && a.host() {
		a.watching(s, &st)
	}
	if h.Running && s.Closing && s.Closes > now {
		st.ClosesMillis = (s.Closes - now) / int64(time.Millisecond)
	}
	if u := s.Upgrade; u != nil {
		st.Upgrade, st.Ready = u.App.DeliveryMethod, u.Ready
	}
	if s.adding != nil {
		st.Progress = s.progress
	}
	return st
}

// watching says how a stream is watched. a.mu is held.
func (a *Agent) watching(s *session, st *wire.SessionState) {
	st.Up = s.Up != 0
	if !st.Up || a.Watching == nil {
		return
	}
	w := a.Watching(s.Holder.Session, s.Holder.Run)
	st.Viewers = w.Viewers
	if w.Viewers == 0 && !w.UnwatchedSince.IsZero() {
		st.UnwatchedSince = &w.UnwatchedSince
	}
	if !w.IdleAt.IsZero() {
		st.IdleAt = &w.IdleAt
	}
}

// apply does what the answer to the outstanding check-in says. sent is when that was
// sent. a.mu is held.
func (a *Agent) apply(m *wire.Answer, sent lease.Instant) error {
	if len(m.Keys) > 0 && string(m.Keys) != string(a.id.Keys) {
		if err := a.learn(m.Keys); err != nil {
			return err
		}
	}
	if m.JumpTo > a.number {
		a.number = m.JumpTo
	}
	if m.Token != "" {
		// On disk before the next request shows it.
		a.marks.Token, a.marks.Granted = m.Token, m.Number
		if err := a.saveMarks(); err != nil {
			return a.fail(err)
		}
	}
	if m.NextEpoch > a.journal.epoch {
		a.log.Warn("the server asks for a full report", "epoch", m.NextEpoch)
		if err := a.nextEpoch(m.NextEpoch); err != nil {
			return a.fail(err)
		}
	} else if m.Ack.Epoch == a.journal.epoch {
		if err := a.journal.acknowledged(m.Ack.Seq); err != nil {
			return a.fail(err)
		}
	}
	if m.Quarantined && !a.link.Quarantined {
		a.log.Error("this state folder was copied from, or to, another device: the server grants it nothing. Apps end with their leases. Enrol this device again, in a new folder")
	}
	a.link.Quarantined = m.Quarantined
	for _, l := range m.Leases {
		if err := a.accept(l, m.Number, sent); err != nil {
			return err
		}
	}
	for _, r := range m.Refusals {
		if err := a.refused(r); err != nil {
			return err
		}
	}
	for _, d := range m.Directives {
		if err := a.do(d); err != nil {
			return err
		}
	}
	return nil
}

// learn takes new signing keys.
func (a *Agent) learn(set json.RawMessage) error {
	var keys lease.Keys
	if err := json.Unmarshal(set, &keys); err != nil || len(keys) == 0 {
		a.log.Error("the server sent signing keys that cannot be read", "err", err)
		return nil
	}
	id := *a.id
	id.Keys = set
	if err := a.disk.write(identityFile, &id); err != nil {
		return a.fail(err)
	}
	a.id, a.keys = &id, keys
	return nil
}

// accept takes a lease, if it counts, and tells the guard.
func (a *Agent) accept(l wire.Lease, number uint64, sent lease.Instant) error {
	s := a.take(l, number, sent)
	if s == nil {
		return nil
	}
	s.Problem = ""
	if err := a.commit(s); err != nil {
		return err
	}
	s.direct()
	return nil
}

// take has a session hold a lease, if it is one and the rules let it count, and returns the
// session. One that is forged, foreign or late is logged and dropped.
func (a *Agent) take(l wire.Lease, number uint64, sent lease.Instant) *session {
	c, err := a.keys.Verify(l.Token, a.id.AgentID)
	if err != nil || c.Session != l.Session {
		a.log.Error("a lease was dropped: it is not one of this server for this device", "session", l.Session, "err", err)
		return nil
	}
	s := a.sessions[c.Session]
	if s == nil || s.Gone {
		a.log.Warn("a lease was dropped: its session is gone", "session", c.Session)
		return nil
	}
	end := sent + int64(c.Length())
	if err := s.Holder.Accept(c.Generation, c.Run, end, a.clock.now(), number); err != nil {
		a.log.Info("a lease was dropped", "session", c.Session, "generation", c.Generation, "run", c.Run, "err", err)
		return nil
	}
	s.Signed = l.Token
	return s
}

// refused ends the run that was refused, after its warnings.
func (a *Agent) refused(r wire.Refusal) error {
	s := a.sessions[r.Session]
	if s == nil || s.Gone || s.Closing && s.Reason == r.Message {
		return nil
	}
	a.log.Warn("the server grants no lease", "session", r.Session, "app", s.App.Name, "code", r.Code, "message", r.Message)
	if !s.Holder.Running || r.Run != s.Holder.Run && r.Run != 0 {
		if s.Problem == r.Message {
			return nil
		}
		s.Problem = r.Message
		return a.commit(s)
	}
	return a.close(s, r.Message)
}

// listen keeps the stream of hints open. One that is lost costs time only: after each, as
// much may have been missed as a check-in tells.
func (a *Agent) listen(ctx context.Context) {
	for failures := 0; ; {
		began := a.clock.now()
		err := a.server.Events(ctx, a.Wake)
		if ctx.Err() != nil {
			return
		}
		if time.Duration(a.clock.now()-began) > maxRetry {
			failures = 0
		}
		d := min(firstRetry<<min(failures, 20), maxRetry)
		failures++
		a.log.Debug("the stream of hints is lost", "err", err)
		if !a.sleep(ctx, time.Duration((0.5+math.Min(a.Rand(), 1))*float64(d)), nil) {
			return
		}
	}
}

// missing is what this host says of itself, as the server takes it.
func (a *Agent) missing() (list []string) {
	for _, line := range a.Missing[:min(len(a.Missing), wire.MaxMissing)] {
		if line = plain(strings.ReplaceAll(line, "\n", " ")); line != "" {
			list = append(list, line)
		}
	}
	return list
}
