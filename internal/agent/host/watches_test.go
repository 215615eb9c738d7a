package host

import (
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/wire"
)

// TestWatches: when a session ends by itself, and what is told of it meanwhile.
func TestWatches(t *testing.T) {
	start := boottime.Stamp{Boot: "b", At: time.Hour, Wall: time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)}
	for _, tt := range []struct {
		name   string
		stream wire.Stream
		// do is what happens, once a second; it is over at second after, with a reason, or
		// after ten minutes not at all.
		do     func(w *watches, second int)
		after  int
		reason string
	}{
		{"nobody comes", wire.Stream{ReconnectSeconds: 300}, nil, 300, "nobody came within 5 min"},
		{"nobody comes, and no window", wire.Stream{}, nil, 60, "nobody came within 1 min"},
		{"nobody comes back", wire.Stream{ReconnectSeconds: 90}, func(w *watches, n int) {
			switch n {
			case 10:
				w.join(1, 1)
			case 20:
				w.leave(1, 1)
			}
		}, 110, "nobody came back within 1 min 30 s"},
		{"a reload", wire.Stream{ReconnectSeconds: 30}, func(w *watches, n int) {
			switch n {
			case 10, 45, 70:
				w.join(1, 1)
			case 40, 50:
				w.leave(1, 1)
			}
		}, 0, ""},
		{"one of two stays", wire.Stream{ReconnectSeconds: 5}, func(w *watches, n int) {
			switch n {
			case 1, 2:
				w.join(1, 1)
			case 10:
				w.leave(1, 1)
			}
		}, 0, ""},
		{"without a window the last to leave ends it", wire.Stream{}, func(w *watches, n int) {
			switch n {
			case 3:
				w.join(1, 1)
			case 30:
				w.leave(1, 1)
			}
		}, 30, "nobody came back within 0 s"},
		{"nobody uses it", wire.Stream{ReconnectSeconds: 300, IdleSeconds: 120}, func(w *watches, n int) {
			switch n {
			case 5:
				w.join(1, 1)
			case 100:
				w.used(1, 1)
			}
		}, 220, "nobody used it for 2 min"},
		{"as long as it may", wire.Stream{ReconnectSeconds: 300, MaxSeconds: 400}, func(w *watches, n int) {
			w.used(1, 1)
			if n == 5 {
				w.join(1, 1)
			}
		}, 400, "it has lasted as long as it may, 6 min 40 s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := boottime.NewManual(start)
			w := newWatches(clock)
			info := agent.StreamInfo{Session: 1, Run: 1, Stream: &tt.stream}
			w.look([]agent.StreamInfo{info}) // it is not up yet: nothing counts
			clock.Advance(time.Hour)
			info.Up = true
			for n := range 600 {
				if tt.do != nil {
					tt.do(w, n)
				}
				info.UpFor = time.Duration(n) * time.Second
				over, _ := w.look([]agent.StreamInfo{info})
				if len(over) > 0 {
					if n != tt.after || over[0].reason != tt.reason || tt.reason == "" {
						t.Errorf("over after %d s: %q, want %d s: %q", n, over[0].reason, tt.after, tt.reason)
					}
					return
				}
				clock.Advance(time.Second)
			}
			if tt.reason != "" {
				t.Error("it goes on")
			}
		})
	}
}

// TestWatchesTell: the server learns of viewers, and of an end for want of use once that is
// near and not each second anew.
func TestWatchesTell(t *testing.T) {
	clock := boottime.NewManual(boottime.Stamp{Boot: "b", At: time.Hour, Wall: time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)})
	w := newWatches(clock)
	streams := []agent.StreamInfo{{Session: 1, Run: 1, Up: true, Stream: &wire.Stream{ReconnectSeconds: 60, IdleSeconds: 600}}}
	w.look(streams)
	if got := w.of(1, 1); got.Viewers != 0 || got.UnwatchedSince.IsZero() {
		t.Errorf("unwatched: %+v", got)
	}
	w.join(1, 1)
	told := 0
	for range 590 {
		if _, news := w.look(streams); news {
			told++
		}
		clock.Advance(time.Second)
	}
	got := w.of(1, 1)
	if told != 1 || got.Viewers != 1 || !got.UnwatchedSince.IsZero() || got.IdleAt.Sub(clock.Now().Wall).Round(time.Second) != 10*time.Second {
		t.Errorf("told %d times; %+v, now %v", told, got, clock.Now().Wall)
	}
	w.used(1, 1)
	if _, news := w.look(streams); !news || !w.of(1, 1).IdleAt.IsZero() {
		t.Errorf("used again: told %v, %+v", news, w.of(1, 1))
	}
	w.leave(1, 1)
	w.look(nil)
	if len(w.runs) != 0 {
		t.Errorf("kept of what is over: %v", w.runs)
	}
}
