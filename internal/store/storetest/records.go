package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func testCatalogue(t *testing.T, e *env) {
	now := e.clock.Now()
	a := &catalog.App{Name: "MATLAB", Description: "Numerical", Status: catalog.Active, CreatedAt: now}
	d := &catalog.DeliveryMethod{
		Name: "MATLAB, installed", Kind: session.Device, Licence: catalog.Licence{Type: lease.Fixed, OfflineSeconds: 3600, Seats: 7},
		HeartbeatSeconds: 60, WarningsSeconds: []int{20, 10}, SuccessorID: 0, CreatedAt: now,
		Packages: []catalog.Package{{OS: "linux", Type: catalog.Command, Command: []string{"matlab", "-x"}}},
	}
	stream := &catalog.DeliveryMethod{Name: "MATLAB, streamed", Kind: session.Stream, Licence: catalog.Licence{Type: lease.Floating}, HeartbeatSeconds: 10, WarningsSeconds: []int{5},
		Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"matlab"}}}, Stream: &catalog.StreamSettings{Geometry: "1280x800", Pool: "gpu"}, CreatedAt: now}
	e.update(func(tx store.Tx) error {
		if err := tx.CreateApp(a); err != nil {
			return err
		}
		d.AppID, stream.AppID = a.ID, a.ID
		if err := tx.CreateDeliveryMethod(d); err != nil {
			return err
		}
		return tx.CreateDeliveryMethod(stream)
	})
	e.view(func(tx store.Tx) error {
		same(t, "app", must[*catalog.App](t)(tx.App(a.ID)), a)
		same(t, "method", must[*catalog.DeliveryMethod](t)(tx.DeliveryMethod(d.ID)), d)
		same(t, "stream method", must[*catalog.DeliveryMethod](t)(tx.DeliveryMethod(stream.ID)), stream)
		same(t, "in order of preference", must[[]*catalog.DeliveryMethod](t)(tx.DeliveryMethodsOf(a.ID)), []*catalog.DeliveryMethod{d, stream})
		list, next, err := tx.ListDeliveryMethods(a.ID, "STREAM", store.Page{})
		if err != nil || next != "" || len(list) != 1 || list[0].ID != stream.ID {
			t.Fatalf("list: %v %q %v", list, next, err)
		}
		_, err = tx.App(a.ID + 100)
		wantErr(t, err, store.ErrNotFound)
		_, err = tx.DeliveryMethod(d.ID + 100)
		wantErr(t, err, store.ErrNotFound)
		return nil
	})
	a.Name, a.Status = "Matlab 2", catalog.Suspended
	d.HeartbeatSeconds, d.SuccessorID = 30, stream.ID
	e.update(func(tx store.Tx) error {
		if err := tx.SaveApp(a); err != nil {
			return err
		}
		return tx.SaveDeliveryMethod(d)
	})
	e.view(func(tx store.Tx) error {
		same(t, "saved app", must[*catalog.App](t)(tx.App(a.ID)), a)
		same(t, "saved method", must[*catalog.DeliveryMethod](t)(tx.DeliveryMethod(d.ID)), d)
		list, _, err := tx.ListApps("lab 2", store.Page{})
		if err != nil || len(list) != 1 {
			t.Fatalf("found by its new name: %v %v", list, err)
		}
		list, _, err = tx.ListApps("matlab'; drop", store.Page{})
		if err != nil || len(list) != 0 {
			t.Fatalf("quotes are text: %v %v", list, err)
		}
		return nil
	})
}

