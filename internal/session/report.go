package session

import (
	"time"

	"leasehold/internal/lease"
)

// ObservationType is what an agent observed.
type ObservationType string

const (
	ObsAdded         ObservationType = "added"          // the app is in the player
	ObsStarted       ObservationType = "started"        // a run began: Run, Mark
	ObsExited        ObservationType = "exited"         // the run is over, every process gone unless Unproved: Run
	ObsRevoked       ObservationType = "revoked"        // a revocation is stored: UpTo
	ObsWarned        ObservationType = "warned"         // the user was warned: Run, Seconds before closing
	ObsRenewalAsked  ObservationType = "renewal_asked"  //
	ObsUpgradeAsked  ObservationType = "upgrade_asked"  //
	ObsUpgradePutOff ObservationType = "upgrade_putoff" // the user put the upgrade off
	ObsReturned      ObservationType = "returned"       // the lease was given back: UpTo
	ObsRemoved       ObservationType = "removed"        // the app was removed from the player: UpTo
	ObsUp            ObservationType = "up"             // streams: the display and the app are up
	ObsTold          ObservationType = "told"           // the user was shown the messages up to UpTo
)

// Observation is one entry of an agent's journal about a session.
type Observation struct {
	Type    ObservationType
	Run     uint32
	Mark    uint64
	UpTo    uint64
	Seconds int
	Reason  string
	// Unproved: of an exit, return or removal, that something of a run may be left all the
	// same. It frees nothing; the lease's end does.
	Unproved bool
	Method   int64     // started: the delivery method of what runs, 0 for the session's
	At       time.Time // when it really happened, never after now
}

// Source is who reports, and how far it is to be believed.
type Source struct {
	Agent       Actor
	Quarantined bool // a copied state folder: its reports free nothing
	Unproved    bool // what is reported as over may not be: it frees nothing
	Without     lease.Rule
}

// Observe applies one journal entry. It is never refused: it sets what is observed, and
// moves the status only where the table has an arrow.
func (s *Session) Observe(o Observation, src Source) {
	at := o.At
	src.Unproved = o.Unproved && !src.Without.Has(lease.ProofBeforeFree)
	switch o.Type {
	case ObsAdded:
		if s.Observed == IsAbsent {
			s.see(IsIdle, at)
		}
		s.fire(EvAdded, src.Agent, at, "")
		s.flag(at)
	case ObsStarted:
		s.started(o.Run, o.Mark, o.Method, at, src)
	case ObsExited:
		s.exited(o.Run, at, src, o.Reason)
		if src.Without.Has(lease.OldNewsClosesNothing) && s.Order.Open() {
			s.Order.ClosedAt, s.Order.ClosedBy = at, ByAgent
		}
	case ObsRevoked:
		s.stored(o.UpTo, at)
	case ObsWarned:
		// A warning of the old lease's end counts too: the user has been told.
		if s.Order != nil && o.Run == s.Run && s.Order.WarnedAt.IsZero() && s.Stored >= s.Order.UpTo {
			s.Order.WarnedAt = later(at, s.Order.RequestedAt)
		}
	case ObsRenewalAsked:
		s.fire(EvRenewalAsked, src.Agent, at, "")
	case ObsUpgradeAsked:
		if o.Method != 0 && !s.wantsUpgrade(o.Method) {
			return
		}
		s.fire(EvUpgradeAsked, src.Agent, at, "")
	case ObsUpgradePutOff:
		s.fire(EvUpgradeRefused, Actor{Role: User}, at, "put off")
	case ObsReturned:
		s.Wanted = max(s.Wanted, o.UpTo)
		s.stored(o.UpTo, at)
		s.LastActivityAt = later(s.LastActivityAt, at)
		s.free(src)
	case ObsRemoved:
		s.removed(o.UpTo, at, src)
	case ObsTold:
		s.Shown(uint32(min(o.UpTo, uint64(s.Said))), at)
	case ObsUp:
		if s.Kind == Stream && o.Run >= s.Run {
			s.started(max(o.Run, 1), o.Mark, 0, at, src)
			s.cameUp(src.Agent, at)
		}
	}
}

// stored notes that the agent has stored the revocations up to a generation. Whether the app
// had exited by then is what the journal said before: its order holds where the clocks of
// agent and server differ.
func (s *Session) stored(upTo uint64, at time.Time) {
	s.Stored = max(s.Stored, upTo)
	if o := s.Order; o != nil && s.Stored >= o.UpTo && o.DeliveredAt.IsZero() {
		o.DeliveredAt, o.Already = later(at, o.RequestedAt), s.Observed != IsRunning
	}
}

func (s *Session) see(o State, at time.Time) {
	if s.Observed != o {
		s.Observed, s.ObservedSince = o, at
		s.hush() // what waited was for the run before
	}
}

func (s *Session) started(run uint32, mark uint64, method int64, at time.Time, src Source) {
	if run < s.Run || run == s.Run && s.Observed == IsRunning {
		return // an older run, or one known already
	}
	s.fire(EvAdded, src.Agent, at, "")
	s.Run, s.Mark, s.RunMethod = run, mark, method
	if method == 0 {
		s.RunMethod = s.DeliveryMethodID
	}
	if s.Observed == IsRunning {
		s.ObservedSince = at // the next run began while the last one's end went unheard
	}
	s.see(IsRunning, at)
	if s.FirstRunAt.IsZero() {
		s.FirstRunAt = at
	}
	s.LastActivityAt = later(s.LastActivityAt, at)
	if s.covered() {
		s.fire(EvStarted, src.Agent, at, "")
	}
}

