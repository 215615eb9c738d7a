package storetest

import (
	"slices"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// fixture is a small organisation.
type fixture struct {
	users         []*directory.User
	group         *directory.Group
	app           *catalog.App
	method, other *catalog.DeliveryMethod
	provision     *directory.Provision
	agent         *store.Agent
}

func (e *env) fixture() *fixture {
	e.t.Helper()
	f := &fixture{}
	now := e.clock.Now()
	e.update(func(tx store.Tx) error {
		*f = fixture{
			group: &directory.Group{Name: "Fixture", CreatedAt: now},
			app:   &catalog.App{Name: "Fixture app", Status: catalog.Active, CreatedAt: now},
			agent: &store.Agent{Kind: wire.Player, Name: "DEV-1", Credential: []byte("c"), CreatedAt: now},
		}
		for _, n := range []string{"joe", "john", "zoe"} {
			u := &directory.User{Username: n, Name: n + " Doe", Email: n + "@example.org", Role: directory.RoleUser, Status: directory.Active, CreatedAt: now}
			if err := tx.CreateUser(u); err != nil {
				return err
			}
			f.users = append(f.users, u)
		}
		f.group.UserIDs = []int64{f.users[1].ID}
		if err := tx.CreateGroup(f.group); err != nil {
			return err
		}
		f.users[1].GroupIDs = []int64{f.group.ID}
		if err := tx.CreateApp(f.app); err != nil {
			return err
		}
		for _, d := range []**catalog.DeliveryMethod{&f.method, &f.other} {
			*d = &catalog.DeliveryMethod{AppID: f.app.ID, Name: "Method", Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"true"}}}, CreatedAt: now}
			(*d).SetDefaults()
			if err := tx.CreateDeliveryMethod(*d); err != nil {
				return err
			}
		}
		f.provision = &directory.Provision{Name: "Prov", UserIDs: []int64{f.users[0].ID, f.users[2].ID}, DeliveryMethodIDs: []int64{f.method.ID}, Enabled: true, CreatedAt: now}
		if err := tx.CreateProvision(f.provision); err != nil {
			return err
		}
		return tx.CreateAgent(f.agent)
	})
	return f
}

var byAgent = session.Source{Agent: session.Actor{Role: session.Agent, Name: "DEV-1"}}

// launch stores a new session of a user on the fixture's device.
func (e *env) launch(f *fixture, user int, bound bool) *session.Session {
	e.t.Helper()
	var s *session.Session
	e.update(func(tx store.Tx) error {
		s = session.Launch(session.Device, f.users[user].ID, f.app.ID, f.method.ID, f.provision.ID, session.Actor{Role: session.User, Name: f.users[user].Username}, tx.LeaseNow())
		if bound {
			s.AgentID = f.agent.ID
		}
		return tx.CreateSession(s)
	})
	return s
}

// change lets do change a session, locked.
func (e *env) change(id int64, do func(tx store.Tx, s *session.Session)) {
	e.t.Helper()
	e.update(func(tx store.Tx) error {
		s, err := tx.LockSession(id)
		if err != nil {
			return err
		}
		before := store.Clone(s)
		do(tx, s)
		return tx.SaveSession(before, s)
	})
}

func (e *env) get(id int64) (s *session.Session) {
	e.t.Helper()
	e.view(func(tx store.Tx) (err error) { s, err = tx.Session(id); return err })
	return s
}

// grant brings a session to running under a lease of the length given.
func (e *env) grant(id int64, seats int, length time.Duration) (ok bool) {
	e.t.Helper()
	e.change(id, func(tx store.Tx, s *session.Session) {
		s.Observe(session.Observation{Type: session.ObsStarted, Run: s.Run + 1, Mark: s.Wanted, At: tx.WallNow()}, byAgent)
		g, _ := s.Ask(session.Snapshot{State: session.IsRunning, Run: s.Run, Mark: s.Mark, Left: -1}, session.Asking{
			Now: tx.LeaseNow(), Terms: lease.Terms{Kind: lease.Floating, Heartbeat: length / lease.Heartbeats},
			Entitled: func() *session.Refusal { return nil },
			Seat: func() (bool, *session.Refusal) {
				took, err := tx.TakeSeat(s.DeliveryMethodID, s.ID, seats)
				if err != nil {
					panic(err)
				}
				if !took {
					return false, &session.Refusal{Code: session.RefusedNoSeat}
				}
				return true, nil
			}})
		ok = g != nil
	})
	return ok
}

