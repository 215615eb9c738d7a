package lease

import (
	"errors"
	"math"
	"time"
)

// Time is lease time: microseconds that the servers' lease clock has counted since it was
// first started. It is a counter, not a date: no wall clock enters it, it stands still
// while no node is up, and two of its values are only ever compared with each other. The
// zero Time means "none". See docs/adr/0004.
type Time int64

// Add returns the moment d after t. d is cut to whole microseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Microsecond) }

// Sub returns how long after u the moment t is.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Forever is a moment that is never reached.
const Forever Time = math.MaxInt64

// Boot is a reading of a server's own boot-time clock: the time since its machine was
// started, suspend included (CLOCK_BOOTTIME). Readings of two machines have nothing to do
// with each other.
type Boot = time.Duration

// Nonce names one state of the clock's row. A new one is drawn at random with each write,
// because a counter would repeat after a restore. 0 is no nonce.
type Nonce int64

// Row is the lease clock as its row in the database holds it.
type Row struct {
	Mark  Time
	Nonce Nonce
}

const (
	// Period is the time from the answer to a node's tick to its next tick. It is never
	// caught up: with two nodes a fixed grid starves the clock.
	Period = time.Second
	// MaxStep is S, the most that one tick adds: what a node can wrongly add if a row of
	// before is restored under its connection. It is part of every lease's margin.
	MaxStep = 2 * time.Second
	// MaxAge is G, the oldest reading that a node signs by. A node whose reading is older
	// grants nothing, renewals included.
	MaxAge = 10 * time.Second
)

// ErrNoReading: this node cannot tell the latest lease time at the moment, because it has
// just started, lost its connection, or was not answered for [MaxAge]. It grants nothing
// until it can, which takes two answered ticks.
var ErrNoReading = errors.New("lease: this server cannot read the lease clock at the moment; try again in a second")

// Readings are what one node keeps of the clock's row: of the last nonce that it saw, two
// readings of its own boot-time clock. They belong to one connection: a new connection
// starts with zero Readings. Only ticks change them.
//
// With w the moment of the row's last write and C(t) = mark + (t − w), every look gives
// E ≤ C ≤ L, and for the looks of any two nodes E(t2) − L(t1) ≤ t2 − t1. So a lease whose
// end was signed by L is certainly over when E has reached that end. The search over all
// histories of two nodes is in clock_explore_test.go.
type Readings struct {
	nonce Nonce
	seen  Boot // taken after the answer that first showed nonce; for an own write, after the commit's answer
	look  Boot // taken before the last look that showed nonce
	older Boot // taken before nonce was written, if known
	known bool // older is known
}

// Step returns what a tick sent at x is to write: how much the mark advances, if the row
// still has the nonce was. add 0 means that the tick only looks. maxStep is MaxStep but
// for tests.
func (r *Readings) Step(x Boot, maxStep time.Duration) (add time.Duration, was Nonce) {
	if r.nonce == 0 || x-r.seen < Period/2 {
		return 0, r.nonce
	}
	return min(x-r.seen, maxStep), r.nonce
}

// Looked records the answer to a tick that wrote nothing: the row has the nonce n. x was
// taken before the look was sent, after after its answer.
func (r *Readings) Looked(n Nonce, x, after Boot) {
	switch {
	case n == r.nonce:
		r.look = x
	case r.nonce == 0:
		*r = Readings{nonce: n, seen: after, look: x}
	default:
		*r = Readings{nonce: n, seen: after, look: x, older: r.look, known: true}
	}
}

// Wrote records that this node's tick wrote the nonce n, and that its commit was answered.
// x was taken before the write was sent, after after the commit's answer.
func (r *Readings) Wrote(n Nonce, x, after Boot) {
	*r = Readings{nonce: n, seen: after, look: x, older: x, known: true}
}

// At reads lease time from a look that showed row. now is taken after the look. The
// readings count only for exactly the nonce that the look shows: those of a later nonce
// would make the latest reading too early.
func (r *Readings) At(row Row, now Boot, without Rule) (earliest, latest Time, ok bool) {
	earliest = row.Mark
	if !r.known || r.nonce != row.Nonce && !without.Has(ExactNonce) || now-r.older > MaxAge {
		return earliest, 0, false
	}
	return earliest, row.Mark.Add(now - r.older), true
}

// Stale reports whether a look that showed row found another nonce than the last tick did,
// so that a new tick may give the reading that At misses.
func (r *Readings) Stale(row Row) bool { return r.nonce != row.Nonce }

// Now is one look at the two clocks: at lease time for leases, seats, orders and duties,
// and at the wall clock for what people read.
type Now struct {
	Wall     time.Time // UTC, to the microsecond
	Earliest Time      // E: what is free, over or due is judged by it
	Latest   Time      // L: what is signed ends by it; 0 while Signs is false
	Signs    bool      // Latest is known, so that leases can be granted
}

// Shown is a lease time as people read it: that much from now, by the wall clock. It is
// reckoned from the latest reading, which goes on between ticks where the earliest stands,
// or from the earliest while that is all that is known. The zero time for none.
func (n Now) Shown(t Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return n.Wall.Add(t.Sub(max(n.Earliest, n.Latest)))
}

// After is the moment that is certainly d from now or later.
// It returns ErrNoReading while the latest reading is not known.
func (n Now) After(d time.Duration) (Time, error) {
	if !n.Signs {
		return 0, ErrNoReading
	}
	return n.Latest.Add(d), nil
}

// About is d from now where no lease depends on it: by the latest reading, or by the
// earliest while that is all that is known.
func (n Now) About(d time.Duration) Time { return max(n.Earliest, n.Latest).Add(d) }
