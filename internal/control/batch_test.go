package control_test

import (
	"errors"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// TestBatchTicked: of mixed rows only those to which the action applies change, the
// preview says so before, and each is checked again when its turn comes.
func TestBatchTicked(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		other, _ := s.App("Other", servertest.Terms{Packages: command, Heartbeat: 60})
		a := s.agent("LAB-1")
		running, second := s.running(a, app.ID), s.running(a, other.ID)
		launched := s.Launch(app.ID).Session.ID
		added := s.added(s.agent("LAB-2"), app.ID)
		ids := []int64{second, running, launched, added, running, 999}
		b, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Evict, Reason: "exam", IDs: ids})
		if err != nil {
			t.Fatal(err)
		}
		if b.Total != 5 || b.WillAffect() != 2 || len(b.Affected) != 2 || len(b.Skips) != 3 || b.State != store.BatchPreview {
			t.Fatalf("preview %+v", b)
		}
		s.is(running, session.Running)
		// One of them is over by the time that it is accepted.
		a.Exit(second)
		s.say(a)
		if b, err = s.Control.RunBatch(t.Context(), s.Admin, b.ID, ""); err != nil || b.State != store.BatchDone || b.Applied != 1 || b.Skipped != 4 {
			t.Fatalf("outcome %+v, %v", b, err)
		}
		s.is(running, session.Evicted)
		s.is(second, session.Stopped)
		s.is(launched, session.Launched)
		s.is(added, session.Added)
		results, next, err := s.Control.BatchResults(t.Context(), s.Admin, b.ID, store.Skipped, 0, 3)
		if err != nil || len(results) != 3 || next == 0 {
			t.Fatalf("results %+v, next %d, %v", results, next, err)
		}
		rest, next, err := s.Control.BatchResults(t.Context(), s.Admin, b.ID, store.Skipped, next, 3)
		if err != nil || len(rest) != 1 || next != 0 || rest[0].Session != 999 || rest[0].Row != nil {
			t.Fatalf("the rest %+v, next %d, %v", rest, next, err)
		}
		for _, r := range append(results, rest...) {
			if r.Reason == "" {
				t.Errorf("session %d is skipped and nobody knows why", r.Session)
			}
		}
		// Accepting it again changes nothing.
		if again, err := s.Control.RunBatch(t.Context(), s.Admin, b.ID, ""); err != nil || again.Applied != 1 {
			t.Errorf("accepted twice: %+v, %v", again, err)
		}
	})
}

// TestBatchBegunOnce: whoever did not begin a batch, or not for that reason, is told so.
func TestBatchBegunOnce(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		id := s.running(s.agent("LAB-1"), app.ID)
		olga := control.Who{Username: "olga", Admin: true, From: "192.0.2.7"}
		preview := func() int64 {
			t.Helper()
			b, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Evict, Reason: "exam", IDs: []int64{id}})
			if err != nil {
				t.Fatal(err)
			}
			return b.ID
		}
		run := func(batch int64, who control.Who, reason string, refused bool) {
			t.Helper()
			b, err := s.Control.RunBatch(t.Context(), who, batch, reason)
			if refused != errors.Is(err, control.ErrBegun) || !refused && (err != nil || b.By != olga.Actor() || b.Reason != "fire") {
				t.Errorf("%s, %q: %+v, %v", who.Username, reason, b, err)
			}
			if refused && err != nil && !strings.Contains(err.Error(), "by admin olga with the reason “fire”") && !strings.Contains(err.Error(), "was stopped") {
				t.Errorf("nobody learns who was it: %v", err)
			}
		}
		batch := preview()
		run(batch, olga, "fire", false) // who begins it is who did it, not who previewed it
		run(batch, olga, " fire ", false)
		run(batch, olga, "", false)
		run(batch, olga, "flood", true)
		run(batch, s.Admin, "fire", true)
		if d, err := s.Control.Session(t.Context(), id); err != nil || d.Row.Order.By != olga.Actor() || d.Row.Order.Reason != "fire" {
			t.Errorf("%+v, %v", d.Row.Order, err)
		}

		batch = preview()
		if _, err := s.Control.StopBatch(t.Context(), olga, batch); err != nil {
			t.Fatal(err)
		}
		run(batch, olga, "", true)
	})
}

// TestBatchFilter: everything that matches, in steps that outlive whoever began it.
func TestBatchFilter(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		other, _ := s.App("Other", servertest.Terms{Packages: command, Heartbeat: 60})
		const many = control.BatchAtOnce + 300
		for range many {
			s.Launch(app.ID)
		}
		kept := s.Launch(other.ID).Session.ID
		a := s.agent("LAB-1")
		added := s.added(a, app.ID)
		b, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Expire, Filter: &store.SessionQuery{AppID: app.ID}})
		if err != nil || b.Total != many+1 || b.WillAffect() != 1 {
			t.Fatalf("preview %+v, %v", b, err)
		}
		// What comes after the preview is not in it.
		late := s.added(a, app.ID)
		if b, err = s.Control.RunBatch(t.Context(), s.Admin, b.ID, ""); err != nil || b.State != store.BatchRunning {
			t.Fatalf("%+v, %v", b, err)
		}
		if err := s.Control.RunBatches(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b, err = s.Control.Batch(t.Context(), s.Admin, b.ID); err != nil || b.State != store.BatchDone || b.Applied != 1 || b.Skipped != many {
			t.Fatalf("%+v, %v", b.Batch, err)
		}
		s.is(added, session.Expired)
		s.is(late, session.Added)
		s.is(kept, session.Launched)

		// One that is stopped goes no further.
		b, err = s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Expire, Filter: &store.SessionQuery{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Control.RunBatch(t.Context(), s.Admin, b.ID, ""); err != nil {
			t.Fatal(err)
		}
		if b, err = s.Control.StopBatch(t.Context(), s.Admin, b.ID); err != nil || b.State != store.BatchStopped {
			t.Fatalf("%+v, %v", b, err)
		}
		if err := s.Control.RunBatches(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.is(late, session.Added)
	})
}

func TestBatchRefusesBadInput(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		for field, r := range map[string]control.BatchRequest{
			"action":        {Action: "close", IDs: []int64{1}},
			"ids":           {Action: session.Evict, IDs: []int64{7, 0}},
			"filter.status": {Action: session.Evict, Filter: &store.SessionQuery{Statuses: []session.Status{"asleep"}}},
		} {
			_, err := s.Control.Preview(t.Context(), s.Admin, r)
			var bad invalid.Error
			if !errors.As(err, &bad) || bad[0].Name != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		for _, ids := range [][]int64{nil, {-5}, {1, -1}} {
			var bad invalid.Error
			if _, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Evict, IDs: ids}); !errors.As(err, &bad) || bad[0].Name != "ids" {
				t.Errorf("%v: %v", ids, err)
			}
		}
		if _, err := s.Control.Preview(t.Context(), s.User, control.BatchRequest{Action: session.Evict, IDs: []int64{1}}); !errors.Is(err, control.ErrDenied) {
			t.Errorf("a user's batch: %v", err)
		}
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(c *control.Settings) error { c.ReasonRequired = true; return nil }); err != nil {
			t.Fatal(err)
		}
		b, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Evict, IDs: []int64{1}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Control.RunBatch(t.Context(), s.Admin, b.ID, "")
		var bad invalid.Error
		if !errors.As(err, &bad) || bad[0].Name != "reason" {
			t.Errorf("without the reason that the settings ask for: %v", err)
		}
	})
}
