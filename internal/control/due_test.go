package control

import (
	"testing"
	"time"
)

// TestNextHousekeeping: the next run is one that truly comes: not on a day that was done
// already, whatever its hour is now, and at once where a day was missed.
func TestNextHousekeeping(t *testing.T) {
	for _, tt := range []struct {
		name, zone, now string
		hour            int
		last            string // the day that was done last
		due, next       string
	}{
		{"done today", "UTC", "2026-03-10T02:00:30Z", 2, "2026-03-10", "2026-03-10", "2026-03-11T02:00:00Z"},
		{"before its hour", "UTC", "2026-03-10T01:59:00Z", 2, "2026-03-09", "2026-03-09", "2026-03-10T02:00:00Z"},
		{"its hour has come", "UTC", "2026-03-10T02:00:00Z", 2, "2026-03-09", "2026-03-10", "2026-03-10T02:00:00Z"},
		{"a day was missed, before its hour", "UTC", "2026-03-10T01:00:00Z", 2, "2026-03-08", "2026-03-09", "2026-03-10T01:00:00Z"},
		{"never run", "UTC", "2026-03-10T01:00:00Z", 2, "", "2026-03-09", "2026-03-10T01:00:00Z"},
		{"done today, then put to a later hour", "UTC", "2026-03-10T10:00:00Z", 15, "2026-03-10", "2026-03-09", "2026-03-11T15:00:00Z"},
		{"to be done today, then put to an earlier hour", "UTC", "2026-03-10T10:00:00Z", 2, "2026-03-09", "2026-03-10", "2026-03-10T10:00:00Z"},
		{"another zone's day", "Asia/Tokyo", "2026-03-10T16:30:00Z", 2, "2026-03-10", "2026-03-10", "2026-03-10T17:00:00Z"},
		{"an hour that a day does not have", "Europe/Berlin", "2026-03-29T00:30:00Z", 2, "2026-03-28", "2026-03-28", "2026-03-29T01:00:00Z"},
		{"an hour that a day has twice", "Europe/Berlin", "2026-10-25T01:30:00Z", 2, "2026-10-25", "2026-10-25", "2026-10-26T01:00:00Z"},
		{"a midnight that does not exist", "America/Santiago", "2026-09-05T12:00:00Z", 0, "2026-09-05", "2026-09-05", "2026-09-06T04:00:00Z"},
		{"the day before one without midnight", "America/Santiago", "2026-09-05T12:00:00Z", 2, "2026-09-05", "2026-09-05", "2026-09-06T05:00:00Z"},
		{"the day without midnight", "America/Santiago", "2026-09-06T12:00:00Z", 2, "2026-09-06", "2026-09-06", "2026-09-07T05:00:00Z"},
		{"a day that does not exist", "Pacific/Apia", "2011-12-29T12:30:00Z", 2, "2011-12-29", "2011-12-29", "2011-12-30T12:00:00Z"},
		{"done for a day of another zone", "UTC", "2026-03-10T12:00:00Z", 2, "2026-03-11", "2026-03-10", "2026-03-12T02:00:00Z"},
		{"the clock was far ahead", "UTC", "2026-03-10T12:00:00Z", 2, "9999-12-30", "2026-03-10", "9999-12-31T02:00:00Z"},
		{"the clock was set back", "UTC", "2026-03-10T05:00:00Z", 2, "2026-03-12", "2026-03-10", "2026-03-13T02:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Settings{HousekeepingHour: tt.hour, TimeZone: tt.zone}
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			if day := s.due(now).String(); day != tt.due {
				t.Errorf("due %s, want %s", day, tt.due)
			}
			if next := s.nextHousekeeping(now, tt.last).Format(time.RFC3339); next != tt.next {
				t.Errorf("next %s, want %s", next, tt.next)
			}
		})
	}
}
