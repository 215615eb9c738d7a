package control_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

func (s *stepped) check() {
	s.t.Helper()
	if err := s.Control.Check(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stepped) provision(id int64, end control.Ending, change func(*directory.Provision)) {
	s.t.Helper()
	if _, err := s.Control.UpdateProvision(s.t.Context(), s.Admin, id, end, func(p *directory.Provision) error { change(p); return nil }); err != nil {
		s.t.Fatal(err)
	}
	s.check()
}

// TestLosingEntitlement: every way to lose it flags what is at rest, refuses what runs at
// its next renewal or ends it at once, and giving it back takes the flag away.
func TestLosingEntitlement(t *testing.T) {
	type way struct {
		lose, regain func(s *stepped, end control.Ending)
		reason       string
	}
	ctx := t.Context()
	fail := func(s *stepped, err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	user := func(change func(*directory.User)) func(s *stepped, end control.Ending) {
		return func(s *stepped, end control.Ending) {
			_, err := s.Control.UpdateUser(ctx, s.Admin, s.User.UserID, "", end, func(u *directory.User) error { change(u); return nil })
			fail(s, err)
		}
	}
	app := func(status catalog.Status) func(s *stepped, end control.Ending) {
		return func(s *stepped, end control.Ending) {
			_, err := s.Control.UpdateApp(ctx, s.Admin, 1, end, func(a *catalog.App) error { a.Status = status; return nil })
			fail(s, err)
		}
	}
	prov := func(change func(*directory.Provision)) func(s *stepped, end control.Ending) {
		return func(s *stepped, end control.Ending) { s.provision(1, end, change) }
	}
	ways := map[string]way{
		"user suspended":          {user(func(u *directory.User) { u.Status = directory.Suspended }), user(func(u *directory.User) { u.Status = directory.Active }), session.UnneededEntitlement},
		"app suspended":           {app(catalog.Suspended), app(catalog.Active), session.UnneededEntitlement},
		"provision disabled":      {prov(func(p *directory.Provision) { p.Enabled = false }), prov(func(p *directory.Provision) { p.Enabled = true }), session.UnneededEntitlement},
		"out of the provision":    {prov(func(p *directory.Provision) { p.UserIDs = nil }), prov(func(p *directory.Provision) { p.UserIDs = []int64{1} }), session.UnneededEntitlement},
		"excepted for this app":   {prov(func(p *directory.Provision) { p.Exceptions = []directory.Exception{{UserID: 1, AppID: 1}} }), prov(func(p *directory.Provision) { p.Exceptions = nil }), session.UnneededEntitlement},
		"not for people's own":    {prov(func(p *directory.Provision) { p.Ownership = directory.Own }), prov(func(p *directory.Provision) { p.Ownership = "" }), session.UnneededEntitlement},
		"provision deleted":       {func(s *stepped, end control.Ending) { fail(s, s.Control.DeleteProvision(ctx, s.Admin, 1, end)) }, nil, session.UnneededEntitlement},
		"app deleted":             {func(s *stepped, end control.Ending) { fail(s, s.Control.DeleteApp(ctx, s.Admin, 1, end)) }, nil, session.UnneededAppDeleted},
		"delivery method deleted": {func(s *stepped, end control.Ending) { fail(s, s.Control.DeleteDeliveryMethod(ctx, s.Admin, 1, end)) }, nil, session.UnneededEntitlement},
		"user deleted":            {func(s *stepped, end control.Ending) { fail(s, s.Control.DeleteUser(ctx, s.Admin, s.User.UserID, end)) }, nil, session.UnneededEntitlement},
		"out of the group": {func(s *stepped, end control.Ending) {
			_, err := s.Control.UpdateGroup(ctx, s.Admin, 1, end, func(g *directory.Group) error { g.UserIDs = nil; return nil })
			fail(s, err)
		}, func(s *stepped, end control.Ending) {
			_, err := s.Control.UpdateGroup(ctx, s.Admin, 1, end, func(g *directory.Group) error { g.UserIDs = []int64{1}; return nil })
			fail(s, err)
		}, session.UnneededEntitlement},
	}
	each(t, func(t *testing.T, s *stepped) {
		for name, w := range ways {
			for _, now := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					s := s.fresh(t)
					a, b := s.agent("LAB-1"), s.agent("LAB-2")
					g := &directory.Group{Name: "Staff", UserIDs: []int64{s.User.UserID}}
					fail(s, s.Control.CreateGroup(ctx, s.Admin, g))
					app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
					if name == "out of the group" {
						s.provision(1, control.Ending{}, func(p *directory.Provision) { p.UserIDs, p.GroupIDs = nil, []int64{g.ID} })
					}
					running, added, launched := s.running(a, app.ID), s.added(b, app.ID), s.Launch(app.ID).Session.ID
					w.lose(s, control.Ending{Now: now, Reason: "left"})
					s.check()
					s.is(added, session.AwaitingExpiry)
					if name == "not for people's own" {
						s.is(launched, session.Launched) // its device is not known: nothing is judged
						launched = added
					} else {
						s.is(launched, session.AwaitingExpiry)
					}
					if r := s.Session(added).Unneeded; len(r) != 1 || r[0] != w.reason {
						t.Errorf("reasons %q, want %q", r, w.reason)
					}
					if now {
						s.is(running, session.Evicted)
						if o := s.Session(running).Order; o == nil || o.Reason != "left" || o.By.Name != "root" {
							t.Errorf("order %+v", o)
						}
					} else {
						s.is(running, session.Running)
						s.step(time.Minute)
						s.say(a)
						s.is(running, session.Evicted)
					}
					s.say(a)
					s.say(a)
					if got := s.Session(running); got.Observed == session.IsRunning || got.Lease != nil {
						t.Errorf("it still runs, lease %v", got.Lease)
					}
					s.is(running, session.AwaitingExpiry)
					if w.regain == nil {
						return
					}
					w.regain(s, control.Ending{})
					s.check()
					s.is(added, session.Added)
					s.is(running, session.Evicted)
					if launched != added {
						s.is(launched, session.Launched)
					}
				})
			}
		}
	})
}

