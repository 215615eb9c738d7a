package agent

import (
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/lease"
)

// leaseClock counts leases across boots: within one by the boot clock, which no one can
// set; from one to the next by wall time, but never from before the latest moment that
// this agent has known. What stays undetectable is a machine that was off while somebody
// set its clock back.
type leaseClock struct {
	clock boottime.Clock
	from  boottime.Stamp // a moment of this boot
	at    lease.Instant  // what the clock stood at then
}

// clockMark is what the disk keeps of the clock.
type clockMark struct {
	From boottime.Stamp `json:"from"`
	At   lease.Instant  `json:"at"`
	High lease.Instant  `json:"high"` // the high-water mark, of wall time and of the clock itself
}

func newLeaseClock(c boottime.Clock, m clockMark) leaseClock {
	now := c.Now()
	if !m.From.IsZero() && m.From.SameBoot(now) && now.At >= m.From.At {
		return leaseClock{clock: c, from: m.From, at: m.At}
	}
	return leaseClock{clock: c, from: now, at: max(now.Wall.UnixNano(), m.High)}
}

// now is the present moment.
func (c leaseClock) now() lease.Instant { return c.instant(c.clock.Now()) }

// instant is a moment of this boot on the clock of leases.
func (c leaseClock) instant(s boottime.Stamp) lease.Instant {
	return c.at + int64(s.At-c.from.At)
}

// stamp is a moment of the clock of leases as guards count it.
func (c leaseClock) stamp(i lease.Instant) boottime.Stamp {
	now := c.clock.Now()
	return now.Add(time.Duration(i - c.instant(now)))
}

// wrong is how far the wall clock may lie behind the clock of leases.
const wrong = time.Minute

// time is when something happened, for reports: by the wall clock, unless that has been
// set back, as after a dead battery, behind what this agent has known. What the next boot
// reports of the last has only its wall time.
func (c leaseClock) time(s boottime.Stamp) time.Time {
	if s.SameBoot(c.from) {
		if t := time.Unix(0, c.instant(s)).UTC(); s.Wall.Before(t.Add(-wrong)) {
			return t
		}
	}
	return s.Wall
}

// mark is what the disk is to keep.
func (c leaseClock) mark() clockMark {
	now := c.clock.Now()
	return clockMark{From: c.from, At: c.at, High: max(c.instant(now), now.Wall.UnixNano())}
}
