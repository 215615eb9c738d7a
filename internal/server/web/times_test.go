package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/store"
)

// TestTimesOfPages: an address or a form with any time has an answer: the page, or what is
// not right about it.
func TestTimesOfPages(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	id := s.launch(app.ID, 0, false)
	b := s.as("olga")
	row := "/admin/sessions/" + itoa(id)
	for _, tt := range []struct {
		query string
		code  int
		says  string
		row   bool // the session is in the list
	}{
		{"to=9999-12-31", 200, "", true},
		{"from=0001-01-01", 200, "", true},
		{"from=0001-01-01&to=9999-12-31", 200, "", true},
		{"from=9999-12-31", 200, "", false},
		{"to=1969-12-31", 200, "", false},
		{"to=0001-01-01T00:00:00Z", 200, "", false},
		{"to=9999-12-31T23:59:59-01:00", 400, "To must be in the years 1 to 9999", false},
		{"from=0000-01-01", 400, "From must be in the years 1 to 9999", false},
		{"older_seconds=3153600000", 200, "", false},
		{"older_seconds=3153600001", 400, "must be at most 100 years", false},
		{"older_seconds=99999999999999999999", 400, "out of range", false},
		{"silent_seconds=9223372036854775807", 400, "must be at most 100 years", false},
		{"older_seconds=3600&as_of=1", 200, "", false},
		{"older_seconds=3153600000&as_of=1", 200, "", false},
		{"older_seconds=3600&as_of=253402300800", 400, "must be in the years 1 to 9999", false},
		{"older_seconds=3600&as_of=9223372036854775807", 400, "must be in the years 1 to 9999", false},
		{"page_size=9223372036854775807", 400, "must be between 1 and 500", false},
	} {
		a := b.get(sessionsPath + "?" + tt.query)
		if a.code != tt.code || !strings.Contains(a.body, tt.says) || tt.code == 200 && strings.Contains(a.body, row) != tt.row {
			t.Errorf("%s: %d, want %d %q and the session: %v", tt.query, a.code, tt.code, tt.says, tt.row)
		}
		if tt.code == 200 {
			for _, page := range []string{"/export", "/filter"} {
				q := tt.query
				if page == "/filter" {
					q += "&by=started"
				}
				if a := b.get(sessionsPath + page + "?" + q); a.code != 200 {
					t.Errorf("%s?%s: %d", page, q, a.code)
				}
			}
		}
	}
	// The dialog of an export offers the days as they were written.
	for _, zone := range []string{"UTC", "Pacific/Kiritimati", "America/Los_Angeles"} {
		_, err := s.c.UpdateSettings(t.Context(), s.root, func(set *control.Settings) error { set.TimeZone = zone; return nil })
		s.must(err)
		a := b.get(sessionsPath + "/export?from=0001-01-01&to=9999-12-31")
		if !strings.Contains(a.body, `value="0001-01-01"`) || !strings.Contains(a.body, `value="9999-12-31"`) {
			t.Errorf("in %s the dialog shows other days", zone)
		}
	}

	form := func(name, v string) url.Values {
		return url.Values{"name": {"P " + name + v}, "enabled": {"true"}, name: {v}}
	}
	for _, tt := range []struct{ name, value, says string }{
		{"starts_at", "0000-01-01T00:00", "Must be in the years 1 to 9999"},
		{"ends_at", "10000-01-01T00:00", "Must be a date and a time"},
		{"ends_at", "9999-12-31T23:59", ""},
		{"ends_at", "1970-01-01T00:00", ""},
		{"starts_at", "0001-01-01T00:00", ""},
	} {
		code := http.StatusOK // after the redirect
		if tt.says != "" {
			code = http.StatusUnprocessableEntity
		}
		if a := b.post(provisionsPath, form(tt.name, tt.value)); a.code != code || !strings.Contains(a.body, tt.says) {
			t.Errorf("%s %s: %d, want %d %q", tt.name, tt.value, a.code, code, tt.says)
		}
	}
	list, _, err := s.c.ListProvisions(t.Context(), "P ", store.Page{Size: 50})
	s.must(err)
	set := 0
	for _, p := range list {
		if !p.StartsAt.IsZero() || !p.EndsAt.IsZero() {
			set++
			if a := b.get(provisionsPath + "/" + itoa(p.ID)); a.code != 200 || !strings.Contains(a.body, p.Name[len(p.Name)-16:]) {
				t.Errorf("%s: %d, without its date", p.Name, a.code)
			}
		}
	}
	if set != 3 {
		t.Errorf("%d provisions have a date, want 3", set)
	}
	for _, page := range []string{provisionsPath, "/admin/settings", sessionsPath, row} {
		if a := b.get(page); a.code != 200 {
			t.Errorf("%s: %d", page, a.code)
		}
	}
}
