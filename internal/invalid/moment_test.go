package invalid

import (
	"testing"
	"time"
)

// TestPeriod: days are those of the zone, whole, also where midnight or the whole day does
// not exist, and whatever is given can be kept.
func TestPeriod(t *testing.T) {
	for _, tt := range []struct{ zone, from, to, first, end string }{
		{"Europe/Berlin", "", "", "", ""},
		{"Europe/Berlin", "2026-03-31", "2026-03-31", "2026-03-30T22:00:00Z", "2026-03-31T22:00:00Z"},
		{"Europe/Berlin", "2026-03-29", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"Europe/Berlin", "2026-03-31T10:00:00+02:00", "2026-03-31T11:00:00+02:00", "2026-03-31T08:00:00Z", "2026-03-31T09:00:00Z"},
		{"Europe/Berlin", "2026-03-31T10:00:00+02:00", "2026-03-31", "2026-03-31T08:00:00Z", "2026-03-31T22:00:00Z"},
		{"America/Santiago", "2026-09-05", "2026-09-05", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"},
		{"America/Santiago", "2026-09-06", "2026-09-06", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"Pacific/Apia", "2011-12-29", "2011-12-31", "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"UTC", "", "9999-12-31", "", "9999-12-31T23:59:59.999999Z"},
		{"America/New_York", "9999-12-31", "9999-12-31", "9999-12-31T05:00:00Z", "9999-12-31T23:59:59.999999Z"},
		{"UTC", "0001-01-01", "", "0001-01-01T00:00:00.000001Z", ""},
		{"Pacific/Kiritimati", "0001-01-01", "", "0001-01-01T10:29:20Z", ""},
		{"Europe/Berlin", "0001-01-01", "", "0001-01-01T00:00:00.000001Z", ""},
		// Neither stands for no bound.
		{"UTC", "", "0001-01-01T00:00:00Z", "", "0001-01-01T00:00:00.000001Z"},
		{"UTC", "", "1969-12-31", "", "1970-01-01T00:00:00.000001Z"},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		var e Error
		first, end := e.Period(tt.from, tt.to, zone)
		if e.Err() != nil || text(first) != tt.first || text(end) != tt.end {
			t.Errorf("%s, from %q to %q: %s, %s, %v", tt.zone, tt.from, tt.to, text(first), text(end), e)
		}
	}
}

func text(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func TestBadPeriod(t *testing.T) {
	for _, tt := range []struct{ from, to, bad string }{
		{"today", "", "from"}, {"2026-02-30", "", "from"}, {"2026-03-31 10:00", "", "from"},
		{"0000-12-31", "", "from"}, {"", "0000-01-01", "to"}, {"", "10000-01-01", "to"},
		{"0000-01-01T00:00:00+14:00", "", "from"}, {"0001-01-01T00:30:00+01:00", "", "from"},
		{"", "9999-12-31T23:59:59-01:00", "to"},
		{"2026-03-31", "2026-03-30", "to"}, {"2026-03-31", "2026-03-31T00:00:00Z", "to"},
		{"2026-03-31T10:00:00Z", "2026-03-31T10:00:00Z", "to"}, {"2026-03-31T10:00:00Z", "2026-03-30", "to"},
	} {
		var e Error
		e.Period(tt.from, tt.to, time.UTC)
		if len(e) != 1 || e[0].Name != tt.bad {
			t.Errorf("from %q to %q: %v", tt.from, tt.to, e)
		}
	}
}

func TestTime(t *testing.T) {
	for s, bad := range map[string]bool{
		"2026-03-31T10:00:00+02:00": false, "0001-01-01T00:00:00Z": false, "9999-12-31T23:59:59Z": false,
		"9999-12-31T23:59:59-01:00": true, "0000-01-01T00:00:00+14:00": true,
	} {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		var e Error
		got := e.Time("ends_at", at)
		if (e.Err() != nil) != bad || bad != got.IsZero() || bad && e[0].Name != "ends_at" {
			t.Errorf("%s: %s, %v", s, got, e)
		}
		if _, err := got.MarshalJSON(); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}
