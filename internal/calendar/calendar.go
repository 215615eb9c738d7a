// Package calendar is the one place that knows days: when a day begins in a time zone, to
// which day a moment belongs, which period a range of days is, when a daily job is due.
// Everything else asks it, because midnight does not exist everywhere: in America/Santiago
// the clock goes from 23:59:59 on 5 September 2026 to 01:00 on the 6th, and in Pacific/Apia
// 30 December 2011 never was.
//
// The rules:
//
//   - A day begins at its first instant that exists: the first one at which the local clock
//     shows that date, or a later one.
//   - It ends where the next day begins. So the days of a zone are consecutive, cover all
//     time, and no moment belongs to two of them.
//   - A day that the zone skips is empty: it begins, and ends, where the next one begins.
//   - Where the clock goes back across midnight, as in America/St_Johns until 2011 (00:01 to
//     23:01), the new day has begun: the part of the evening that is repeated belongs to it.
//   - An hour of a day is reached at the first instant at which the local clock shows that
//     hour of that date, or anything later. An hour that is skipped is reached right after
//     the gap, one that is repeated the first time.
//
// The package embeds the tz database, so that zones work on machines without one.
package calendar

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // for machines that have no tz database
)

// Date is a day of the proleptic Gregorian calendar, in no zone.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Errors of ParseDate.
var (
	ErrDate = errors.New("not a date as 2026-03-31")
	ErrYear = errors.New("not a date in the years 1 to 9999")
)

// ParseDate reads a date as 2026-03-31. It returns ErrDate, or ErrYear for the year 0.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	switch {
	case err != nil:
		return Date{}, ErrDate
	case t.Year() < 1:
		return Date{}, ErrYear
	}
	return dateIn(t), nil
}

// DateOf returns the day that a moment belongs to in a zone.
func DateOf(t time.Time, zone *time.Location) Date {
	d := dateIn(t.In(zone))
	// The clock may have gone back to a day that is over.
	for next := d.AddDays(1); !next.Start(zone).After(t); next = d.AddDays(1) {
		d = next
	}
	return d
}

// dateIn is the date that the clock shows.
func dateIn(t time.Time) Date {
	var d Date
	d.Year, d.Month, d.Day = t.Date()
	return d
}

// String writes a date as 2026-03-31.
func (d Date) String() string { return d.Format(time.DateOnly) }

// Format writes a date by a layout of package time.
func (d Date) Format(layout string) string { return d.utc(0).Format(layout) }

// AddDays returns the date n days later; n may be negative.
func (d Date) AddDays(n int) Date { d.Day += n; return dateIn(d.utc(0)) }

// FirstOfMonth returns the first day of the date's month.
func (d Date) FirstOfMonth() Date { d.Day = 1; return d }

// Compare returns -1, 0 or 1 as d is before, the same as, or after e.
func (d Date) Compare(e Date) int { return d.utc(0).Compare(e.utc(0)) }

// utc is what a clock in UTC shows at an hour of the date.
func (d Date) utc(hour int) time.Time {
	return time.Date(d.Year, d.Month, d.Day, hour, 0, 0, 0, time.UTC)
}

// Start returns the first instant of the day in a zone, in UTC. That of a day which the
// zone skips is the start of the next one that exists.
func (d Date) Start(zone *time.Location) time.Time { return reached(d.utc(0), zone) }

// Exists reports whether the zone has the day.
func (d Date) Exists(zone *time.Location) bool {
	return d.Start(zone).Before(d.AddDays(1).Start(zone))
}

// At returns the instant at which an hour of the day, 0 to 23, is reached in a zone, in UTC.
func (d Date) At(hour int, zone *time.Location) time.Time { return reached(d.utc(hour), zone) }

// Range returns the period of the days from and to, both of them whole: from start, and
// before end, in UTC.
func Range(from, to Date, zone *time.Location) (start, end time.Time) {
	return from.Start(zone), to.AddDays(1).Start(zone)
}

// Next returns when a daily job that is due at an hour, 0 to 23, is due next: strictly after
// a moment, and once on each day that the zone has. It is in UTC.
func Next(after time.Time, hour int, zone *time.Location) time.Time {
	for d := DateOf(after, zone); ; d = d.AddDays(1) {
		if at := d.At(hour, zone); at.After(after) && d.Exists(zone) {
			return at
		}
	}
}

// Due returns the last day whose hour has been reached at a moment: the one that a daily job
// is to have run for by then.
func Due(now time.Time, hour int, zone *time.Location) Date {
	for d := DateOf(now, zone); ; d = d.AddDays(-1) {
		if !d.At(hour, zone).After(now) && d.Exists(zone) {
			return d
		}
	}
}

// furthest is more than any clock is ahead of or behind UTC.
const furthest = 48 * time.Hour

// reached returns the first instant at which a zone's clock shows what a clock in UTC shows
// at wall, or anything later. It goes through the periods between the zone's changes, in
// each of which the clock is a fixed time ahead, and so takes a few steps at most.
func reached(wall time.Time, zone *time.Location) time.Time {
	for from := wall.Add(-furthest); ; {
		local := from.In(zone)
		_, ahead := local.Zone()
		at := wall.Add(-time.Duration(ahead) * time.Second)
		if at.Before(from) {
			at = from
		}
		_, end := local.ZoneBounds()
		if end.IsZero() {
			return at
		}
		if end = end.UTC(); !end.After(from) {
			// On the last day of a leap year package time has an end that is past.
			end = from.Add(time.Hour)
		}
		if at.Before(end) {
			return at
		}
		from = end
	}
}

// Days is the length of a period of n days of 24 hours, which no calendar changes. It is for
// how long something is kept, not for when a day is over.
func Days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Zone returns a zone of the tz database by its name, as Europe/Berlin, or UTC. Neither no
// name nor Local, which is another zone on every machine, is one.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is not the name of a time zone", name)
	}
	return time.LoadLocation(name)
}
