package web

import (
	"fmt"
	"strings"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// TestFocusIsOnTheFirstWrongField: also without the script, which is why the page says it.
func TestFocusIsOnTheFirstWrongField(t *testing.T) {
	s := newSite(t)
	s.app("MATLAB")
	w := s.window()
	for _, x := range []struct{ path, fill, want string }{
		{"/admin/apps/new", ``, "name"},
		{"/admin/users/new", `f('username', 'bo'); f('name', 'Bo'); f('email', 'no@where@example'); document.querySelector('[name=email]').type = 'text'`, "email"},
		{"/admin/provisions/new", `f('name', 'x'); f('starts_at', '2026-09-01T08:00'); f('ends_at', '2026-08-01T08:00')`, "ends_at"},
		{"/admin/delivery-methods/new", `f('name', 'x'); f('packages.0.command', '/bin/true')`, "app_id"},
		{"/admin/delivery-methods/new", `f('app_id', '1'); f('name', 'x'); f('heartbeat_seconds', 'soon'); f('packages.0.command', '')`, "heartbeat_seconds"},
		{"/admin/settings", `f('launched_days', '0'); f('idle_days', '0')`, "launched_days"},
	} {
		w.Open(x.path)
		w.Run(`{ const f = (name, value) => { document.querySelector('main form.form [name="' + name + '"]').value = value };` + x.fill + `; document.querySelector('main form.form').noValidate = true; document.querySelector('main form.form .primary').click() }; 0`)
		w.Wait(`document.querySelector('[aria-invalid=true]')`)
		w.Wait(`document.activeElement.name === '` + x.want + `'`)
		if w.Run(`{ const r = document.activeElement.getBoundingClientRect(); r.top > 0 && r.bottom < innerHeight }`) != true {
			t.Errorf("%s: the field that has the focus is out of sight: %s", x.path, w.Text(`JSON.stringify([document.activeElement.getBoundingClientRect(), scrollY, innerHeight, document.documentElement.scrollHeight])`))
		}
		if n, _ := w.Run(`document.querySelectorAll('[autofocus]').length`).(float64); n != 1 {
			t.Errorf("%s: %v fields ask for the focus", x.path, n)
		}
	}
	w.Hush() // it complains of each answer of status 422
}

// TestLongNames: names without a space in them, as long as they may be, push nothing off the
// screen and cover nothing, at any width.
func TestLongNames(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	name := func(c string) string { return c + strings.Repeat("WM", 99) + "x" }
	app, method := s.app("A")
	long := strings.Repeat("unbroken", 60)[:480]
	_, err := s.c.UpdateApp(ctx, s.root, app.ID, control.Ending{}, func(a *catalog.App) error { a.Name, a.Description = name("A"), strings.Repeat("W", 300); return nil })
	s.must(err)
	_, err = s.c.UpdateDeliveryMethod(ctx, s.root, method.ID, func(d *catalog.DeliveryMethod) error { d.Name = name("D"); return nil })
	s.must(err)
	_, err = s.c.UpdateProvision(ctx, s.root, 1, control.Ending{}, func(p *directory.Provision) error {
		p.Name, p.UserIDs = name("P"), append(p.UserIDs, s.admin.ID)
		return nil
	})
	s.must(err)
	s.must(s.c.CreateGroup(ctx, s.root, &directory.Group{Name: name("G"), UserIDs: []int64{s.ann.ID}}))
	for _, u := range []*directory.User{s.ann, s.admin} {
		_, err = s.c.UpdateUser(ctx, s.root, u.ID, "", control.Ending{}, func(u *directory.User) error { u.Name = name("U"); return nil })
		s.must(err)
	}
	dev := s.device("D-" + strings.Repeat("M", 190))
	one, two := s.launch(app.ID, dev, true), s.launch(app.ID, dev, true)
	_, err = s.c.Act(ctx, s.root, two, session.Evict, long)
	s.must(err)
	h := s.streams()
	_, err = s.c.UpdateAgent(ctx, s.root, h.host, control.Ending{}, func(a *store.Agent) error { a.Name = name("H"); return nil })
	s.must(err)
	streamed := h.launch(control.WhoIs(s.ann, "test"), true)
	b, err := s.c.Preview(ctx, s.root, control.BatchRequest{Action: session.Evict, IDs: []int64{one, two}})
	s.must(err)
	l, err := s.c.Launch(ctx, s.root, app.ID, 0)
	s.must(err)

	paths := []string{"/", "/launch/" + num(app.ID), "/launch/999", "/sessions/" + num(l.Session.ID), "/admin/sessions", "/admin/streams", "/admin/sessions?q=" + strings.Repeat("W", 200),
		"/admin/sessions?app_id=" + num(app.ID), "/admin/sessions/" + num(one), "/admin/sessions/" + num(two), "/admin/sessions/" + num(streamed),
		"/admin/sessions/" + num(one) + "/evict", "/admin/sessions/" + num(one) + "/revoke", "/admin/batches/" + num(b.ID), "/admin/apps/" + num(app.ID), "/admin/apps/" + num(app.ID) + "/suspend",
		"/admin/delivery-methods/" + num(method.ID), "/admin/provisions/1", "/admin/users/1", "/admin/groups/1", "/admin/devices/" + num(dev), "/admin/hosts/" + num(h.host),
		"/admin/apps", "/admin/users", "/admin/groups", "/admin/provisions", "/admin/delivery-methods", "/admin/devices", "/admin/hosts", "/admin/audit"}
	w := s.window()
	for _, path := range paths {
		w.Look(1440, "light")
		w.Open(path)
		for _, width := range []int64{2560, 1440, 720, 390, 320} {
			w.Look(width, "light")
			what := fmt.Sprintf("%s at %d", path, width)
			w.Fits(what)
			if out := w.Text(offScreen); out != "" {
				t.Errorf("%s: out of sight or covered: %s", what, out)
			}
			if width == 390 || width == 1440 {
				w.Picture(strings.NewReplacer("/", "-", "?", "-").Replace(fmt.Sprintf("long%.40s-%d", path, width)))
			}
		}
	}
}

// offScreen are the controls of a page that reach beyond the window, other than those in what
// can be scrolled sideways.
const offScreen = `[...document.querySelectorAll('button, .button, input:not([type=hidden]), select, textarea, summary, .topbar a, main a')].filter((e) => {
	if (!e.checkVisibility({visibilityProperty: true}) || e.closest('.sr, .skip, .side, [inert], .clip')) return false;
	for (let p = e.parentElement; p; p = p.parentElement) {
		if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX) && p !== document.body && p !== document.documentElement) {
			if (!e.matches('button, .button, input, select')) return false;
			if (p.matches('.filters, .checks, .pop')) return false;
		}
	}
	const r = e.getBoundingClientRect();
	return r.width > 0 && (r.left < -1 || r.right > innerWidth + 1);
}).map((e) => e.outerHTML.slice(0, 70)).slice(0, 3).join(' | ')`
