package calendar_test

import (
	"testing"
	"time"

	"leasehold/internal/calendar"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := calendar.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func date(t *testing.T, s string) calendar.Date {
	t.Helper()
	d, err := calendar.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestStart: a day begins at its first instant that exists and ends where the next begins.
func TestStart(t *testing.T) {
	for _, tt := range []struct{ zone, day, start string }{
		{"UTC", "2026-03-31", "2026-03-31T00:00:00Z"},
		{"Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z"},
		{"Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z"},
		{"America/Santiago", "2026-09-05", "2026-09-05T04:00:00Z"},
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"}, // 01:00
		{"America/Santiago", "2026-09-07", "2026-09-07T03:00:00Z"},
		{"America/Santiago", "2026-04-04", "2026-04-04T03:00:00Z"}, // of 25 hours
		{"America/Santiago", "2026-04-05", "2026-04-05T04:00:00Z"},
		{"Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"}, // skipped
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},
		{"America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z"}, // a minute later 23:01 again
		{"Europe/Berlin", "0001-01-01", "0000-12-31T23:06:32Z"},
		{"America/New_York", "9999-12-31", "9999-12-31T05:00:00Z"},
	} {
		if got := date(t, tt.day).Start(zone(t, tt.zone)).Format(time.RFC3339); got != tt.start {
			t.Errorf("%s in %s begins at %s, want %s", tt.day, tt.zone, got, tt.start)
		}
	}
}

// TestDateOf: a moment, as the clock shows it, belongs to one day.
func TestDateOf(t *testing.T) {
	for _, tt := range []struct{ zone, at, day string }{
		{"America/Santiago", "2026-09-05T22:30:00-04:00", "2026-09-05"},
		{"America/Santiago", "2026-09-05T23:30:00-04:00", "2026-09-05"},
		{"America/Santiago", "2026-09-06T01:30:00-03:00", "2026-09-06"},
		{"America/Santiago", "2026-09-06T23:30:00-03:00", "2026-09-06"},
		{"America/Santiago", "2026-04-04T23:30:00-03:00", "2026-04-04"}, // twice
		{"America/Santiago", "2026-04-04T23:30:00-04:00", "2026-04-04"},
		{"Europe/Berlin", "2026-10-25T02:30:00+02:00", "2026-10-25"},
		{"Europe/Berlin", "2026-10-25T02:30:00+01:00", "2026-10-25"},
		{"Pacific/Apia", "2011-12-29T23:30:00-10:00", "2011-12-29"},
		{"Pacific/Apia", "2011-12-31T00:30:00+14:00", "2011-12-31"},
		{"America/St_Johns", "2010-11-06T23:30:00-02:30", "2010-11-06"},
		{"America/St_Johns", "2010-11-07T00:00:30-02:30", "2010-11-07"},
		{"America/St_Johns", "2010-11-06T23:30:00-03:30", "2010-11-07"}, // again: the new day has begun
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		z := zone(t, tt.zone)
		d := calendar.DateOf(at, z)
		if d.String() != tt.day {
			t.Errorf("%s in %s is of %s, want %s", tt.at, tt.zone, d, tt.day)
		}
		for n := -2; n <= 2; n++ {
			start, end := calendar.Range(d.AddDays(n), d.AddDays(n), z)
			if in := !at.Before(start) && at.Before(end); in != (n == 0) {
				t.Errorf("%s in %s: in the period of %s: %v", tt.at, tt.zone, d.AddDays(n), in)
			}
		}
	}
}

func TestNext(t *testing.T) {
	for _, tt := range []struct {
		zone, after string
		hour        int
		next        string
	}{
		{"UTC", "2026-03-31T01:59:59Z", 2, "2026-03-31T02:00:00Z"},
		{"UTC", "2026-03-31T02:00:00Z", 2, "2026-04-01T02:00:00Z"},
		{"UTC", "9999-12-31T02:00:00Z", 2, "10000-01-01T02:00:00Z"},
		{"Europe/Berlin", "2026-03-29T00:00:00Z", 2, "2026-03-29T01:00:00Z"}, // 02:00 is skipped: 03:00
		{"Europe/Berlin", "2026-10-24T22:30:00Z", 2, "2026-10-25T00:00:00Z"}, // 02:00 comes twice
		{"Europe/Berlin", "2026-10-25T00:30:00Z", 2, "2026-10-26T01:00:00Z"},
		{"America/Santiago", "2026-09-05T12:00:00Z", 0, "2026-09-06T04:00:00Z"},
		{"America/Santiago", "2026-09-06T04:00:00Z", 0, "2026-09-07T03:00:00Z"},
		{"America/Santiago", "2026-09-05T12:00:00Z", 2, "2026-09-06T05:00:00Z"},
		{"Pacific/Apia", "2011-12-29T13:00:00Z", 2, "2011-12-30T12:00:00Z"}, // of the 31st: the 30th is skipped
	} {
		after, err := time.Parse(time.RFC3339, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := calendar.Next(after, tt.hour, zone(t, tt.zone)).Format("2006-01-02T15:04:05Z"); got != tt.next {
			t.Errorf("%s, after %s at %d: %s, want %s", tt.zone, tt.after, tt.hour, got, tt.next)
		}
	}
}

func TestParseDate(t *testing.T) {
	for _, bad := range []string{"", "2026-02-30", "2026-3-1", "0000-12-31", "10000-01-01", "-001-01-01", "2026-03-31T00:00"} {
		if d, err := calendar.ParseDate(bad); err == nil {
			t.Errorf("%q is %s", bad, d)
		}
	}
	d := date(t, "2026-03-31")
	if got := d.AddDays(-31).String() + " " + d.FirstOfMonth().String() + " " + d.AddDays(300).String(); got != "2026-02-28 2026-03-01 2027-01-25" {
		t.Error(got)
	}
	if got := date(t, "9999-12-31").AddDays(1).Compare(d); got != 1 {
		t.Error(got)
	}
}

// TestMoment: what is kept is in the years 1 to 9999 in UTC, and is never taken for none.
func TestMoment(t *testing.T) {
	for _, tt := range []struct {
		at   string
		want string // "" where it cannot be kept
	}{
		{"2026-03-31T10:00:00.1234567+02:00", "2026-03-31T08:00:00.123456Z"},
		{"9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"},
		{"9999-12-31T23:59:59-01:00", ""},
		{"0000-01-01T00:00:00+14:00", ""},
		{"0001-01-01T00:30:00+01:00", ""},
		{"0000-12-31T23:30:00-01:00", "0001-01-01T00:30:00Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000001Z"},
		{"1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00.000001Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := calendar.Moment(at)
		if ok != (tt.want != "") || ok && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%s: %s, %v", tt.at, got.Format(time.RFC3339Nano), ok)
		}
		if _, ok := calendar.Moment(calendar.Clamp(at)); !ok {
			t.Errorf("%s: clamped to %s", tt.at, calendar.Clamp(at))
		}
		if _, err := calendar.Clamp(at).MarshalJSON(); err != nil {
			t.Error(err)
		}
	}
}

func TestZone(t *testing.T) {
	for _, bad := range []string{"", "Local", "Mars/Olympus", "../etc/passwd"} {
		if z, err := calendar.Zone(bad); err == nil {
			t.Errorf("%q is %s", bad, z)
		}
	}
}
