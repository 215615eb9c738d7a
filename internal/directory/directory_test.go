package directory

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/session"
)

var now = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	ann := User{ID: 1, Status: Active, GroupIDs: []int64{7}}
	app := catalog.App{ID: 2, Name: "MATLAB", Status: catalog.Active}
	dm := catalog.DeliveryMethod{ID: 3, AppID: 2}
	good := Provision{ID: 4, Name: "Eng", UserIDs: []int64{1}, DeliveryMethodIDs: []int64{3}, Enabled: true}
	type world struct {
		user  *User
		app   *catalog.App
		dm    *catalog.DeliveryMethod
		ps    []*Provision
		where Where
	}
	for name, tt := range map[string]struct {
		change func(w *world, u *User, a *catalog.App, d *catalog.DeliveryMethod, p *Provision)
		code   session.RefusalCode
		says   string
	}{
		"entitled": {func(*world, *User, *catalog.App, *catalog.DeliveryMethod, *Provision) {}, "", ""},
		"by group": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.UserIDs, p.GroupIDs = nil, []int64{7}
		}, "", ""},
		"not named": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) { p.UserIDs = nil }, session.RefusedEntitled, "no provision"},
		"another group": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.UserIDs, p.GroupIDs = nil, []int64{8}
		}, session.RefusedEntitled, "no provision"},
		"another method": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.DeliveryMethodIDs = []int64{9}
		}, session.RefusedEntitled, "no provision"},
		"disabled": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) { p.Enabled = false }, session.RefusedEntitled, "disabled"},
		"not begun": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.StartsAt = now.Add(time.Second)
		}, session.RefusedEntitled, "begins"},
		"over":           {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) { p.EndsAt = now }, session.RefusedEntitled, "ended"},
		"just begun":     {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) { p.StartsAt = now }, "", ""},
		"user suspended": {func(_ *world, u *User, _ *catalog.App, _ *catalog.DeliveryMethod, _ *Provision) { u.Status = Suspended }, session.RefusedSuspended, "account"},
		"user deleted":   {func(_ *world, u *User, _ *catalog.App, _ *catalog.DeliveryMethod, _ *Provision) { u.DeletedAt = now }, session.RefusedEntitled, "account"},
		"no user":        {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, _ *Provision) { w.user = nil }, session.RefusedEntitled, "account"},
		"app suspended": {func(_ *world, _ *User, a *catalog.App, _ *catalog.DeliveryMethod, _ *Provision) {
			a.Status = catalog.Suspended
		}, session.RefusedSuspended, "MATLAB"},
		"app deleted":    {func(_ *world, _ *User, a *catalog.App, _ *catalog.DeliveryMethod, _ *Provision) { a.DeletedAt = now }, session.RefusedEntitled, "offered"},
		"method deleted": {func(_ *world, _ *User, _ *catalog.App, d *catalog.DeliveryMethod, _ *Provision) { d.DeletedAt = now }, session.RefusedEntitled, "offered"},
		"excepted from this app": {func(_ *world, u *User, a *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Exceptions = []Exception{{u.ID, a.ID}}
		}, session.RefusedEntitled, "revoked"},
		"excepted from another app": {func(_ *world, u *User, a *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Exceptions = []Exception{{u.ID, a.ID + 1}, {u.ID + 1, a.ID}}
		}, "", ""},
		"own device": {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Ownership, w.where.Ownership = Organisation, Own
		}, session.RefusedEntitled, "your own"},
		"organisation's device": {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Ownership, w.where.Ownership = Own, Organisation
		}, session.RefusedEntitled, "the organisation's"},
		"device not known yet": {func(_ *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Ownership = Organisation
		}, "", ""},
		"on the campus": {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Networks, w.where.Addr = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, netip.MustParseAddr("::ffff:10.2.3.4")
		}, "", ""},
		"off the campus": {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Networks, w.where.Addr = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, netip.MustParseAddr("192.0.2.7")
		}, session.RefusedEntitled, "192.0.2.7"},
		"behind a proxy that does not say": {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			p.Networks, w.where.Unknown = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, true
		}, session.RefusedEntitled, "not known"},
		"one of two is in force": {func(w *world, _ *User, _ *catalog.App, _ *catalog.DeliveryMethod, p *Provision) {
			q := *p
			p.Enabled, q.ID = false, 5
			w.ps = append(w.ps, &q)
		}, "", ""},
	} {
		u, a, d, p := ann, app, dm, good
		w := &world{&u, &a, &d, []*Provision{&p}, Where{}}
		tt.change(w, &u, &a, &d, &p)
		got, refusal := Decide(w.user, w.app, w.dm, w.ps, w.where, now)
		switch {
		case tt.code == "" && (refusal != nil || got == nil):
			t.Errorf("%s: refused: %v", name, refusal)
		case tt.code != "" && (refusal == nil || refusal.Code != tt.code || !strings.Contains(refusal.Message, tt.says)):
			t.Errorf("%s: %+v, want %s with %q", name, refusal, tt.code, tt.says)
		}
	}
}

func TestUserValidate(t *testing.T) {
	good := User{Username: "ann.berg", Name: "Ann Berg", Email: "ann@example.org", Role: RoleUser, Status: Active}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*User){
		"username": func(u *User) { u.Username = "ann berg" },
		"name":     func(u *User) { u.Name = strings.Repeat("x", 201) },
		"email":    func(u *User) { u.Email = "ann" },
		"role":     func(u *User) { u.Role = "king" },
		"status":   func(u *User) { u.Status = "asleep" },
	} {
		u := good
		change(&u)
		if err := u.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+" ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, name := range []string{"ÅSA", "DOMAIN\\joe", "joe@example.org", "o-o_o.o+1", "हिन्दी", "นิดหน่อย", "jose\u0301"} {
		u := good
		u.Username = name
		if err := u.Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "a/b", "a\tb", "a:b", "naïve\xff", "an\u200dn", "an\u202en", "\ufeffann", "an\u00adn", strings.Repeat("x", 101)} {
		u := good
		u.Username = name
		if u.Validate() == nil {
			t.Errorf("%q is a user name", name)
		}
	}
	u := good
	u.Username = strings.Repeat("Å", 100)
	if err := u.Validate(); err != nil {
		t.Error(err)
	}
	for address, ok := range map[string]bool{"": true, "ann@example.org": true, "å@ö": true, "@": false, "a@": false, "@b": false, "a@b@c": false,
		"a b@c": false, "a\u200b@b": false, "a@\u202eb": false, "a@b\n": false, "<a@b>": false, strings.Repeat("x", 252) + "@y": true, strings.Repeat("x", 253) + "@y": false} {
		u := good
		u.Email = address
		if (u.Validate() == nil) != ok {
			t.Errorf("%q is an address: %v", address, !ok)
		}
	}
}