func testDirectory(t *testing.T, e *env) {
	now := e.clock.Now()
	g := &directory.Group{Name: "Engineering", Source: "local", CreatedAt: now}
	u := &directory.User{Username: "Ann", Name: "Ann Berg", Email: "ann@example.org", Role: directory.RoleAdmin, Status: directory.Active, Source: "local", PasswordHash: "x", TimeZone: "Europe/Berlin", CreatedAt: now}
	e.update(func(tx store.Tx) error {
		if err := tx.CreateGroup(g); err != nil {
			return err
		}
		u.GroupIDs = []int64{g.ID}
		return tx.CreateUser(u)
	})
	e.update(func(tx store.Tx) error {
		same(t, "user, locked", must[*directory.User](t)(tx.LockUser(u.ID)), u)
		_, err := tx.LockUser(u.ID + 100)
		wantErr(t, err, store.ErrNotFound)
		u.MustChangePassword = true
		return tx.SaveUser(u)
	})
	e.view(func(tx store.Tx) error {
		same(t, "user", must[*directory.User](t)(tx.User(u.ID)), u)
		same(t, "by name, any case", must[*directory.User](t)(tx.UserByName("ANN")), u)
		same(t, "members", must[*directory.Group](t)(tx.Group(g.ID)).UserIDs, []int64{u.ID})
		same(t, "admins", must[int](t)(tx.CountAdmins()), 1)
		_, err := tx.UserByName("nobody")
		wantErr(t, err, store.ErrNotFound)
		for _, q := range []string{"", "an", "BERG", "example.org"} {
			list, _, err := tx.ListUsers(q, store.Page{})
			if err != nil || len(list) != 1 {
				t.Fatalf("users %q: %v %v", q, list, err)
			}
		}
		return nil
	})
	g.UserIDs = nil
	u.Status = directory.Suspended
	e.update(func(tx store.Tx) error {
		u.GroupIDs = nil
		if err := tx.SaveUser(u); err != nil {
			return err
		}
		g.Name = "Engineers"
		return tx.SaveGroup(g)
	})
	e.view(func(tx store.Tx) error {
		same(t, "left the group", len(must[*directory.User](t)(tx.User(u.ID)).GroupIDs), 0)
		same(t, "suspended admins do not count", must[int](t)(tx.CountAdmins()), 0)
		list, _, err := tx.ListGroups("gineers", store.Page{})
		if err != nil || len(list) != 1 {
			t.Fatalf("groups: %v %v", list, err)
		}
		return nil
	})
	e.update(func(tx store.Tx) error { return tx.DeleteGroup(g.ID) })
	e.view(func(tx store.Tx) error {
		_, err := tx.Group(g.ID)
		wantErr(t, err, store.ErrNotFound)
		return nil
	})
	// Pages by name, each row once, any case.
	e.update(func(tx store.Tx) error {
		for i := range 25 {
			if err := tx.CreateUser(&directory.User{Username: fmt.Sprintf("user%02d", 24-i), Name: "N", Role: "user", Status: "active", CreatedAt: now}); err != nil {
				return err
			}
		}
		return nil
	})
	var names []string
	e.view(func(tx store.Tx) error {
		for page := (store.Page{Size: 7}); ; {
			list, next, err := tx.ListUsers("user", page)
			if err != nil {
				return err
			}
			for _, u := range list {
				names = append(names, u.Username)
			}
			if page.Token = next; next == "" {
				return nil
			}
		}
	})
	if len(names) != 25 || names[0] != "user00" || names[24] != "user24" {
		t.Fatalf("paged: %v", names)
	}
}

func testDeletedNames(t *testing.T, e *env) {
	err := func(fn func(store.Tx) error) error { return e.st.Update(t.Context(), fn) }
	a := &catalog.App{Name: "SPSS", Status: catalog.Active}
	e.update(func(tx store.Tx) error { return tx.CreateApp(a) })
	wantErr(t, err(func(tx store.Tx) error { return tx.CreateApp(&catalog.App{Name: "spss", Status: catalog.Active}) }), store.ErrNameTaken)
	a.DeletedAt = e.clock.Now()
	e.update(func(tx store.Tx) error { return tx.SaveApp(a) })
	e.update(func(tx store.Tx) error { return tx.CreateApp(&catalog.App{Name: "spss", Status: catalog.Active}) })
	e.view(func(tx store.Tx) error {
		list, _, err := tx.ListApps("", store.Page{})
		if err != nil || len(list) != 1 || list[0].ID == a.ID {
			t.Fatalf("a deleted app is listed: %v %v", list, err)
		}
		same(t, "a deleted app is still found by number", must[*catalog.App](t)(tx.App(a.ID)), a)
		return nil
	})
	e.update(func(tx store.Tx) error { return tx.CreateUser(&directory.User{Username: "bo", Name: "Bo"}) })
	wantErr(t, err(func(tx store.Tx) error { return tx.CreateUser(&directory.User{Username: "BO", Name: "Bo"}) }), store.ErrNameTaken)
	e.update(func(tx store.Tx) error { return tx.CreateGroup(&directory.Group{Name: "g"}) })
	wantErr(t, err(func(tx store.Tx) error { return tx.CreateGroup(&directory.Group{Name: "G"}) }), store.ErrNameTaken)
}

