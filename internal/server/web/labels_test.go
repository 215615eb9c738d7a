package web

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

var (
	labelled = regexp.MustCompile(`<label for="([a-z0-9._]+)">([^<]+)`)
	apiWord  = regexp.MustCompile(`\b[a-z]+_[a-z_]+\b|\b(stream|licence|packages)\.[a-z0-9]`)
	tag      = regexp.MustCompile(`<[^>]*>`)
)

// TestLabelsAreThePages: what messages call a field is what its form calls it.
func TestLabelsAreThePages(t *testing.T) {
	s := newSite(t)
	s.app("MATLAB")
	s.device("LAB-204")
	h := s.streams()
	olga := s.as("olga")
	seen := 0
	for _, path := range []string{"/admin/apps/new", "/admin/delivery-methods/new", "/admin/provisions/new", "/admin/users/new", "/admin/groups/new", "/admin/settings",
		"/admin/devices/1", "/admin/hosts/" + num(h.host), "/admin/delivery-methods/1"} {
		a := olga.get(path).is(200)
		for _, m := range labelled.FindAllStringSubmatch(a.body, -1) {
			name, want := m[1], strings.TrimSpace(html.UnescapeString(m[2]))
			got := labelOf(name)
			if l := labels["settings."+name]; path == "/admin/settings" && l != "" {
				got = l
			}
			if got != want {
				t.Errorf("%s: messages call %s %q, the form calls it %q", path, name, got, want)
			}
			seen++
		}
	}
	if seen < 40 {
		t.Errorf("only %d labels were seen", seen)
	}
}

// TestMessagesUseLabels: no message on a page has a name of the API.
func TestMessagesUseLabels(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	olga := s.as("olga")
	method := vals("app_id", num(app.ID), "name", "x", "kind", "stream", "heartbeat_seconds", "10 s", "stream.geometry", "big", "stream.pool", strings.Repeat("x", 101),
		"stream.reconnect_seconds", "99 d", "packages", "1", "packages.0.type", "archive", "packages.0.command", "x")
	for _, x := range []struct {
		a    *answer
		says string
	}{
		{olga.post("/admin/provisions", vals("name", "x", "starts_at", "2026-09-01T08:00", "ends_at", "2026-08-01T08:00")), "Must be after “Begins”."},
		{olga.post("/admin/provisions", vals("name", "x", "delivery_method_ids", "999")), "999 is not a delivery method"},
		{olga.post("/admin/delivery-methods", method), "Must be width x height"},
		{olga.get("/admin/sessions?app_id=x&older_seconds=99999999999999"), "App must be a whole number. Started must be at most 100 years."},
		{olga.get("/admin/sessions?status=nonsense"), "Status "},
		{olga.get("/admin/sessions?page_size=9999"), "Page size must be between"},
		{olga.get("/admin/sessions?sort=nonsense"), "Order "},
		{olga.post("/admin/settings", vals("force_seconds", "9 d", "wait_seconds", "1", "heartbeat_seconds", "1 s", "time_zone", "Nowhere")), "Must be between 1 s and 10 min."},
	} {
		x.a.has(x.says)
		text := tag.ReplaceAllString(x.a.main(), " ")
		if i := strings.Index(x.a.body, "<main"); i >= 0 {
			text = html.UnescapeString(tag.ReplaceAllString(x.a.body[i:], " "))
		}
		if w := apiWord.FindString(text); w != "" {
			t.Errorf("%s: speaks of %q", x.a.path, w)
		}
	}
}

func TestFieldNames(t *testing.T) {
	for _, x := range []struct {
		record any
		field  string
		want   string
	}{{&directory.Provision{}, "Name", "Name"}, {&directory.Provision{}, "StartsAt", "Begins"}, {&directory.Provision{}, "DeliveryMethodIDs", "Delivery methods"},
		{&directory.Provision{}, "Ownership", "Devices"}, {&store.Agent{}, "Ownership", "Whose it is"}, {&catalog.DeliveryMethod{}, "HeartbeatSeconds", "Heartbeat"},
		{&catalog.DeliveryMethod{}, "SuccessorID", "Successor"}, {&control.Settings{}, "HeartbeatSeconds", "Default heartbeat"}, {&control.Settings{}, "HistoryDays", "History"},
		{&directory.User{}, "GroupIDs", "Groups"}, {&directory.Provision{}, "Exceptions", "Exceptions"}} {
		if got := fieldName(x.record, x.field); got != x.want {
			t.Errorf("%T.%s: %q, want %q", x.record, x.field, got, x.want)
		}
	}
}
