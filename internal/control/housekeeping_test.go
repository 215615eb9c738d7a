package control_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/simulate"
	"leasehold/internal/store"
)

// TestHousekeepingDayByDay runs sixty days with a table of sessions, each of which is to
// expire and to be deleted by the run of one day and not before (spec §2,
// "Housekeeping"). The run is at two in the morning, the sessions are from nine.
func TestHousekeepingDayByDay(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, dm := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		type row struct {
			name             string
			expired, deleted int // day of the run, 0 for never within sixty days
			make             func(a *simulate.Agent) int64
			used             int // day on which it is run again, 0 for never
		}
		rows := []row{
			{"launched", 3, 4, func(*simulate.Agent) int64 { return s.Launch(app.ID).Session.ID }, 0},
			{"added", 31, 32, func(a *simulate.Agent) int64 { return s.added(a, app.ID) }, 0},
			{"stopped", 31, 32, func(a *simulate.Agent) int64 { return s.stopped(a, app.ID) }, 0},
			{"stopped, used on day 20", 51, 52, func(a *simulate.Agent) int64 { return s.stopped(a, app.ID) }, 20},
			{"evicted", 31, 32, func(a *simulate.Agent) int64 {
				id := s.running(a, app.ID)
				s.Act(id, session.Evict, "")
				s.say(a)
				s.say(a)
				return id
			}, 0},
			{"expired by hand", 0, 1, func(a *simulate.Agent) int64 {
				id := s.added(a, app.ID)
				s.Act(id, session.Expire, "")
				s.say(a)
				return id
			}, 0},
			{"removed", 0, 1, func(a *simulate.Agent) int64 {
				id := s.added(a, app.ID)
				a.Remove(id)
				s.say(a)
				return id
			}, 0},
			{"awaiting expiry", 1, 2, func(a *simulate.Agent) int64 {
				id := s.added(a, app.ID)
				s.added(a, app.ID) // which supersedes it
				s.is(id, session.AwaitingExpiry)
				return id
			}, 0},
			{"running, silent from now on", 31, 32, func(a *simulate.Agent) int64 { return s.running(a, app.ID) }, 0},
		}
		agents := make([]*simulate.Agent, len(rows))
		ids := make([]int64, len(rows))
		for i, r := range rows {
			agents[i] = s.agent(r.name)
			ids[i] = r.make(agents[i])
		}
		_ = dm
		for day := 1; day <= 60; day++ {
			// A check-in each night is no activity.
			s.step(17*time.Hour - time.Minute)
			for i := range rows {
				if day%7 == 0 && rows[i].name != "running, silent from now on" {
					s.say(agents[i])
				}
			}
			if err := s.Control.HousekeepDaily(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, r := range rows {
				got := s.Session(ids[i])
				if was := r.deleted != 0 && r.deleted < day; was != !got.DeletedAt.IsZero() {
					t.Fatalf("%s: one minute before the run of day %d: deleted %v", r.name, day, got.DeletedAt)
				}
			}
			s.step(time.Minute)
			if err := s.Control.HousekeepDaily(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, r := range rows {
				got := s.Session(ids[i])
				if want := r.deleted != 0 && r.deleted <= day; want != !got.DeletedAt.IsZero() {
					t.Errorf("%s: after the run of day %d: deleted %v", r.name, day, got.DeletedAt)
				}
				if r.expired != 0 && (r.expired <= day) != (got.Status == session.Expired || got.Status == session.Removed) {
					t.Errorf("%s: after the run of day %d: %s", r.name, day, got.Status)
				}
			}
			s.step(7 * time.Hour)
			for i, r := range rows {
				if r.used == day {
					if err := agents[i].Start(ids[i]); err != nil {
						t.Fatal(err)
					}
					s.say(agents[i])
					agents[i].Exit(ids[i])
					s.say(agents[i])
				}
			}
		}
		// What was deleted is in the history with its whole timeline, and its agent was told
		// to remove it.
		l, err := s.Control.ListSessions(t.Context(), store.SessionQuery{History: true, PageSize: 100})
		if err != nil || l.Total != len(rows)+1 {
			t.Fatalf("history: %d, %v", l.Total, err)
		}
		s.say(agents[1])
		s.say(agents[1])
		if got := s.Session(ids[1]); got.Observed != session.IsAbsent {
			t.Errorf("deleted, and after two check-ins still %s on the device", got.Observed)
		}
		d, err := s.Control.Session(t.Context(), ids[1])
		if err != nil || len(d.Transitions) < 3 {
			t.Errorf("the history of a deleted session: %+v, %v", d, err)
		}
	})
}

// stopped is a session whose app ran once.
func (s *stepped) stopped(a *simulate.Agent, app int64) int64 {
	s.t.Helper()
	id := s.running(a, app)
	a.Exit(id)
	s.say(a)
	s.is(id, session.Stopped)
	return id
}

// TestHousekeepingOnceADay: one run a day, missed days are caught up with one, and a dry
// run changes nothing.
func TestHousekeepingOnceADay(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		runs := func() int {
			t.Helper()
			list, _, err := s.Control.Audit(t.Context(), store.AuditQuery{Action: control.ActionHousekeeping, Page: store.Page{Size: 100}})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		daily := func() {
			t.Helper()
			if err := s.Control.HousekeepDaily(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		daily()
		daily()
		if runs() != 1 {
			t.Fatalf("%d runs on the first day", runs())
		}
		id := s.Launch(app.ID).Session.ID
		s.step(5 * 24 * time.Hour)
		dry, err := s.Control.Housekeep(t.Context(), s.Admin, true)
		if err != nil || dry.Expired[session.Launched] != 1 || !dry.DryRun {
			t.Fatalf("dry run: %+v, %v", dry, err)
		}
		s.is(id, session.Launched)
		if runs() != 1 {
			t.Fatal("a dry run stands in the audit log")
		}
		daily()
		daily()
		if runs() != 2 {
			t.Fatalf("%d runs after five days", runs())
		}
		s.is(id, session.Expired)
		h, err := s.Control.Housekeep(t.Context(), s.Admin, false)
		if err != nil || h.Deleted != 0 {
			t.Fatalf("expired today and deleted today: %+v, %v", h, err)
		}
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(c *control.Settings) error { c.HistoryDays = 10; return nil }); err != nil {
			t.Fatal(err)
		}
		s.step(24 * time.Hour)
		daily()
		if s.Session(id).DeletedAt.IsZero() {
			t.Fatal("not deleted the following day")
		}
		s.step(11 * 24 * time.Hour)
		h, err = s.Control.Housekeep(t.Context(), s.Admin, false)
		if err != nil || h.Forgotten != 1 {
			t.Fatalf("after its history's time: %+v, %v", h, err)
		}
		if _, err := s.Control.Session(t.Context(), id); err == nil {
			t.Error("its history is still there")
		}
	})
}

// TestWorkThatPanics: a panic in the work beside requests is logged, and the rest of it goes
// on, then and later.
func TestWorkThatPanics(t *testing.T) {
	var log bytes.Buffer
	s := servertest.New(t, control.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	did := 0
	for range 2 {
		s.Control.Try(t.Context(), "sums", func(context.Context) error { did++; panic("oops") })
	}
	if n := strings.Count(log.String(), "work=sums panic=oops"); did != 2 || n != 2 || !strings.Contains(log.String(), "housekeeping_test.go") {
		t.Errorf("done %d times, logged %d times: %s", did, n, log.String())
	}
}