func testProvisions(t *testing.T, e *env) {
	f := e.fixture()
	now := e.clock.Now()
	byUser := &directory.Provision{Name: "Direct", UserIDs: []int64{f.users[0].ID}, DeliveryMethodIDs: []int64{f.method.ID}, Enabled: true, StartsAt: now, EndsAt: now.Add(time.Hour), CreatedAt: now}
	byGroup := &directory.Provision{Name: "By group", GroupIDs: []int64{f.group.ID}, DeliveryMethodIDs: []int64{f.method.ID, f.other.ID}, CreatedAt: now}
	e.update(func(tx store.Tx) error {
		if err := tx.CreateProvision(byUser); err != nil {
			return err
		}
		return tx.CreateProvision(byGroup)
	})
	ids := func(user, method int64) (out []int64) {
		e.view(func(tx store.Tx) error {
			list, err := tx.ProvisionsFor(user, method)
			for _, p := range list {
				if p.ID != f.provision.ID {
					out = append(out, p.ID)
				}
			}
			return err
		})
		return out
	}
	e.view(func(tx store.Tx) error {
		same(t, "provision", must[*directory.Provision](t)(tx.Provision(byUser.ID)), byUser)
		list, _, err := tx.ListProvisions("GROUP", store.Page{})
		if err != nil || len(list) != 1 || list[0].ID != byGroup.ID {
			t.Fatalf("list: %v %v", list, err)
		}
		return nil
	})
	same(t, "of the first user", ids(f.users[0].ID, f.method.ID), []int64{byUser.ID})
	same(t, "of a member", ids(f.users[1].ID, 0), []int64{byGroup.ID})
	same(t, "of another method", ids(f.users[0].ID, f.other.ID), []int64(nil))
	byGroup.GroupIDs, byGroup.Enabled = nil, true
	e.update(func(tx store.Tx) error { return tx.SaveProvision(byGroup) })
	same(t, "after the group went", ids(f.users[1].ID, 0), []int64(nil))
	e.update(func(tx store.Tx) error { return tx.DeleteProvision(byUser.ID) })
	same(t, "after it was deleted", ids(f.users[0].ID, 0), []int64(nil))
	e.view(func(tx store.Tx) error {
		_, err := tx.Provision(byUser.ID)
		wantErr(t, err, store.ErrNotFound)
		return nil
	})
}

func testVersion(t *testing.T, e *env) {
	version := func() (v int64) {
		e.view(func(tx store.Tx) (err error) { v, err = tx.Version(); return err })
		return v
	}
	f := e.fixture()
	for _, tt := range []struct {
		what string
		do   func(store.Tx) error
		up   bool
	}{
		{"an app", func(tx store.Tx) error { return tx.SaveApp(f.app) }, true},
		{"a method", func(tx store.Tx) error { return tx.SaveDeliveryMethod(f.method) }, true},
		{"a user", func(tx store.Tx) error { return tx.SaveUser(f.users[0]) }, true},
		{"a group", func(tx store.Tx) error { return tx.SaveGroup(f.group) }, true},
		{"a provision", func(tx store.Tx) error { return tx.SaveProvision(f.provision) }, true},
		{"a deleted provision", func(tx store.Tx) error { return tx.DeleteProvision(f.provision.ID) }, true},
		{"a deleted group", func(tx store.Tx) error { return tx.DeleteGroup(f.group.ID) }, true},
		{"a setting", func(tx store.Tx) error { return tx.SetSetting("a", "b") }, true},
	} {
		last := version()
		e.update(tt.do)
		if now := version(); (now > last) != tt.up {
			t.Errorf("%s: version went from %d to %d", tt.what, last, now)
		}
	}
}