// covered reports whether the lease out covers the run observed.
func (s *Session) covered() bool {
	l := s.Lease
	return l != nil && l.Generation > s.Wanted && s.Mark >= l.Generation-1 && (l.Kind == lease.Fixed || l.Run == s.Run)
}

func (s *Session) exited(run uint32, at time.Time, src Source, reason string) {
	if run < s.Run || s.Observed != IsRunning {
		return
	}
	if s.Kind == Stream {
		s.ended(src.Agent, at, reason)
	}
	s.fire(EvExited, src.Agent, at, reason)
	if s.Kind == Stream && s.Status.Ended() && at.Before(s.EndedAt) {
		// Its lease's end, or an administrator, had ended it before its host told when it did.
		s.EndedAt = later(at, s.StartedAt)
	}
	s.see(IsIdle, at)
	s.LastActivityAt = later(s.LastActivityAt, at)
	if s.Lease != nil && s.Lease.Kind == lease.Floating && s.Lease.Run <= run {
		s.free(src)
	}
	s.flag(at)
}

func (s *Session) removed(upTo uint64, at time.Time, src Source) {
	if s.Observed == IsRunning {
		s.exited(s.Run, at, src, "") // a run is ended first
	}
	s.fire(EvAdded, src.Agent, at, "")
	s.see(IsAbsent, at)
	s.Wanted = max(s.Wanted, upTo)
	s.stored(upTo, at)
	s.fire(EvRemoved, src.Agent, at, "")
	s.free(src)
}

// free takes the lease back: its seat is free.
func (s *Session) free(src Source) {
	if !src.Quarantined && !src.Unproved {
		s.Lease = nil
	}
}

// Snapshot is what an agent says of one session in a check-in, after its journal entries.
type Snapshot struct {
	State  State
	Run    uint32
	Mark   uint64
	Stored uint64        // revocations stored
	Ended  uint64        // … and nothing runs under them
	Seen   uint64        // the highest generation it ever received
	Closes time.Duration // in how long its guard closes the app because of an order; 0 if it does not
	Guard  bool          // a guard of that run is alive, or something of a run may be, whatever the journal knows
	Holds  bool          // it holds a lease of its current generation and run
	Left   time.Duration // … and how long that goes on by its own count; negative if it does not say

	RunMethod      int64     // the delivery method of what the current run runs
	Upgrade        int64     // the delivery method whose version it asks to run from the next start on
	Ready          bool      // … whose package is there
	Up             bool      // of a stream: its display and app are up
	Viewers        int       // of a stream
	UnwatchedSince time.Time // of a stream, zero while it is watched
	IdleAt         time.Time // of a stream: see Session

	Told uint32 // up to which message its user was shown them

	Progress int    // percent of the package that is being added
	Problem  string // what keeps the app from being added, started or upgraded
}

// Reconcile applies what an agent says of the session now, as the chain of arrows that
// leads there. It frees what the agent acknowledges, and closes the order.
func (s *Session) Reconcile(snap Snapshot, at lease.Now, src Source) {
	now := at.Wall
	// The agent may have revoked by itself (a return, a removal), and may be ahead of a
	// restored database: what it has seen is never granted again.
	s.Wanted = max(s.Wanted, snap.Stored)
	if snap.Seen > 0 {
		s.Wanted = max(s.Wanted, snap.Seen-1)
	}
	if snap.Stored > s.Stored {
		s.Observe(Observation{Type: ObsRevoked, UpTo: snap.Stored, At: now}, src)
	}
	if snap.Told <= s.Said {
		s.Shown(snap.Told, now)
	} else {
		s.Said = snap.Told // a restored database: whether what it knows was shown nobody can tell
		s.hush()
	}
	guard := snap.Guard && !src.Without.Has(lease.GuardBeforeAbsent)
	switch snap.State {
	case IsRunning:
		s.started(snap.Run, snap.Mark, snap.RunMethod, now, src)
	case IsIdle:
		s.Observe(Observation{Type: ObsAdded, At: now}, src)
		if !guard {
			s.exited(snap.Run, now, src, "")
		}
	case IsAbsent:
		if snap.Problem != "" {
			s.cannotStart(src.Agent, now, snap.Problem)
		}
		if s.Status != Launched && s.Status != Starting && !guard {
			s.removed(0, now, src)
		}
	}
	s.Progress, s.Problem = snap.Progress, snap.Problem
	s.watched(snap, now, src)
	if s.wantsUpgrade(snap.Upgrade) {
		s.fire(EvUpgradeAsked, src.Agent, now, "")
	}
	if src.Quarantined {
		return
	}
	if o := s.Order; o.Open() && snap.Closes > 0 && snap.State == IsRunning && snap.Stored >= o.UpTo && snap.Mark < o.UpTo {
		o.answered(snap.Closes, at)
	}
	s.Ended = max(s.Ended, min(snap.Ended, snap.Stored))
	if l := s.Lease; l != nil {
		gone := snap.State != IsRunning && !guard && l.Kind == lease.Floating
		if gone || l.Generation <= s.Ended {
			s.Lease = nil
		}
	}
	s.settle(at, src.Without)
	s.flag(now)
}
