package agent_test

import (
	"slices"
	"sync"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/wire"
)

// sent are the check-ins so far.
func (n *network) sent() []wire.CheckIn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.requests)
}

// deviceClock is the clock of a device in a bubble: it can be suspended, set and booted.
type deviceClock struct {
	mu     sync.Mutex
	boot   string
	at     time.Duration // how far the boot clock is ahead of the bubble's
	wall   time.Duration // … and the wall clock
	timers map[*deviceTimer]struct{}
}

type deviceTimer struct {
	at time.Duration
	t  *time.Timer
}

func newDeviceClock() *deviceClock {
	return &deviceClock{boot: "go", timers: map[*deviceTimer]struct{}{}}
}

func (c *deviceClock) Now() boottime.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *deviceClock) now() boottime.Stamp {
	s := boottime.Go.Now()
	return boottime.Stamp{Boot: c.boot, At: s.At + c.at, Wall: s.Wall.Add(c.wall)}
}

// AfterFunc stands still during suspend, as Go's timers do.
func (c *deviceClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// set sets the wall clock off by d.
func (c *deviceClock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

// suspend is a suspend of length d, in which nobody else's time passes.
func (c *deviceClock) suspend(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at += d
	c.wall += d
	for t := range c.timers {
		t.t.Reset(t.at - c.now().At)
	}
}

// reboot boots the device with its wall clock off by d.
func (c *deviceClock) reboot(boot string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot, c.wall = boot, d
	c.at = time.Second - boottime.Go.Now().At
}

// guards is the device's clock for fake guards, which have no loop that looks at it again
// after a suspend.
type guards struct{ *deviceClock }

func (c guards) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &deviceTimer{at: c.now().At + d}
	t.t = time.AfterFunc(d, func() {
		c.mu.Lock()
		delete(c.timers, t)
		c.mu.Unlock()
		f()
	})
	c.timers[t] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
		return t.t.Stop()
	}
}
