package host

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/wire"
)

// first is how long a session waits for its first viewer at least, since it is up or its
// host was started: a page needs a moment, whatever the reconnection window is.
const first = time.Minute

// near is how long before its end for want of use a session's page warns.
const near = 5 * time.Minute

// key names a run.
type key struct {
	session int64
	run     uint32
}

// watches are who watches which session, and how long nobody has. A host that was started
// anew counts from then: nobody loses time by its restart.
type watches struct {
	clock boottime.Clock
	mu    sync.Mutex
	runs  map[key]*watch
}

type watch struct {
	viewers   int
	seen      bool           // somebody has watched it
	unwatched boottime.Stamp // since when nobody watches
	used      boottime.Stamp // when it was last used
	idleAt    time.Time      // as last told
}

// ending is a session whose time has come.
type ending struct {
	session int64
	reason  string
}

func newWatches(c boottime.Clock) *watches { return &watches{clock: c, runs: map[key]*watch{}} }

// get returns the watch of a run, a new one as of now if there is none. w.mu is held.
func (w *watches) get(k key) *watch {
	x := w.runs[k]
	if x == nil {
		now := w.clock.Now()
		x = &watch{unwatched: now, used: now}
		w.runs[k] = x
	}
	return x
}

func (w *watches) join(session int64, run uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.get(key{session, run})
	x.viewers++
	x.seen = true
	x.used = w.clock.Now() // whoever comes back has not been idle
}

func (w *watches) leave(session int64, run uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.get(key{session, run})
	if x.viewers--; x.viewers == 0 {
		x.unwatched = w.clock.Now()
	}
}

func (w *watches) used(session int64, run uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.get(key{session, run}).used = w.clock.Now()
}

// of implements the Watching of [agent.Config].
func (w *watches) of(session int64, run uint32) agent.Watching {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.get(key{session, run})
	out := agent.Watching{Viewers: x.viewers, IdleAt: x.idleAt}
	if x.viewers == 0 {
		out.UnwatchedSince = x.unwatched.Wall
	}
	return out
}

// look returns the sessions whose time has come, and whether there is something that the
// server does not know yet. It forgets those that are not among the streams any more.
func (w *watches) look(streams []agent.StreamInfo) (over []ending, news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	live := map[key]bool{}
	for _, s := range streams {
		k := key{s.Session, s.Run}
		live[k] = true
		if !s.Up || s.Closing {
			continue
		}
		x := w.get(k)
		if reason := x.over(&s, now); reason != "" {
			over = append(over, ending{s.Session, reason})
			continue
		}
		var idle time.Time
		if left := x.idleIn(s.Stream, now); x.viewers > 0 && left > 0 && left <= near {
			// To the second, so that it stays the same while nothing changes.
			idle = now.Wall.Add(left).Round(time.Second)
		}
		if d := idle.Sub(x.idleAt); idle.IsZero() != x.idleAt.IsZero() || d.Abs() > 2*time.Second {
			x.idleAt, news = idle, true
		}
	}
	for k, x := range w.runs {
		if !live[k] && x.viewers == 0 {
			delete(w.runs, k)
		}
	}
	return over, news
}

// idleIn is how long it is until the session ends if nobody uses it; 0 if it never does.
func (x *watch) idleIn(s *wire.Stream, now boottime.Stamp) time.Duration {
	if s.IdleSeconds == 0 {
		return 0
	}
	return max(time.Duration(s.IdleSeconds)*time.Second-now.Sub(x.used), time.Millisecond)
}

// over says why the session ends now, "" if it goes on.
func (x *watch) over(s *agent.StreamInfo, now boottime.Stamp) string {
	window := time.Duration(s.Stream.ReconnectSeconds) * time.Second
	idle := time.Duration(s.Stream.IdleSeconds) * time.Second
	longest := time.Duration(s.Stream.MaxSeconds) * time.Second
	switch {
	case longest > 0 && s.UpFor >= longest:
		return fmt.Sprintf("it has lasted as long as it may, %s", words(longest))
	case x.viewers == 0 && !x.seen && now.Sub(x.unwatched) >= max(window, first):
		return fmt.Sprintf("nobody came within %s", words(max(window, first)))
	case x.viewers == 0 && x.seen && now.Sub(x.unwatched) >= window:
		return fmt.Sprintf("nobody came back within %s", words(window))
	case idle > 0 && now.Sub(x.used) >= idle:
		return fmt.Sprintf("nobody used it for %s", words(idle))
	}
	return ""
}

// words is a length of time in whole hours, minutes and seconds, as "1 h 30 min".
func words(d time.Duration) string {
	var out []string
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / u.of; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.of
		}
	}
	if len(out) == 0 {
		return "0 s"
	}
	return strings.Join(out, " ")
}