func testSession(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	if s.ID == 0 {
		t.Fatal("a new session has no number")
	}
	if s2 := e.launch(f, 0, true); s2.ID <= s.ID {
		t.Fatalf("numbers do not grow: %d after %d", s2.ID, s.ID)
	}
	same(t, "as stored", e.get(s.ID), s)
	e.step(time.Second)
	var want *session.Session
	e.change(s.ID, func(tx store.Tx, s *session.Session) {
		at := tx.WallNow()
		s.Observe(session.Observation{Type: session.ObsAdded, At: at}, byAgent)
		s.Observe(session.Observation{Type: session.ObsStarted, Run: 1, At: at}, byAgent)
		s.Lease = &lease.Grant{Session: s.ID, DeliveryMethod: f.method.ID, Kind: lease.Floating, Generation: 1, Run: 1, GrantedAt: tx.LeaseNow().Earliest, ExpiresAt: tx.LeaseNow().Latest.Add(time.Minute), FreeAt: tx.LeaseNow().Latest.Add(2 * time.Minute)}
		s.NotNeeded("superseded", at)
		s.NotNeeded("app deleted", at)
		want = store.Clone(s)
		want.TakeTransitions()
	})
	same(t, "with lease and reasons", e.get(s.ID), want)
	e.view(func(tx store.Tx) error {
		ts := must[[]session.Transition](t)(tx.Transitions(s.ID))
		if len(ts) != 2 || ts[0].To != session.Launched || ts[0].Actor.String() != "user joe" || ts[1].To != session.Added {
			t.Fatalf("history: %+v", ts)
		}
		_, err := tx.Session(s.ID + 1000)
		wantErr(t, err, store.ErrNotFound)
		rows := must[[]store.SessionRow](t)(tx.SessionRows([]int64{s.ID + 1000, s.ID}))
		if len(rows) != 1 || rows[0].UserName != "joe Doe" || rows[0].AppName != "Fixture app" || rows[0].AgentName != "DEV-1" || rows[0].ProvisionName != "Prov" {
			t.Fatalf("row: %+v", rows)
		}
		us := must[[]*session.Session](t)(tx.UserSessions(f.users[0].ID, 10))
		if len(us) != 2 || us[0].ID < us[1].ID {
			t.Fatalf("a user's sessions: %v", us)
		}
		return nil
	})
	wantErr(t, e.st.Update(t.Context(), func(tx store.Tx) error { _, err := tx.LockSession(s.ID + 1000); return err }), store.ErrNotFound)
}

// testSaveParts: the lease goes with its seat, and what did not change stays.
func testSaveParts(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	if !e.grant(s.ID, 1, time.Minute) {
		t.Fatal("no lease")
	}
	taken := func(m int64) (n int) {
		e.view(func(tx store.Tx) (err error) { n, err = tx.SeatsTaken(m); return err })
		return n
	}
	same(t, "seats taken", taken(f.method.ID), 1)
	e.change(s.ID, func(tx store.Tx, s *session.Session) { s.Lease.DeliveryMethod = f.other.ID })
	same(t, "seats of the old method", taken(f.method.ID), 0)
	same(t, "seats of the new method", taken(f.other.ID), 1)
	e.change(s.ID, func(tx store.Tx, s *session.Session) { s.Lease = nil })
	same(t, "seats when the lease is gone", taken(f.other.ID), 0)
	if e.get(s.ID).Lease != nil {
		t.Error("the lease is still there")
	}
}

func testOrders(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	e.grant(s.ID, 0, time.Minute)
	act := func(a session.Action) {
		e.change(s.ID, func(tx store.Tx, s *session.Session) {
			if err := s.Act(a, session.Actor{Role: session.Admin, Name: "root"}, "because", tx.LeaseNow(), time.Minute); err != nil {
				t.Fatal(err)
			}
		})
	}
	act(session.Evict)
	o := e.get(s.ID).Order
	if o == nil || o.Action != session.Evict || o.By.Name != "root" || o.Reason != "because" || !o.Open() {
		t.Fatalf("order: %+v", o)
	}
	due := func() (ids []int64) {
		e.view(func(tx store.Tx) (err error) { ids, err = tx.OrdersDue(10); return err })
		return ids
	}
	same(t, "not due yet", len(due()), 0)
	act(session.Expire) // replaces it
	e.step(5 * time.Minute)
	same(t, "due once, though two were given", due(), []int64{s.ID})
	e.change(s.ID, func(tx store.Tx, s *session.Session) { s.Tick(tx.LeaseNow(), session.Contact{}, 0) })
	same(t, "no longer due", len(due()), 0)
	if o := e.get(s.ID).Order; o.Open() || o.ClosedBy != session.ByLapse || o.Action != session.Expire {
		t.Fatalf("closed order: %+v", o)
	}
}

