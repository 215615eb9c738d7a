// Package boottime is the clock of leases on the device: it counts from the
// boot of the machine and goes on while the machine is suspended, so neither
// a closed lid nor a wall clock that somebody sets back makes an app live
// longer than its lease.
//
// A moment is a [Stamp]: which boot, how long after it, and, for people and
// for reports, the wall time. Stamps of one boot are compared by the boot
// clock; stamps of two boots can only be compared by wall time.
//
//   - Linux: CLOCK_BOOTTIME; the boot is /proc/sys/kernel/random/boot_id.
//   - macOS: CLOCK_MONOTONIC_RAW, which is mach_continuous_time there and goes
//     on during sleep; the boot is kern.bootsessionuuid.
//   - Windows: GetTickCount64, which counts sleep and hibernation, in steps of
//     10 to 16 ms; the boot is the counter that the prefetcher keeps in the
//     registry. After "fast start-up" it is still the same boot.
//   - other systems: CLOCK_MONOTONIC, which may stand still during suspend.
//
// Go's own timers stand still during suspend on Linux, so whoever waits for a
// Stamp must look at the clock again at least every [Recheck].
package boottime

import (
	"sync"
	"time"
)

// Recheck is the longest that a waiter may sleep before it compares the boot
// clock again: the delay that a suspend can add to a deadline.
const Recheck = time.Second

// Stamp is a moment on this machine's boot clock. The zero Stamp means "none".
type Stamp struct {
	Boot string        `json:"boot"` // which boot; empty if the system does not tell
	At   time.Duration `json:"at"`   // nanoseconds since that boot, time of suspend included
	Wall time.Time     `json:"wall"` // the wall clock at the same moment, UTC
}

// IsZero reports whether s is no moment at all.
func (s Stamp) IsZero() bool { return s.Boot == "" && s.At == 0 && s.Wall.IsZero() }

// Add returns the moment d after s.
func (s Stamp) Add(d time.Duration) Stamp {
	return Stamp{Boot: s.Boot, At: s.At + d, Wall: s.Wall.Add(d)}
}

// Sub returns s-t: by the boot clock if both are of one boot, by wall time
// otherwise.
func (s Stamp) Sub(t Stamp) time.Duration {
	if s.SameBoot(t) {
		return s.At - t.At
	}
	return s.Wall.Sub(t.Wall)
}

// Before reports whether s lies before t, as [Stamp.Sub] compares them.
func (s Stamp) Before(t Stamp) bool { return s.Sub(t) < 0 }

// SameBoot reports whether both stamps are of one boot of the machine.
func (s Stamp) SameBoot(t Stamp) bool { return s.Boot == t.Boot }

// Clock tells the time and calls back. [System] is the real one; tests and
// simulated agents use [Go] or a [Manual].
type Clock interface {
	// Now returns the present moment.
	Now() Stamp
	// AfterFunc calls f in its own goroutine once d has passed, and returns a
	// function that prevents the call; it reports whether it was in time.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// System is the machine's boot clock. Its AfterFunc may be late by the length
// of a suspend: its callers look at Now again and re-arm.
var System Clock = system{}

type system struct{}

func (system) Now() Stamp {
	return Stamp{Boot: bootID(), At: sinceBoot(), Wall: time.Now().UTC().Round(0)}
}

func (system) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// Now is System.Now.
func Now() Stamp { return System.Now() }

// bootID does not change while a process lives.
var bootID = sync.OnceValue(readBootID)

// Go is a clock made of package time alone, which therefore obeys
// testing/synctest. Its boot is called "go".
var Go Clock = goClock{}

type goClock struct{}

// The epoch is fixed so that stamps taken inside and outside of a synctest
// bubble are on one scale.
var goEpoch = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func (goClock) Now() Stamp {
	now := time.Now().UTC().Round(0)
	return Stamp{Boot: "go", At: now.Sub(goEpoch), Wall: now}
}

func (goClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// Manual is a clock that stands still until [Manual.Advance] moves it.
type Manual struct {
	mu     sync.Mutex
	now    Stamp
	timers map[*manualTimer]struct{}
}

type manualTimer struct {
	at time.Duration
	f  func()
}

// NewManual returns a clock that stands at start.
func NewManual(start Stamp) *Manual {
	return &Manual{now: start, timers: make(map[*manualTimer]struct{})}
}

// Now returns the moment at which the clock stands.
func (m *Manual) Now() Stamp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// AfterFunc implements [Clock]; f is called by Advance, in its goroutine.
func (m *Manual) AfterFunc(d time.Duration, f func()) func() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &manualTimer{at: m.now.At + max(d, 0), f: f}
	m.timers[t] = struct{}{}
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		_, pending := m.timers[t]
		delete(m.timers, t)
		return pending
	}
}

// Advance moves the clock by d and calls what falls due, in order of time,
// with the clock standing at each one's moment; it returns when all have
// returned.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	end := m.now.At + d
	for {
		var due *manualTimer
		for t := range m.timers {
			if t.at <= end && (due == nil || t.at < due.at) {
				due = t
			}
		}
		if due == nil {
			break
		}
		delete(m.timers, due)
		if due.at > m.now.At {
			m.now = m.now.Add(due.at - m.now.At)
		}
		m.mu.Unlock()
		due.f()
		m.mu.Lock()
	}
	m.now = m.now.Add(end - m.now.At)
	m.mu.Unlock()
}