// TestEndingAsksForAReason: where the settings ask for a reason, ending what runs by a
// change asks too, and without one changes nothing.
func TestEndingAsksForAReason(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(c *control.Settings) error { c.ReasonRequired = true; return nil }); err != nil {
			t.Fatal(err)
		}
		var bad invalid.Error
		if err := s.Control.DeleteApp(t.Context(), s.Admin, app.ID, control.Ending{Now: true}); !errors.As(err, &bad) || bad[0].Name != "reason" {
			t.Errorf("without a reason: %v", err)
		}
		if _, err := s.Control.App(t.Context(), app.ID); err != nil {
			t.Errorf("it is gone: %v", err)
		}
		if err := s.Control.DeleteApp(t.Context(), s.Admin, app.ID, control.Ending{Now: true, Reason: "over"}); err != nil {
			t.Error(err)
		}
	})
}

// TestLostFile: an agent that has lost a session's file is told again what it is of.
func TestLostFile(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		a := s.agent("LAB-1")
		id := s.added(a, app.ID)
		ans, err := (&servertest.Direct{Control: s.Control, Agent: a.ID}).CheckIn(t.Context(), &wire.CheckIn{V: 1, Number: 1000, Epoch: 2, Complete: true,
			Sessions: []wire.SessionState{{Session: id, State: session.IsRunning, Run: 1, Guard: true}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ans.Directives {
			if d.Type == wire.DirUpgrade && d.Session == id && d.App != nil && d.App.Package != nil {
				return
			}
		}
		t.Errorf("directives %+v", ans.Directives)
	})
}

// TestProvisionsTurn: a provision that begins or ends by its dates does so without anybody
// touching it.
func TestProvisionsTurn(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		id := s.added(s.agent("LAB-1"), app.ID)
		s.provision(1, control.Ending{}, func(p *directory.Provision) { p.EndsAt = s.now.Add(time.Hour) })
		s.is(id, session.Added)
		s.step(time.Hour)
		s.check()
		s.is(id, session.AwaitingExpiry)
		s.provision(1, control.Ending{}, func(p *directory.Provision) {
			p.StartsAt, p.EndsAt = s.now.Add(time.Hour), time.Time{}
		})
		s.is(id, session.AwaitingExpiry)
		s.step(time.Hour)
		s.check()
		s.is(id, session.Added)
	})
}