func ids(list []*session.Session) []int64 {
	var out []int64
	for _, s := range list {
		out = append(out, s.ID)
	}
	return out
}

func testSessionsOfAgent(t *testing.T, e *env) {
	f := e.fixture()
	a, b, gone := e.launch(f, 0, true), e.launch(f, 1, true), e.launch(f, 0, true)
	unbound := e.launch(f, 0, false)
	e.change(gone.ID, func(tx store.Tx, s *session.Session) {
		s.Observe(session.Observation{Type: session.ObsAdded, At: tx.WallNow()}, byAgent)
		s.Observe(session.Observation{Type: session.ObsRemoved, At: tx.WallNow()}, byAgent)
	})
	e.view(func(tx store.Tx) error {
		same(t, "of the agent", ids(must[[]*session.Session](t)(tx.SessionsOfAgent(f.agent.ID))), []int64{a.ID, b.ID})
		return nil
	})
	e.update(func(tx store.Tx) error {
		got := must[[]*session.Session](t)(tx.LockSessionsOfAgent(f.agent.ID, []int64{b.ID, gone.ID, unbound.ID, 9999}))
		same(t, "with those asked for that are its own", ids(got), []int64{a.ID, b.ID, gone.ID})
		older := must[[]*session.Session](t)(tx.Superseded(f.users[0].ID, f.app.ID, f.agent.ID, gone.ID))
		same(t, "older ones of the same user and app", ids(older), []int64{a.ID})
		return nil
	})
}

func testLeasesOver(t *testing.T, e *env) {
	f := e.fixture()
	var all []int64
	for range 7 {
		s := e.launch(f, 0, true)
		e.grant(s.ID, 0, time.Minute)
		all = append(all, s.ID)
	}
	walk := func(scan, limit int) (got []int64) {
		after := int64(0)
		for range 20 {
			var ids []int64
			e.view(func(tx store.Tx) (err error) { ids, after, err = tx.LeasesOver(after, scan, limit); return err })
			if got = append(got, ids...); after == 0 {
				return got
			}
		}
		t.Fatal("the walk does not end")
		return nil
	}
	same(t, "none is over", len(walk(100, 100)), 0)
	e.change(all[3], func(tx store.Tx, s *session.Session) { s.Lease.FreeAt = s.Lease.FreeAt.Add(time.Hour) })
	e.step(10 * time.Minute)
	want := slices.Delete(slices.Clone(all), 3, 4)
	same(t, "all at once", walk(100, 100), want)
	same(t, "a few leases at a time", walk(2, 100), want)
	same(t, "a few rows at a time", walk(100, 2), want)
}

func testSeats(t *testing.T, e *env) {
	f := e.fixture()
	a, b := e.launch(f, 0, true), e.launch(f, 1, true)
	if !e.grant(a.ID, 1, time.Minute) {
		t.Fatal("the first gets no seat")
	}
	if e.grant(b.ID, 1, time.Minute) {
		t.Fatal("the one seat is given twice")
	}
	free := e.get(a.ID).Lease.FreeAt
	e.step(free.Sub(e.in(0)) - time.Second)
	if e.grant(b.ID, 1, time.Minute) {
		t.Fatal("the seat is given before it is certainly free")
	}
	e.step(time.Second)
	if !e.grant(b.ID, 1, time.Minute) {
		t.Fatal("the seat is not given when it is free, though nobody swept")
	}
	c := e.launch(f, 2, true)
	if !e.grant(c.ID, 0, time.Minute) {
		t.Fatal("no limit, and no seat")
	}
	// Two at once in one transaction: a seat whose lease is still to be written counts.
	e.step(time.Hour)
	e.update(func(tx store.Tx) error {
		one := must[bool](t)(tx.TakeSeat(f.other.ID, a.ID, 1))
		two := must[bool](t)(tx.TakeSeat(f.other.ID, b.ID, 1))
		if !one || two {
			t.Errorf("two seats in one transaction: %v, %v", one, two)
		}
		return nil
	})
}
