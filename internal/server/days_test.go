package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// startedAt makes a session of an app of ann's that started then.
func (r *rig) startedAt(like int64, at time.Time) int64 {
	r.t.Helper()
	var id int64
	if err := r.s.Store.Update(r.t.Context(), func(tx store.Tx) error {
		s, err := tx.Session(like)
		if err != nil {
			return err
		}
		s = store.Clone(s)
		s.ID, s.StartedAt = 0, at
		err = tx.CreateSession(s)
		id = s.ID
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	return id
}

// TestSessionIsOfOneDay: a session belongs to the day on which it started, by the clock of
// the zone that is asked for, and to no other one: in the list, in an export and in a batch.
func TestSessionIsOfOneDay(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		app, _ := r.app("ann")
		var l launched
		r.want(201, &l, "POST", "/api/v1/launches", r.signIn("ann", password), map[string]any{"app_id": app})
		var days []string
		for d := range 4 {
			days = append(days, fmt.Sprintf("2026-09-%02d", 4+d), fmt.Sprintf("2026-10-%02d", 24+d), fmt.Sprintf("2026-03-%02d", 27+d))
		}
		days = append(days, "2011-12-28", "2011-12-29", "2011-12-30", "2011-12-31", "2012-01-01", "2010-11-06", "2010-11-07")
		for _, tt := range []struct{ zone, at, day string }{
			{"America/Santiago", "2026-09-05T22:30:00-04:00", "2026-09-05"},
			{"America/Santiago", "2026-09-05T23:30:00-04:00", "2026-09-05"},
			{"America/Santiago", "2026-09-06T01:00:00-03:00", "2026-09-06"}, // its first instant
			{"America/Santiago", "2026-09-06T01:30:00-03:00", "2026-09-06"},
			{"America/Santiago", "2026-09-06T23:30:00-03:00", "2026-09-06"},
			{"Europe/Berlin", "2026-10-25T02:30:00+02:00", "2026-10-25"},
			{"Europe/Berlin", "2026-10-25T02:30:00+01:00", "2026-10-25"},
			{"Europe/Berlin", "2026-10-25T23:59:59+01:00", "2026-10-25"},
			{"Atlantic/Azores", "2026-03-29T01:00:00Z", "2026-03-29"},
			{"Pacific/Apia", "2011-12-29T23:30:00-10:00", "2011-12-29"},
			{"Pacific/Apia", "2011-12-31T00:30:00+14:00", "2011-12-31"},
			{"America/St_Johns", "2010-11-07T00:00:30-02:30", "2010-11-07"},
		} {
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			id := r.startedAt(l.Session.ID, at)
			number := fmt.Sprintf(`"%d",`, id)
			var listed, exported, matched []string
			for _, day := range days {
				q := url.Values{"from": {day}, "to": {day}, "tz": {tt.zone}, "page_size": {"500"}}
				var list struct{ Sessions []ref }
				r.want(200, &list, "GET", "/api/v1/sessions?"+q.Encode(), r.token, nil)
				if slices.Contains(list.Sessions, ref{id}) {
					listed = append(listed, day)
				}
				q.Del("page_size")
				status, _, csv := r.do("GET", "/api/v1/sessions/export?"+q.Encode(), r.token, nil)
				if status != 200 {
					t.Fatalf("export: %d %s", status, csv)
				}
				if strings.Contains("\n"+string(csv), "\n"+number) {
					exported = append(exported, day)
				}
				var b struct{ ID int64 }
				r.want(200, &b, "POST", "/api/v1/sessions/batch", r.token, map[string]any{"action": "evict", "dry_run": true,
					"filter": map[string]any{"from": day, "to": day, "tz": tt.zone}})
				items := []store.BatchItem{}
				if err := r.s.Store.View(t.Context(), func(tx store.Tx) (err error) {
					items, err = tx.BatchItems(b.ID, "", 0, 500)
					return err
				}); err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(items, func(i store.BatchItem) bool { return i.Session == id }) {
					matched = append(matched, day)
				}
			}
			want := []string{tt.day}
			if !slices.Equal(listed, want) || !slices.Equal(exported, want) || !slices.Equal(matched, want) {
				t.Errorf("started %s in %s: listed on %v, exported on %v, in a batch on %v, want %s", tt.at, tt.zone, listed, exported, matched, tt.day)
			}
		}
	})
}