// TestRevokeAccess: one action takes the app away and ends what is left, after a preview
// that changes nothing; other apps of the same provision stay.
func TestRevokeAccess(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		other, dm := s.App("Other", servertest.Terms{Packages: command, Heartbeat: 60})
		g := &directory.Group{Name: "Staff", UserIDs: []int64{s.User.UserID}}
		if err := s.Control.CreateGroup(t.Context(), s.Admin, g); err != nil {
			t.Fatal(err)
		}
		both := &directory.Provision{Name: "Both", GroupIDs: []int64{g.ID}, DeliveryMethodIDs: []int64{1, dm.ID}, Enabled: true}
		if err := s.Control.CreateProvision(t.Context(), s.Admin, both); err != nil {
			t.Fatal(err)
		}
		a, b := s.agent("LAB-1"), s.agent("LAB-2")
		running, added, launched := s.running(a, app.ID), s.added(b, app.ID), s.Launch(app.ID).Session.ID
		untouched := s.added(s.agent("LAB-3"), other.ID)
		r, err := s.Control.RevokeAccess(t.Context(), s.Admin, s.User.UserID, app.ID, "", true)
		if err != nil || len(r.Grounds) != 2 || !r.Grounds[0].Removed || r.Grounds[1].Removed || len(r.Grounds[1].Groups) != 1 || len(r.Ended) != 3 {
			t.Fatalf("preview %+v, %v", r, err)
		}
		s.is(running, session.Running)
		if _, err := s.Control.RevokeAccess(t.Context(), s.Admin, s.User.UserID, app.ID, "left", false); err != nil {
			t.Fatal(err)
		}
		s.is(running, session.Evicted)
		s.is(added, session.Expired)
		s.is(launched, session.Expired)
		s.is(untouched, session.Added)
		var refused *session.Refusal
		if _, err := s.Control.Launch(t.Context(), s.User, app.ID, 0); !errors.As(err, &refused) {
			t.Errorf("launched after all: %v", err)
		}
		if _, err := s.Control.Launch(t.Context(), s.User, other.ID, 0); err != nil {
			t.Errorf("the other app: %v", err)
		}
		p, err := s.Control.Provision(t.Context(), both.ID)
		if err != nil || !p.ExceptedFrom(s.User.UserID, app.ID) || p.ExceptedFrom(s.User.UserID, other.ID) {
			t.Errorf("exceptions %+v, %v", p, err)
		}
		if p, err := s.Control.Provision(t.Context(), 1); err != nil || len(p.UserIDs) != 0 {
			t.Errorf("the provision of this app alone still names the user: %+v, %v", p, err)
		}
		s.say(a)
		s.say(a)
		if s.Session(running).Observed == session.IsRunning {
			t.Error("it still runs")
		}
		list, _, err := s.Control.Audit(t.Context(), store.AuditQuery{Action: "", Page: store.Page{}})
		if err != nil || list[0].Action != "access.revoke" || list[0].Reason != "left" {
			t.Errorf("audit %+v, %v", list[0], err)
		}
	})
}

