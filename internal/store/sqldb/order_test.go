package sqldb

import (
	"testing"
	"time"

	"leasehold/internal/session"
)

// TestDurationSort: the column that durations are sorted by says of a session what its
// duration is at any moment from its start on.
func TestDurationSort(t *testing.T) {
	start := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for _, end := range []time.Time{{}, start, start.Add(90 * time.Minute), start.Add(time.Microsecond), start.Add(-time.Hour)} {
		s := &session.Session{StartedAt: start, EndedAt: end}
		for _, later := range []time.Duration{0, time.Second, 1000 * time.Hour} {
			now, d := start.Add(later), durationSortOf(s)
			if d < 0 {
				d += micros(now)
			}
			if want := s.Duration(now).Microseconds(); d != want {
				t.Errorf("ended at %v, at %v: %d µs, want %d", end, now, d, want)
			}
			if h := half(!end.IsZero()); (durationSortOf(s) >= 0) != bool(h) {
				t.Errorf("ended at %v: in the other half", end)
			}
		}
	}
}

// TestHalves: every status is in one half, and of a set only those of a half are looked for
// there, so that no page walks a half in which nothing can match.
func TestHalves(t *testing.T) {
	for _, kind := range []session.Kind{session.Device, session.Stream} {
		all := set{statusRanges(session.Statuses(kind))}
		if n := all.of(open).values() + all.of(ended).values(); n != all.values() {
			t.Errorf("%s: the halves have %d statuses of %d", kind, n, all.values())
		}
	}
	running := set{statusRanges([]session.Status{session.Running})}
	if running.of(open).values() != 1 || running.of(ended).values() != 0 {
		t.Error("what runs has not ended")
	}
	user := &ranges{column: "user_id", ids: []int64{7}}
	if got := (set{user, running[0]}).of(ended); len(got) != 1 || got[0] != user {
		t.Errorf("a user's sessions may have ended: %+v", got)
	}
}