// TestEveryTimeThatEnters: a time that can be kept is taken, another one refused by its
// name, and whatever was taken can be written again.
func TestEveryTimeThatEnters(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		app, _ := r.app("ann")
		ann := r.signIn("ann", password)
		for range 2 {
			r.want(201, nil, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
		}
		count := func(q url.Values) int {
			t.Helper()
			var l struct{ Total struct{ Count int } }
			r.want(200, &l, "GET", "/api/v1/sessions?"+q.Encode(), r.token, nil)
			status, _, b := r.do("GET", "/api/v1/sessions/export?"+q.Encode(), r.token, nil)
			if n := strings.Count(string(b), "\n") - 1; status != 200 || n != l.Total.Count {
				t.Errorf("export of %v: %d, %d sessions, listed %d", q, status, n, l.Total.Count)
			}
			return l.Total.Count
		}
		for _, tt := range []struct {
			name, value, zone string
			want              int
		}{
			{"to", "9999-12-31", "", 2},
			{"to", "9999-12-31", "America/Los_Angeles", 2},
			{"from", "9999-12-31", "Pacific/Kiritimati", 0},
			{"to", "9999-12-31T23:59:59.9999999Z", "", 2},
			{"from", "0001-01-01", "", 2},
			{"from", "0001-01-01", "Europe/Berlin", 2},
			{"to", "0001-01-01", "America/Los_Angeles", 0},
			{"from", "0001-01-01T00:00:00Z", "", 2},
			{"to", "0001-01-01T00:00:00Z", "", 0}, // not: any
			{"from", "1970-01-01T00:00:00Z", "", 2},
			{"to", "1970-01-01T00:00:00Z", "", 0},
			{"to", "1969-12-31", "", 0},
		} {
			q := url.Values{tt.name: {tt.value}}
			if tt.zone != "" {
				q.Set("tz", tt.zone)
			}
			if n := count(q); n != tt.want {
				t.Errorf("%v: %d sessions, want %d", q, n, tt.want)
			}
			var b struct{ Total int }
			f := map[string]any{tt.name: tt.value}
			if tt.zone != "" {
				f["tz"] = tt.zone
			}
			r.want(200, &b, "POST", "/api/v1/sessions/batch", r.token, map[string]any{"action": "evict", "dry_run": true, "filter": f})
			if b.Total != tt.want {
				t.Errorf("%v: a batch of %d sessions, want %d", f, b.Total, tt.want)
			}
		}
		if skipped := count(url.Values{"from": {"2011-12-30"}, "to": {"2011-12-30"}, "tz": {"Pacific/Apia"}}); skipped != 0 {
			t.Errorf("%d sessions on a day that never was", skipped)
		}
		for name, values := range map[string][]string{
			"from": {"0000-12-31", "0000-01-01T00:00:00+14:00", "10000-01-01", "2026-02-30"},
			"to":   {"0000-01-01", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z"},
		} {
			for _, v := range values {
				r.field(name, "GET", "/api/v1/sessions?"+url.Values{name: {v}}.Encode(), nil)
				r.field(name, "GET", "/api/v1/sessions/export?"+url.Values{name: {v}}.Encode(), nil)
				r.field("filter."+name, "POST", "/api/v1/sessions/batch", map[string]any{"action": "evict", "filter": map[string]any{name: v}})
			}
		}
		// The moment that a page's token carries.
		for _, n := range []string{"-99999999999999", "253402300800", "9223372036854775807", "-9223372036854775808"} {
			r.field("page_token", "GET", "/api/v1/sessions?older_seconds=1&page_token="+n+".x", nil)
		}
		for _, n := range []string{"3153600001", "9223372036854775807", "92233720368547758070"} {
			for _, name := range []string{"older_seconds", "silent_seconds"} {
				r.field(name, "GET", "/api/v1/sessions?"+name+"="+n, nil)
				r.field("filter."+name, "POST", "/api/v1/sessions/batch", map[string]any{"action": "evict", "filter": map[string]any{name: json.Number(n)}})
			}
		}

		provision := map[string]any{"name": "P"}
		with := func(name, v string) map[string]any {
			p := maps.Clone(provision)
			p[name], p["name"] = v, "P "+name+" "+v
			return p
		}
		path := "/api/v1/provisions"
		var first ref
		r.want(201, &first, "POST", path, r.token, provision)
		one := fmt.Sprintf("%s/%d", path, first.ID)
		for name, values := range map[string][]string{
			"starts_at": {"0000-01-01T00:00:00+14:00", "0001-01-01T00:30:00+01:00", "9999-12-31T23:59:59-01:00"},
			"ends_at":   {"9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+14:00"},
		} {
			for _, v := range values {
				r.field(name, "POST", path, with(name, v))
				r.field(name, "PATCH", one, map[string]any{name: v})
			}
		}
		for name, values := range map[string][]string{
			"starts_at": {"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"},
			"ends_at":   {"0001-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "9999-12-31T23:59:59.999999Z"},
		} {
			for _, v := range values {
				var made, read map[string]any
				r.want(201, &made, "POST", path, r.token, with(name, v))
				r.want(200, &read, "GET", fmt.Sprintf("%s/%v", path, made["id"]), r.token, nil)
				at, _ := time.Parse(time.RFC3339, v)
				got, err := time.Parse(time.RFC3339, fmt.Sprint(read[name]))
				if made[name] != read[name] || err != nil || got.Sub(at).Abs() > time.Microsecond {
					t.Errorf("%s: %s was made as %v and is %v", name, v, made[name], read[name])
				}
				// Written back as it was read, it stays as it is.
				r.want(200, &made, "PATCH", one, r.token, map[string]any{name: read[name]})
				if made[name] != read[name] {
					t.Errorf("%s: %v written back is %v", name, read[name], made[name])
				}
				r.want(200, nil, "PATCH", one, r.token, map[string]any{"starts_at": nil, "ends_at": nil})
			}
		}
		var list struct{ Provisions []ref }
		r.want(200, &list, "GET", path, r.token, nil)
		if len(list.Provisions) != 8 { // the first two and six of the above
			t.Errorf("%d provisions", len(list.Provisions))
		}
	})
}

// TestTimesOfAHost: a host whose clock shows nonsense can report, and what it says of times
// is not taken over where that could not be written again.
func TestTimesOfAHost(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var u, a, d ref
		r.want(201, &u, "POST", "/api/v1/users", r.token, map[string]any{"username": "ann", "password": password})
		r.want(201, &a, "POST", "/api/v1/apps", r.token, map[string]any{"name": "Viewer"})
		r.want(201, &d, "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": a.ID, "name": "M", "kind": "stream", "stream": map[string]any{"geometry": "1280x800", "reconnect_seconds": 3600, "idle_seconds": 3600, "max_seconds": 43200},
			"packages": []any{map[string]any{"type": "command", "command": []string{"true"}}}})
		r.want(201, nil, "POST", "/api/v1/provisions", r.token, map[string]any{"name": "P", "user_ids": []int64{u.ID}, "delivery_method_ids": []int64{d.ID}})
		host := r.agent(wire.Host)
		number := 0
		say := func(sessions ...any) {
			t.Helper()
			number++
			r.want(200, nil, "POST", wire.PathCheckIn, host, map[string]any{"v": 1, "number": number, "epoch": 1, "complete": true, "slots": 4, "sessions": sessions})
		}
		say()
		var l launched
		r.want(201, &l, "POST", "/api/v1/launches", r.signIn("ann", password), map[string]any{"app_id": a.ID})
		for _, at := range []string{"9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1970-01-01T00:00:07Z"} {
			say(map[string]any{"session": l.Session.ID, "state": "running", "run": 1, "guard": true, "up": true, "unwatched_since": at, "idle_at": at})
			var s struct {
				Status    string
				Unwatched *time.Time `json:"unwatched_since"`
			}
			r.want(200, &s, "GET", fmt.Sprintf("/api/v1/sessions/%d", l.Session.ID), r.token, nil)
			if s.Status != "connected" || s.Unwatched != nil && time.Since(*s.Unwatched).Abs() > time.Minute {
				t.Errorf("%s: %+v", at, s)
			}
			r.want(200, nil, "GET", fmt.Sprintf("/api/v1/sessions/%d/outlook", l.Session.ID), r.token, nil)
			r.want(200, nil, "GET", "/api/v1/sessions", r.token, nil)
		}
	})
}
