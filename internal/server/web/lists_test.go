package web

import (
	"fmt"
	"strings"
	"testing"
)

// TestSearchSaysWhat: a search box says what it looks at, and the sessions' finds what it says.
func TestSearchSaysWhat(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	here := s.launch(app.ID, lab, true)
	for range 3 {
		s.launch(app.ID, 0, false)
	}
	olga := s.as("olga")
	const hint = "App, user, provision, device, status or number"
	olga.get("/admin/sessions").has(`placeholder="`+hint+`"`, `aria-label="Search: `)
	olga.get("/admin/streams").has(`placeholder="App, user, provision, host, status or number"`)
	for path, what := range map[string]string{"apps": "Search app names", "devices": "Search device names", "hosts": "Search host names", "delivery-methods": "Search delivery method names",
		"provisions": "Search provision names", "users": "Search names, user names, email", "groups": "Search group names"} {
		olga.get("/admin/" + path).has(`placeholder="` + what + `"`)
	}
	for _, q := range []string{"lab-204", num(here), "%23" + num(here)} {
		a := olga.get("/admin/sessions?q=" + q).is(200).has(fmt.Sprintf(`id="s%d"`, here))
		if n := strings.Count(a.body, "<tr id="); n != 1 {
			t.Errorf("%s finds %d sessions", q, n)
		}
	}

	// Reset stands beside the filters, and leads to the list without any.
	olga.get("/admin/sessions").has(`<span class="toggle off" aria-disabled="true">Reset</span>`)
	olga.get("/admin/sessions?q=lab&status=running&history=true&sort=user&page_size=25").has(`<a class="toggle" href="/admin/sessions?page_size=25&amp;sort=user" data-list>Reset</a>`)
	olga.get("/admin/streams?username=ann").has(`<a class="toggle" href="/admin/streams" data-list>Reset</a>`)
}

// TestListsOnAPhone: what a cell is stands beside it where the table has no head; nothing
// shows at the page's corner, and the page has the window's whole width.
func TestListsOnAPhone(t *testing.T) {
	s := newSite(t)
	s.organisation()
	s.streams()
	w := s.window()
	for _, width := range []int64{390, 1440} {
		w.Look(width, "light")
		for path, labels := range map[string]string{
			"/admin/sessions": "App on Since", "/admin/devices": "Last seen System Player", "/admin/hosts": "Last seen Status Pool", "/admin/apps": "Description Status Made",
			"/admin/users": "", "/admin/groups": "", "/admin/provisions": "", "/admin/delivery-methods": "", "/admin/audit": "", "/admin/streams": "",
		} {
			w.Open(path)
			w.Picture(fmt.Sprintf("list%s-%d", strings.ReplaceAll(path, "/", "-"), width))
			want := labels
			if width > 640 {
				want = ""
			}
			shown := w.Text(`[...document.querySelector('tbody tr:not(:has(.w-dev .none))')?.cells ?? []].filter((c) => c.dataset.label && c.offsetParent && getComputedStyle(c, '::before').content.startsWith('"' + c.dataset.label)).map((c) => c.dataset.label).join(' ')`)
			if labels != "" && shown != want || width > 640 && shown != "" {
				t.Errorf("%s at %d: the cells are labelled %q, want %q", path, width, shown, want)
			}
			if got := w.Text(`getComputedStyle(document.querySelector('.skip')).boxShadow`); got != "none" {
				t.Errorf("%s: the skip link has the shadow %s while it is away", path, got)
			}
			if got := w.Text(`getComputedStyle(document.documentElement).scrollbarGutter`); got != "auto" {
				t.Errorf("%s: room is kept at the side: %s", path, got)
			}
		}
	}
}
