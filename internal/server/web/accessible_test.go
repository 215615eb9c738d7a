package web

import (
	"fmt"
	"strings"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// TestEveryPageIsAccessible has axe look at every page that the routes have and at each
// dialog that a page opens, light and dark. A route that it does not know an address of
// fails it, so that none is forgotten.
func TestEveryPageIsAccessible(t *testing.T) {
	s := newSite(t)
	s.organisation()
	ctx := t.Context()
	_, err := s.c.UpdateProvision(ctx, s.root, 1, control.Ending{}, func(p *directory.Provision) error {
		p.UserIDs = append(p.UserIDs, s.admin.ID)
		p.Exceptions = []directory.Exception{{UserID: s.ann.ID, AppID: 1}}
		return nil
	})
	s.must(err)
	_, err = s.c.UpdateDeliveryMethod(ctx, s.root, 1, func(d *catalog.DeliveryMethod) error { d.Licence.Seats = 2; return nil })
	s.must(err)
	l, err := s.c.Launch(ctx, control.WhoIs(s.admin, "test"), 1, 0)
	s.must(err)
	dev := s.device("LAB-300")
	_, err = s.c.Redeem(ctx, dev, &wire.Redeem{V: wire.Version, Ticket: ticketOf(t, l.Link)}, "")
	s.must(err)
	own := num(l.Session.ID)
	ag := s.agentOf(dev)
	ag.states[l.Session.ID] = &wire.SessionState{Session: l.Session.ID, State: session.IsAbsent, Progress: 42, Problem: "The disk is full."}
	ag.tell(t)
	h := s.streams()
	ann := control.WhoIs(s.ann, "test")
	for i := range 12 {
		id := h.launch(ann, i%4 != 3)
		if i%4 == 2 {
			h.end(id, "nobody came back within 5 min")
		}
	}
	streamed := num(h.launch(ann, true))
	b, err := s.c.Preview(ctx, s.root, control.BatchRequest{Action: session.Evict, IDs: []int64{1, 2, 3, 4}})
	s.must(err)
	_, err = s.c.Housekeep(ctx, s.root, false)
	s.must(err)
	_, key, err := s.c.NewEnrolmentKey(ctx, s.root, control.KeyTerms{Kind: wire.Host, Pool: "gpu"})
	s.must(err)

	// What stands for the placeholders of a route; "" for a route that is no page.
	addresses := map[string][]string{
		"/{$}": {"/", "/?q=zzz"}, "/launch/{id}": {"/launch/1", "/launch/999"}, "/sessions/{id}": {"/sessions/" + own},
		"/setup": {"/setup?token=forged"}, "/admin": {}, "/admin/": {"/admin/nothing"}, "/": {"/nothing"}, "/admin/pick/{kind}": {},
		"/admin/sessions":        {"/admin/sessions", "/admin/sessions?q=nosuch", "/admin/sessions?status=running&app_id=1"},
		"/admin/sessions/filter": {"/admin/sessions/filter?by=status"},
		"/admin/sessions/{id}":   {"/admin/sessions/1", "/admin/sessions/4", "/admin/sessions/5", "/admin/sessions/" + own, "/admin/sessions/" + streamed, "/admin/sessions/9999"},
		"/admin/audit/export":    {}, "/admin/audit/{id}": {"/admin/audit/1", "/admin/audit/9"},
		"/admin/sessions/{id}/{action}": {"/admin/sessions/1/evict", "/admin/sessions/4/expire"},
		"/admin/sessions/export/begin":  {"/admin/sessions/export/begin?from=2026-02-02&to=2026-02-01"}, "/admin/sessions/export/file": {},
		"/admin/streams/export/begin": {"/admin/streams/export/begin?from=2026-02-02&to=2026-02-01"}, "/admin/streams/export/file": {},
		"/admin/batches/{id}":        {"/admin/batches/" + num(b.ID)},
		"/admin/streams":             {"/admin/streams"},
		"/admin/streams/filter":      {"/admin/streams/filter?by=person", "/admin/streams/filter?by=status"},
		"/admin/hosts/{id}":          {"/admin/hosts/" + num(h.host)},
		"/admin/enrolment-keys/{id}": {keysPath + "/1", keysPath + "/" + num(key.ID)}, "/admin/enrolment-keys/{id}/revoke": {keysPath + "/" + num(key.ID) + "/revoke"},
		"/admin/hosts/{id}/{change}":   {"/admin/hosts/" + num(h.host) + "/remove", "/admin/hosts/" + num(h.host) + "/withdraw"},
		"/admin/devices/{id}/{change}": {"/admin/devices/1/remove"}, "/admin/groups/{id}/{change}": {"/admin/groups/1/delete"},
		"/admin/apps/{id}/{change}": {"/admin/apps/1/suspend"}, "/admin/users/{id}/{change}": {"/admin/users/2/suspend"},
		"/admin/delivery-methods/{id}/{change}": {"/admin/delivery-methods/1/delete"},
		"/admin/provisions/{id}/{change}":       {"/admin/provisions/1/disable", fmt.Sprintf("/admin/provisions/1/let-in-%d-1", s.ann.ID)},
	}
	var pages []string
	for _, r := range s.web.pages() {
		method, path, ok := strings.Cut(r.pattern, " ")
		if !ok {
			path = method
		} else if method != "GET" {
			continue
		}
		switch known, has := addresses[path]; {
		case strings.HasSuffix(path, "/events"), path == "/sign-in":
		case has:
			pages = append(pages, known...)
		case strings.Count(path, "{") == 1 && strings.Contains(path, "{id}"):
			pages = append(pages, strings.Replace(path, "{id}", "1", 1))
		case strings.Contains(path, "{"):
			t.Errorf("%s: give it an address above", path)
		default:
			pages = append(pages, path)
		}
	}
	for _, width := range []int64{1440, 390} {
		w := s.window()
		w.Look(width, "light")
		for _, path := range pages {
			w.Open(path)
			w.Run(watchShifts)
			w.Judge(path)
			// A thousandth is a font that came in the first frame; Google calls a tenth good.
			if shift := w.Text(`window.shifts`); shift != "" {
				t.Errorf("%s at %d: moves while it loads: %v", path, width, shift)
			}
			w.dialogs(path)
			if width == 1440 {
				for _, other := range []int64{720, 2560} {
					w.Look(other, "light")
					w.Fits(fmt.Sprintf("%s at %d", path, other))
				}
				w.Look(width, "light")
			}
		}
		w.Run(`document.querySelector('form[action="/sign-out"]').submit()`)
		w.Wait(`location.pathname === '/sign-in'`)
		w.Judge("/sign-in")
		w.Close()
	}
}

// watchShifts collects what has moved and moves on the page without anybody's doing.
const watchShifts = `window.shifts = '';
	new PerformanceObserver((list) => {
		for (const e of list.getEntries()) {
			if (!e.hadRecentInput && e.value > 0.001) {
				shifts += e.value + ' ' + e.sources?.map((s) => s.node?.outerHTML?.slice(0, 80)).join();
			}
		}
	}).observe({type: 'layout-shift', buffered: true})`

// dialogs opens each dialog that the page offers, one of a name, and judges it.
func (w *window) dialogs(what string) {
	w.t.Helper()
	const first = `[...document.querySelectorAll('main :not(#confirm *) > a[data-dialog]')].filter((a, i, all) => a.offsetParent && i === all.findIndex((b) => b.innerText === a.innerText))`
	n, _ := w.Run(first + `.length`).(float64)
	for i := range int(n) {
		name := w.Run(fmt.Sprintf(`{ const a = %s[%d]; a.click(); a.innerText }`, first, i))
		w.Wait(`document.querySelector('#dialog[open] h1')`)
		w.Judge(fmt.Sprintf("%s, dialog of %v", what, name))
		w.Run(`document.querySelector('#dialog').close()`)
	}
}
