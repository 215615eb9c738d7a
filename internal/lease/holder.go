package lease

import (
	"errors"
	"fmt"
)

// Reasons an agent drops a lease that it received.
var (
	ErrRevoked  = errors.New("lease: its generation is revoked")
	ErrOtherRun = errors.New("lease: it is for another run")
	ErrLate     = errors.New("lease: it was asked for before a return or removal")
	ErrEnded    = errors.New("lease: it has already ended")
)

// Instant is a reading of the agent's lease clock, in nanoseconds: one that goes on
// while the machine is suspended and never goes back.
type Instant = int64

// Held is a lease as an agent keeps it on disk.
type Held struct {
	Generation uint64  `json:"generation"`
	Run        uint32  `json:"run,omitempty"` // 0 for a fixed licence
	End        Instant `json:"end"`           // the hard stop, on the agent's clock
}

// For reports whether the lease covers a run: a fixed one covers any.
func (h *Held) For(run uint32) bool { return h.Run == 0 || h.Run == run }

// Holder is what an agent keeps on disk of one session, and the rules by which it
// changes. Whoever changes it writes it to disk before telling anybody.
type Holder struct {
	Session int64  `json:"session"`
	Kind    Kind   `json:"kind"`
	Run     uint32 `json:"run"`     // number of the latest run, 0 before the first
	Running bool   `json:"running"` // that run is alive, as far as is known
	Mark    uint64 `json:"mark"`    // revocations stored when that run started
	Stored  uint64 `json:"stored"`  // generations up to this are revoked
	Seen    uint64 `json:"seen"`    // the highest generation ever received
	Fence   uint64 `json:"fence"`   // answers to check-ins up to this number bring no lease
	Lease   *Held  `json:"lease,omitempty"`
	// Unproved is until when a run that has ended may hold its lease all the same, because
	// nobody could prove that nothing of it is left; 0 if there is no such run.
	// UnprovedMark is the Mark of the earliest of them.
	Unproved     Instant `json:"unproved,omitempty"`
	UnprovedMark uint64  `json:"unproved_mark,omitempty"`

	Without Rule `json:"-"` // for tests; see Rule
}

// Start begins the next run and returns its number. A fixed lease that is held covers it
// at once; a floating one is for this run only and comes later.
// It fails while a run is alive: runs of a session are numbered, one at a time.
func (h *Holder) Start() (uint32, error) {
	if h.Running {
		return 0, fmt.Errorf("lease: run %d of session %d is still alive", h.Run, h.Session)
	}
	h.Run++
	h.Running, h.Mark = true, h.Stored
	return h.Run, nil
}

// Exit records that the current run is over. A floating lease goes with it, before the
// exit is reported.
func (h *Holder) Exit() {
	h.Running = false
	if h.Lease == nil {
		return
	}
	if h.Kind == Floating && !h.Without.Has(OneRun) || h.Lease.Generation <= h.Stored {
		h.Lease = nil
	}
}

// ExitUnproved records that the current run is over as far as anybody can see. Until the
// given moment something of it may be left: no revocation is acknowledged under which it may
// run, and the seat that it holds is not to be reported as free.
func (h *Holder) ExitUnproved(until Instant) {
	if !h.Without.Has(ProofBeforeFree) {
		if h.Unproved == 0 {
			h.UnprovedMark = h.Mark
		}
		h.UnprovedMark = min(h.UnprovedMark, h.Mark)
		h.Unproved = max(h.Unproved, until)
	}
	h.Exit()
}

// Prove records that nothing is left of any run that has ended.
func (h *Holder) Prove() { h.Unproved, h.UnprovedMark = 0, 0 }

// Revoke stores that generations up to upTo are revoked. It reports whether that is
// news, and whether the current run has to be ended.
func (h *Holder) Revoke(upTo uint64) (news, end bool) {
	if upTo <= h.Stored {
		return false, h.Running && h.Mark < h.Stored
	}
	h.Stored = upTo
	if h.Lease != nil && h.Lease.Generation <= upTo && (!h.Running || h.Without.Has(EndBeforeAck)) {
		h.Lease = nil
	}
	return true, h.Running && h.Mark < upTo
}

// Ended is the revocation that may be acknowledged: everything up to it is stored and
// nothing runs under it.
func (h *Holder) Ended() uint64 {
	ended := h.Stored
	if h.Running && h.Mark < h.Stored && !h.Without.Has(EndBeforeAck) {
		ended = h.Mark
	}
	if h.Unproved != 0 {
		ended = min(ended, h.UnprovedMark)
	}
	return ended
}

// GiveUp revokes what the agent itself holds, for a return or a removal. sent is the
// number of the last check-in sent: no answer to it or an earlier one brings a lease.
// It returns the revocation to report.
func (h *Holder) GiveUp(sent uint64) uint64 {
	h.Lease = nil
	upTo := max(h.Stored, h.Seen)
	if !h.Without.Has(FenceReturn) {
		h.Stored = upTo
		h.Fence = max(h.Fence, sent)
	}
	return upTo
}

// Accept takes a lease that came with the answer to check-in number sent. end is its end
// on the agent's clock, counted from sending that request.
// It returns one of the errors above, and changes nothing but Seen, if the lease is not
// to be used.
func (h *Holder) Accept(generation uint64, run uint32, end, now Instant, sent uint64) error {
	switch {
	case generation <= h.Stored && !h.Without.Has(IgnoreRevoked):
		return ErrRevoked
	case h.Running && h.Mark < generation-1 && !h.Without.Has(RunAfterRevocation):
		// The current run began before the revocation that made this generation.
		return ErrRevoked
	case sent <= h.Fence && h.Fence > 0:
		return ErrLate
	case h.Kind == Floating && (!h.Running || run != h.Run) && !h.Without.Has(OneRun):
		return ErrOtherRun
	case end <= now:
		return ErrEnded
	}
	h.Seen = max(h.Seen, generation)
	if h.Lease == nil || h.Lease.Generation < generation || h.Lease.Run != run || h.Lease.End < end {
		h.Lease = &Held{Generation: generation, Run: run, End: end}
	}
	return nil
}

// Covered reports whether the current run may go on at now: its lease is of a generation
// and run that count and has not ended.
func (h *Holder) Covered(now Instant) bool {
	l := h.Lease
	if !h.Running || l == nil || now >= l.End {
		return false
	}
	if l.Generation <= h.Stored && !h.Without.Has(IgnoreRevoked) {
		return false
	}
	return h.Kind == Fixed || l.Run == h.Run || h.Without.Has(OneRun)
}

// LeftMillis is how long the lease that is held goes on at now, in milliseconds; 0 if none
// is.
func (h *Holder) LeftMillis(now Instant) int64 {
	if h.Lease == nil {
		return 0
	}
	return max(0, h.Lease.End-now) / 1e6
}

// Lapse drops a lease that has ended by now. With its lease a run that may be left has no
// claim to a seat any more.
func (h *Holder) Lapse(now Instant) {
	if now >= h.Unproved {
		h.Prove()
	}
	if h.Lease != nil && now >= h.Lease.End {
		h.Lease = nil
	}
}