// TestRestrictions: a provision for some networks, or for some people's devices, refuses
// elsewhere and says why.
func TestRestrictions(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		s.provision(1, control.Ending{}, func(p *directory.Provision) { p.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		off, on := s.User, s.User
		off.From, on.From = "192.0.2.1", "10.1.2.3"
		var refused *session.Refusal
		if _, err := s.Control.Launch(t.Context(), off, app.ID, 0); !errors.As(err, &refused) || !strings.Contains(refused.Message, "192.0.2.1") {
			t.Errorf("launched from outside: %v", err)
		}
		l, err := s.Control.Launch(t.Context(), on, app.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		a := s.agent("LAB-1")
		s.from = "192.0.2.1"
		if _, err := a.Redeem(t.Context(), l.Link); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
			t.Errorf("redeemed from outside: %v", err)
		}
		s.from = "10.1.2.3"
		id, err := a.Redeem(t.Context(), l.Link)
		if err != nil {
			t.Fatal(err)
		}
		s.say(a)
		if err := a.Start(id); err != nil {
			t.Fatal(err)
		}
		s.say(a)
		s.is(id, session.Running)
		// It leaves the campus while it runs: refused at the next renewal, with the reason.
		s.from = "192.0.2.1"
		s.step(time.Minute)
		s.say(a)
		s.is(id, session.Evicted)
		if r := s.Session(id).Reason; !strings.Contains(r, "192.0.2.1") {
			t.Errorf("reason %q", r)
		}

		s.from = ""
		s.provision(1, control.Ending{}, func(p *directory.Provision) { p.Networks, p.Ownership = nil, directory.Organisation })
		l, err = s.Control.Launch(t.Context(), s.User, app.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Control.UpdateAgent(t.Context(), s.Admin, a.ID, control.Ending{}, func(a *store.Agent) error { a.Ownership = directory.Own; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Redeem(t.Context(), l.Link); err == nil || !strings.Contains(err.Error(), "your own") {
			t.Errorf("redeemed on the user's own device: %v", err)
		}
	})
}

// TestUpgrade: a session moves to the successor when the new version is on the device, and
// is no longer listed under the old delivery method; a run of the old version goes on under
// the old one's seat, the next start takes the successor's.
func TestUpgrade(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, old := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Seats: 1})
		a := s.agent("LAB-1")
		running := s.running(a, app.ID)
		next := &catalog.DeliveryMethod{AppID: app.ID, Name: "App 2", HeartbeatSeconds: 60, WarningsSeconds: []int{2, 1}, Licence: catalog.Licence{Type: "floating", Seats: 1}, Packages: command}
		if err := s.Control.CreateDeliveryMethod(t.Context(), s.Admin, next); err != nil {
			t.Fatal(err)
		}
		s.provision(1, control.Ending{}, func(p *directory.Provision) { p.DeliveryMethodIDs = append(p.DeliveryMethodIDs, next.ID) })
		if _, err := s.Control.UpdateDeliveryMethod(t.Context(), s.Admin, old.ID, func(d *catalog.DeliveryMethod) error { d.SuccessorID = next.ID; return nil }); err != nil {
			t.Fatal(err)
		}
		seats := func(dm int64) (n int) {
			t.Helper()
			if err := s.Store.View(t.Context(), func(tx store.Tx) (err error) { n, err = tx.SeatsTaken(dm); return err }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		s.step(time.Minute)
		s.say(a) // the offer
		s.say(a) // asked, and its package is there at once
		s.say(a)
		got := s.Session(running)
		if got.Status != session.Running || got.DeliveryMethodID != next.ID {
			t.Fatalf("%s under delivery method %d, want running under %d", got.Status, got.DeliveryMethodID, next.ID)
		}
		asked := false
		for _, st := range s.history(running) {
			asked = asked || st == session.UpgradeRequested
		}
		if !asked {
			t.Errorf("history %v", s.history(running))
		}
		for _, x := range []struct {
			dm   int64
			want int
		}{{old.ID, 0}, {next.ID, 1}} {
			l, err := s.Control.ListSessions(t.Context(), store.SessionQuery{DeliveryMethodID: x.dm})
			if err != nil || l.Total != x.want {
				t.Errorf("listed under %d: %d, want %d (%v)", x.dm, l.Total, x.want, err)
			}
		}
		s.step(time.Minute)
		s.say(a)
		if seats(old.ID) != 1 || seats(next.ID) != 0 {
			t.Errorf("while the old version runs: %d seats of the old, %d of the new", seats(old.ID), seats(next.ID))
		}
		a.Exit(running)
		s.say(a)
		if err := a.Start(running); err != nil {
			t.Fatal(err)
		}
		s.say(a)
		if seats(old.ID) != 0 || seats(next.ID) != 1 {
			t.Errorf("after the next start: %d seats of the old, %d of the new", seats(old.ID), seats(next.ID))
		}
		s.is(running, session.Running)
	})
}

// TestAddedNever: an app that cannot be added says why.
func TestAddedNever(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		l := s.Launch(app.ID)
		a := s.agent("LAB-1")
		d := &servertest.Direct{Control: s.Control, Agent: a.ID}
		if _, err := s.Control.Redeem(t.Context(), a.ID, &wire.Redeem{V: 1, Ticket: ticket(t, l.Link)}, ""); err != nil {
			t.Fatal(err)
		}
		_, err := d.CheckIn(t.Context(), &wire.CheckIn{V: 1, Number: 1, Epoch: 1, Complete: true, Sessions: []wire.SessionState{
			{Session: l.Session.ID, State: session.IsAbsent, Progress: 42, Problem: "It could not be added: the digest is another."}}})
		if err != nil {
			t.Fatal(err)
		}
		got := s.Session(l.Session.ID)
		if got.Status != session.Launched || got.Progress != 42 || !strings.Contains(got.Problem, "digest") {
			t.Errorf("%s, %d%%, %q", got.Status, got.Progress, got.Problem)
		}
		o, err := s.Control.Session(t.Context(), l.Session.ID)
		if err != nil || len(o.Outlook) == 0 || !strings.Contains(o.Outlook[0].What, "digest") {
			t.Errorf("outlook %+v, %v", o.Outlook, err)
		}
	})
}
