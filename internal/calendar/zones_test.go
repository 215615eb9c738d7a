package calendar_test

import (
	"archive/zip"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/calendar"
)

// zones returns every zone of the tz database that comes with Go, with one name of those
// that are alike.
func zones(t *testing.T) map[string]*time.Location {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out, known := map[string]*time.Location{}, map[string]bool{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name, "/") || known[string(data)] {
			continue
		}
		known[string(data)] = true
		if out[f.Name], err = time.LoadLocationFromTZData(f.Name, data); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	if len(out) < 300 {
		t.Fatalf("%d zones", len(out))
	}
	return out
}

// TestEveryZone holds the calendar, in every zone of the tz database, around every change
// of its clock from 2000 to 2040, to a walk that looks at the clock minute by minute.
func TestEveryZone(t *testing.T) {
	var wg sync.WaitGroup
	turn := make(chan struct{}, 4)
	var mu sync.Mutex
	changes := 0
	for name, zone := range zones(t) {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			n := 0
			for _, at := range clockChanges(zone) {
				if !walkAround(t, name, zone, at) {
					break
				}
				n++
			}
			mu.Lock()
			changes += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if changes < 10_000 {
		t.Errorf("only %d changes of clocks were walked through", changes)
	}
}

// clockChanges returns, to six hours, when a zone's clock changes, and the ends of some
// years, at which package time has rules of its own.
func clockChanges(zone *time.Location) (out []int64) {
	const step = 6 * 3600
	begin, end := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	was := ahead(begin, zone)
	for s := begin; s < end; s += step {
		if now := ahead(s, zone); now != was {
			out, was = append(out, s), now
		}
	}
	for _, year := range []int{2000, 2024, 2025, 2040} {
		out = append(out, time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC).Unix())
	}
	return out
}

func ahead(unix int64, zone *time.Location) int64 {
	_, n := time.Unix(unix, 0).In(zone).Zone()
	return int64(n)
}

const day = 86400

// dateOf is the date of a number of days since 1970.
func dateOf(days int64) calendar.Date {
	t := time.Unix(days*day, 0).UTC()
	return calendar.Date{Year: t.Year(), Month: t.Month(), Day: t.Day()}
}

// walkAround walks from two days before a moment to a day and a half after it.
func walkAround(t *testing.T, name string, zone *time.Location, around int64) bool {
	begin, end := around-around%60-2*day, around+36*3600
	ok := true
	is := func(what string, got, want any) {
		if got != want {
			t.Errorf("%s, around %s: %s: %v, want %v", name, time.Unix(around, 0).In(zone), what, got, want)
			ok = false
		}
	}
	first := (begin + ahead(begin, zone)) / day // of the days that are seen whole
	reached := map[int64]int64{}                // hours since 1970 on the local clock: when
	latest := begin + ahead(begin, zone)        // that the local clock has shown
	for s := begin; s < end; s += 60 {
		local := s + ahead(s, zone)
		for h := latest/3600 + 1; h <= local/3600; h++ {
			reached[h] = s
		}
		changed := local/day > latest/day
		latest = max(latest, local)
		if d := latest / day; d > first && (changed || s%(47*60) == 0) {
			is("the day of "+time.Unix(s, 0).UTC().String(), calendar.DateOf(time.Unix(s, 59e9), zone), dateOf(d))
			is("the day a moment before "+time.Unix(s, 0).UTC().String(), calendar.DateOf(time.Unix(s, -1), zone) == dateOf(d), !changed)
		}
	}
	last := latest / day
	for d := first + 1; d <= last; d++ {
		date := dateOf(d)
		is("start of "+date.String(), date.Start(zone).Unix(), reached[d*24])
		if d == last {
			break
		}
		is("end of "+date.String(), date.AddDays(1).Start(zone).Unix(), reached[(d+1)*24])
		is(date.String()+" exists", date.Exists(zone), reached[d*24] < reached[(d+1)*24])
		for h := range int64(24) {
			is("an hour of "+date.String(), date.At(int(h), zone).Unix(), reached[d*24+h])
		}
	}
	// A daily job runs once on each day that there is.
	for _, hour := range []int{0, 1, 2, 12, 23} {
		at := dateOf(first + 1).Start(zone).Add(-time.Nanosecond)
		for d := first + 1; d < last; d++ {
			want, exists := reached[d*24+int64(hour)], reached[d*24] < reached[(d+1)*24]
			if !exists {
				continue
			}
			at = calendar.Next(at, hour, zone)
			is("next run on "+dateOf(d).String(), at.Unix(), want)
			is("due then", calendar.Due(at, hour, zone), dateOf(d))
			is("due a moment before", calendar.Due(at.Add(-1), hour, zone).Compare(dateOf(d)), -1)
		}
	}
	return ok
}