func testAgents(t *testing.T, e *env) {
	now := e.clock.Now()
	a := &store.Agent{Kind: wire.Player, Name: "LAB-1", OS: "linux", Arch: "amd64", Version: "1", Credential: []byte("hash"), CreatedAt: now, Seen: store.Seen{At: now, Lease: e.in(0)}, Simulated: true}
	k := &store.EnrolmentKey{Kind: wire.Host, Hash: []byte("key"), CreatedAt: now, ExpiresAt: now.Add(time.Hour), CreatedBy: "ann", Simulated: true}
	e.update(func(tx store.Tx) error {
		if err := tx.CreateAgent(a); err != nil {
			return err
		}
		return tx.CreateEnrolmentKey(k)
	})
	a.Name, a.Version = "LAB-2", "2"
	a.Chain = lease.Chain{Last: 12, Token: "t2", Previous: "t1", Quarantined: true}
	a.Epoch, a.Seq = 3, 44
	e.update(func(tx store.Tx) error {
		got, err := tx.LockAgent(a.ID)
		if err != nil {
			return err
		}
		same(t, "as it was created", got.Name, "LAB-1")
		return tx.SaveAgent(a)
	})
	e.view(func(tx store.Tx) error {
		same(t, "agent", must[*store.Agent](t)(tx.Agent(a.ID)), a)
		same(t, "key", must[*store.EnrolmentKey](t)(tx.EnrolmentKey([]byte("key"))), k)
		_, err := tx.EnrolmentKey([]byte("other"))
		wantErr(t, err, store.ErrNotFound)
		list, _, err := tx.ListAgents(wire.Player, "ab-2", store.Page{})
		if err != nil || len(list) != 1 {
			t.Fatalf("list: %v %v", list, err)
		}
		list, _, err = tx.ListAgents(wire.Host, "", store.Page{})
		if err != nil || len(list) != 0 {
			t.Fatalf("list of hosts: %v %v", list, err)
		}
		return nil
	})
	f := e.fixture()
	e.update(func(tx store.Tx) error {
		if err := tx.RecordDevice(f.users[0].ID, a.ID, now); err != nil {
			return err
		}
		return tx.RecordDevice(f.users[0].ID, a.ID, now.Add(time.Minute))
	})
	e.view(func(tx store.Tx) error {
		same(t, "devices", len(must[[]*store.Agent](t)(tx.DevicesOf(f.users[0].ID))), 1)
		same(t, "people", must[[]wire.Person](t)(tx.PeopleOf(a.ID)), []wire.Person{{ID: f.users[0].ID, Username: f.users[0].Username, Name: f.users[0].Name}})
		same(t, "devices of another", len(must[[]*store.Agent](t)(tx.DevicesOf(f.users[1].ID))), 0)
		return nil
	})
	e.update(func(tx store.Tx) error {
		if err := tx.RecordDevice(f.users[1].ID, a.ID, now); err != nil {
			return err
		}
		if err := tx.ForgetDevice(f.users[1].ID, a.ID); err != nil {
			return err
		}
		wantErr(t, tx.ForgetDevice(f.users[1].ID, a.ID), store.ErrNotFound)
		same(t, "people who are left", len(must[[]wire.Person](t)(tx.PeopleOf(a.ID))), 1)
		return nil
	})
	e.update(func(tx store.Tx) error { return tx.DeleteAgent(a.ID) })
	wantErr(t, e.st.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteAgent(a.ID) }), store.ErrNotFound)
	e.view(func(tx store.Tx) error {
		if got := must[*store.Agent](t)(tx.Agent(a.ID)); got.DeletedAt.IsZero() {
			t.Error("a deleted agent does not say so")
		}
		same(t, "devices without the deleted", len(must[[]*store.Agent](t)(tx.DevicesOf(f.users[0].ID))), 0)
		return nil
	})
}

