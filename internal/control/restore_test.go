package control_test

import (
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/store"
)

// The offline duration was lengthened after the backup that the database is restored from:
// an agent that holds a lease of the longer duration says so, and its seat stays its own, and
// that of others like it is waited for.
func TestRestoreKnowsLongerLeases(t *testing.T) {
	const day = 24 * time.Hour
	each(t, func(t *testing.T, s *stepped) {
		app, dm := s.App("App", servertest.Terms{Packages: command, Kind: lease.Fixed, Offline: int(30 * day / time.Second), Heartbeat: 3600, Seats: 2})
		a, b := s.agent("LAB-1"), s.agent("LAB-2")
		id := s.added(a, app.ID)
		s.say(a)
		if l := s.Session(id).Lease; l == nil || l.ExpiresAt.Sub(l.GrantedAt) != 30*day {
			t.Fatalf("lease %+v", l)
		}
		// The backup knows neither of the lease nor of its duration.
		if _, err := s.Control.UpdateDeliveryMethod(t.Context(), s.Admin, dm.ID, func(d *catalog.DeliveryMethod) error {
			d.Licence.OfflineSeconds = int(day / time.Second)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Store.Update(t.Context(), func(tx store.Tx) error {
			x, err := tx.LockSession(id)
			if err != nil {
				return err
			}
			before := store.Clone(x)
			x.Lease = nil
			return tx.SaveSession(before, x)
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Control.Restored(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		s.step(time.Hour)
		s.say(a)
		now := s.leaseNow()
		if l := s.Session(id).Lease; l == nil || l.ExpiresAt.Sub(now.Earliest) < 29*day {
			t.Fatalf("the row of a lease that goes on for 30 days: %+v at %d", l, now.Earliest)
		}
		// A third device may hold another one of these; nobody new gets its seat.
		other := s.added(b, app.ID)
		for _, pass := range []time.Duration{2 * day, 20 * day} {
			s.step(pass)
			s.say(b)
			if s.Session(other).Lease != nil {
				t.Fatalf("a new seat is given %v after the restore", pass)
			}
		}
		s.step(9 * day)
		s.say(b)
		if s.Session(other).Lease == nil {
			t.Error("the hold does not end")
		}
	})
}

// TestRestoredForHoldsTheForceMargin: a hold that is asked for is as long as any lease may
// last by the settings, which may have a longer force margin than the server starts with.
func TestRestoredForHoldsTheForceMargin(t *testing.T) {
	const longest, force = 24 * time.Hour, 10 * time.Minute
	each(t, func(t *testing.T, s *stepped) {
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(c *control.Settings) error {
			c.ForceSeconds = int(force / time.Second)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Control.Restored(t.Context(), longest); err != nil {
			t.Fatal(err)
		}
		if err := s.Store.View(t.Context(), func(tx store.Tx) error {
			_, until, err := tx.RestoreHold(store.EveryMethod)
			if least := tx.LeaseNow().Latest.Add(longest + lease.Terms{ForceMargin: force}.Margin(longest)); until < least {
				t.Errorf("the hold ends %v too early", least.Sub(until))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}
