package storetest

import (
	"fmt"
	"testing"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// testRenamed: what has more sessions than one turn can sort anew leaves a check, whose turns
// bring them all, deleted ones too, into the order of the present name.
func testRenamed(t *testing.T, e *env) {
	f := e.fixture()
	const n = 1300
	var ids []int64
	e.update(func(tx store.Tx) error {
		for i := range n {
			s := session.Launch(session.Device, f.users[0].ID, f.app.ID, f.method.ID, f.provision.ID, session.Actor{Role: session.User}, tx.LeaseNow())
			if i%2 == 0 {
				s.Delete(tx.WallNow())
			}
			if err := tx.CreateSession(s); err != nil {
				return err
			}
			ids = append(ids, s.ID)
		}
		return nil
	})
	rename := func(name string) {
		e.update(func(tx store.Tx) error {
			f.app.Name = name
			return tx.SaveApp(f.app)
		})
	}
	e.view(func(tx store.Tx) error {
		_, err := tx.NextCheck()
		wantErr(t, err, store.ErrNotFound)
		return nil
	})
	rename("Zzz")
	turns := 0
	for more := true; more; {
		e.update(func(tx store.Tx) error {
			k, err := tx.NextCheck()
			if err != nil {
				more = false
				wantErr(t, err, store.ErrNotFound)
				return nil
			}
			if k.Scope != store.SortOfApp || !k.Scope.Sorts() || k.Ref != f.app.ID {
				t.Fatalf("check %+v", k)
			}
			if k, err = tx.LockCheck(k.ID); err != nil {
				return err
			}
			turns++
			if k.Reached, err = tx.Resort(k.Scope, k.Ref, k.Reached, 400); err != nil {
				return err
			}
			return tx.SaveCheck(k, k.Reached == 0)
		})
	}
	if turns == 0 {
		t.Error("all was done at once")
	}
	// A session of another app that sorts between the old name and the new one.
	other := e.launch(f, 1, false)
	e.update(func(tx store.Tx) error {
		app := *f.app
		app.ID, app.Name = 0, "Mmm"
		if err := tx.CreateApp(&app); err != nil {
			return err
		}
		s := must[*session.Session](t)(tx.LockSession(other.ID))
		fresh := session.Launch(session.Device, s.UserID, app.ID, s.DeliveryMethodID, s.ProvisionID, session.Actor{Role: session.User}, tx.LeaseNow())
		ids = append(ids, 0)
		if err := tx.CreateSession(fresh); err != nil {
			return err
		}
		ids[len(ids)-1] = fresh.ID
		return nil
	})
	e.view(func(tx store.Tx) error {
		p := must[store.SessionPage](t)(tx.ListSessions(store.SessionQuery{History: true, Sort: "app", PageSize: 1}))
		if len(p.Rows) != 1 || p.Rows[0].ID != ids[len(ids)-1] {
			t.Errorf("the first by app is %s", fmt.Sprint(p.Rows))
		}
		return nil
	})
	rename("Zzz") // nothing changes, and nothing is left to do
	e.view(func(tx store.Tx) error {
		_, err := tx.NextCheck()
		if err == nil {
			t.Error("a name that stays leaves a check")
		}
		return nil
	})
}