func testAccess(t *testing.T, e *env) {
	now := e.clock.Now()
	e.update(func(tx store.Tx) error {
		if err := tx.SaveWebSession("w", []byte("data"), now.Add(time.Hour)); err != nil {
			return err
		}
		if err := tx.SaveWebSession("w", []byte("more"), now.Add(time.Hour)); err != nil {
			return err
		}
		if err := tx.AddSigningKey(store.SigningKey{ID: "old", PKCS8: []byte{1}, Public: []byte{3}, Endorsement: "e", CreatedAt: now, LeaseAt: 7}); err != nil {
			return err
		}
		if err := tx.AddSigningKey(store.SigningKey{ID: "new", PKCS8: []byte{2}, CreatedAt: now.Add(time.Second), LeaseAt: 8}); err != nil {
			return err
		}
		return tx.SetSetting("colour", "green")
	})
	e.view(func(tx store.Tx) error {
		data, ok, err := tx.WebSession("w")
		if err != nil || !ok || string(data) != "more" {
			t.Fatalf("web session: %q %v %v", data, ok, err)
		}
		keys := must[[]store.SigningKey](t)(tx.SigningKeys())
		if len(keys) != 2 || keys[0].ID != "new" {
			t.Fatalf("keys: %v", keys)
		}
		same(t, "the old key", keys[1], store.SigningKey{ID: "old", PKCS8: []byte{1}, Public: []byte{3}, Endorsement: "e", CreatedAt: now, LeaseAt: 7})
		same(t, "setting", must[string](t)(tx.Setting("colour")), "green")
		same(t, "no setting", must[string](t)(tx.Setting("size")), "")
		return nil
	})
	e.update(func(tx store.Tx) error {
		if err := tx.RetireSigningKey("old"); err != nil {
			return err
		}
		keys := must[[]store.SigningKey](t)(tx.LockSigningKeys())
		if len(keys) != 2 || len(keys[1].PKCS8) != 0 || len(keys[1].Public) != 1 || len(keys[0].PKCS8) != 1 {
			t.Errorf("retired: %+v", keys)
		}
		if err := tx.DeleteSigningKey("old"); err != nil {
			return err
		}
		same(t, "keys", len(must[[]store.SigningKey](t)(tx.SigningKeys())), 1)
		return nil
	})
	e.step(time.Hour + time.Second)
	e.view(func(tx store.Tx) error {
		if _, ok, err := tx.WebSession("w"); ok || err != nil {
			t.Fatalf("an expired web session: %v %v", ok, err)
		}
		return nil
	})
	e.update(func(tx store.Tx) error {
		if err := tx.DeleteExpired(); err != nil {
			return err
		}
		return tx.DeleteWebSession("w")
	})
	e.view(func(tx store.Tx) error {
		return nil
	})
}

func testRecords(t *testing.T, e *env) {
	now := e.clock.Now()
	e.update(func(tx store.Tx) error {
		d := store.Denial{At: now, Session: 4, Run: 1, UserID: 1, AppID: 2, DeliveryMethodID: 3, AgentID: 5, Code: session.RefusedNoSeat, Message: "full"}
		if err := tx.AddDenial(d); err != nil {
			return err
		}
		return tx.AddDenial(d) // the same refusal, said again
	})
	e.view(func(tx store.Tx) error {
		ds := must[[]store.Denial](t)(tx.Denials(4, 10))
		if len(ds) != 1 || ds[0].Code != session.RefusedNoSeat || ds[0].Run != 1 {
			t.Fatalf("denials: %+v", ds)
		}
		return nil
	})
}
