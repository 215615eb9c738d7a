package boottime_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/agent/boottime"
)

func TestSystemClock(t *testing.T) {
	a := boottime.Now()
	b := boottime.Now()
	if a.At <= 0 || b.Before(a) {
		t.Errorf("boot clock does not go forward: %v then %v", a, b)
	}
	if !a.SameBoot(b) {
		t.Errorf("two boots in one process: %q, %q", a.Boot, b.Boot)
	}
	if a.IsZero() || !(boottime.Stamp{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestSub(t *testing.T) {
	wall := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := boottime.Stamp{Boot: "x", At: time.Hour, Wall: wall}
	// Somebody set the wall clock back by a day: the boot clock decides.
	b := boottime.Stamp{Boot: "x", At: 2 * time.Hour, Wall: wall.Add(-24 * time.Hour)}
	if got := b.Sub(a); got != time.Hour {
		t.Errorf("same boot: %v, want 1h", got)
	}
	c := boottime.Stamp{Boot: "y", At: time.Minute, Wall: wall.Add(3 * time.Hour)}
	if got := c.Sub(a); got != 3*time.Hour {
		t.Errorf("other boot: %v, want 3h", got)
	}
}

func TestGoClockObeysSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := boottime.Go.Now()
		called := make(chan time.Duration, 1)
		boottime.Go.AfterFunc(time.Hour, func() { called <- boottime.Go.Now().Sub(start) })
		if got := <-called; got != time.Hour {
			t.Errorf("called after %v, want 1h", got)
		}
	})
}

func TestManual(t *testing.T) {
	clock := boottime.NewManual(boottime.Stamp{Boot: "m"})
	var got []time.Duration
	note := func() { got = append(got, clock.Now().At) }
	clock.AfterFunc(3*time.Second, note)
	clock.AfterFunc(time.Second, func() {
		note()
		clock.AfterFunc(time.Second, note)
	})
	stop := clock.AfterFunc(2*time.Second, note)
	if !stop() || stop() {
		t.Error("stop must report true once")
	}
	clock.Advance(5 * time.Second)
	if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("called at %v, want %v", got, want)
	}
	if clock.Now().At != 5*time.Second {
		t.Errorf("clock stands at %v", clock.Now().At)
	}
}
