package calendar

import "time"

// The times that can be kept and written: RFC 3339 has the years 0 to 9999, and the first
// instant of year 1 is Go's zero time, which stands for none.
var (
	Earliest = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	Latest   = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// Moment returns a time that was given as it can be kept: in UTC, in whole microseconds. It
// reports whether that is in the years 1 to 9999. The first instants of year 1 and of 1970
// stand for none, in Go and in the databases; as somebody may give them, they become the
// microsecond after.
func Moment(t time.Time) (time.Time, bool) {
	t = t.UTC().Truncate(time.Microsecond)
	if t.IsZero() || t.UnixMicro() == 0 {
		t = t.Add(time.Microsecond)
	}
	return t, !t.Before(Earliest) && !t.After(Latest)
}

// Clamp returns a time that was reckoned, as the start of a day, as it can be kept: like
// Moment, but the closest one of those in the years 1 to 9999.
func Clamp(t time.Time) time.Time {
	switch t, ok := Moment(t); {
	case ok:
		return t
	case t.Before(Earliest):
		return Earliest
	default:
		return Latest
	}
}
