package control_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// TestSigningKeysTakeTurns: leases go on over an exchange of keys, whatever the wall clock
// does; older keys verify for as long as what they have signed may last, and can sign
// nothing any more.
func TestSigningKeysTakeTurns(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 5, Warnings: []int{2}})
		a := s.agent("LAB-1")
		s.running(a, app.ID)
		turn := func() {
			t.Helper()
			if err := s.Control.RotateKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		keys := func() (list []store.SigningKey) {
			t.Helper()
			if err := s.Store.View(t.Context(), func(tx store.Tx) (err error) { list, err = tx.SigningKeys(); return err }); err != nil {
				t.Fatal(err)
			}
			return list
		}
		published := func() lease.Keys {
			t.Helper()
			var k lease.Keys
			if err := json.Unmarshal(s.Control.JWKS(), &k); err != nil {
				t.Fatal(err)
			}
			return k
		}
		signedBy := func() string {
			t.Helper()
			u, err := url.Parse(s.Launch(app.ID).Link)
			if err != nil {
				t.Fatal(err)
			}
			ticket := u.Query().Get("ticket")
			for _, k := range keys() {
				only := lease.Keys{k.ID: published()[k.ID]}
				if _, _, err := only.VerifyTicket(ticket, time.Time{}); err == nil {
					return k.ID
				}
			}
			t.Fatal("no key has signed it")
			return ""
		}
		first := keys()[0].ID
		turn()
		s.set(365 * 24 * time.Hour) // a wall clock that jumps exchanges and forgets nothing
		turn()
		if got := keys(); len(got) != 1 || signedBy() != first {
			t.Fatalf("before its time: %+v", got)
		}
		s.set(-365 * 24 * time.Hour)
		for range 3 {
			s.step(5 * time.Second)
			s.say(a)
		}
		old := published()

		s.silently(calendar.Days(90))
		s.step(time.Second)
		turn()
		turn()
		got := keys()
		if len(got) != 2 || got[0].Endorsement == "" || signedBy() != first {
			t.Fatalf("announced: %d keys, signed by %s, want %s", len(got), signedBy(), first)
		}
		second := got[0].ID
		s.step(6 * time.Minute)
		turn()
		if signedBy() != second {
			t.Error("the announced key does not sign")
		}
		// Whoever knows the first key alone comes to know the second by its endorsement.
		if k, err := old.Adopt(s.Control.JWKS()); err != nil || len(k) != 2 {
			t.Errorf("adopted %d, %v", len(k), err)
		}
		again := s.running(a, app.ID)
		s.is(again, session.Running)
		if got := keys(); len(got[1].PKCS8) == 0 {
			t.Error("the first key is retired at once: a node that is behind still signs with it")
		}
		s.step(2 * time.Hour)
		turn()
		if got := keys(); len(got) != 2 || len(got[1].PKCS8) != 0 || len(published()) != 2 {
			t.Errorf("retired: %+v", got)
		}
		// Another node, and this one when it is started again, can use what there is.
		other, err := control.New(t.Context(), control.Config{Store: s.Store, PublicURL: s.url})
		if err != nil || string(other.JWKS()) != string(s.Control.JWKS()) {
			t.Errorf("started again: %v, %s", err, other.JWKS())
		}
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(set *control.Settings) error { set.SigningKeyDays = 3650; return nil }); err != nil {
			t.Fatal(err)
		}
		s.silently(calendar.Days(399))
		s.step(time.Second)
		turn()
		if len(keys()) != 2 {
			t.Error("the first key is forgotten while its leases may be out")
		}
		s.silently(calendar.Days(2))
		s.step(time.Second)
		turn()
		if got := keys(); len(got) != 1 || got[0].ID != second || len(published()) != 1 {
			t.Errorf("over: %+v", got)
		}
	})
}
