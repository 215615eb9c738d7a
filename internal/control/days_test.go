package control_test

import (
	"fmt"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// TestHousekeepingWithoutMidnight: in a zone in which a day begins at 01:00 the next run is
// known and comes, at any hour that is set, and what expired the day before is deleted.
func TestHousekeepingWithoutMidnight(t *testing.T) {
	for _, tt := range []struct {
		zone, before string // before the day without midnight
		hour         int
		runs         []string
	}{
		{"America/Santiago", "2026-09-04T12:00:00Z", 0, []string{"2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}},
		{"America/Santiago", "2026-09-04T12:00:00Z", 2, []string{"2026-09-05T06:00:00Z", "2026-09-06T05:00:00Z", "2026-09-07T05:00:00Z"}},
		{"America/Havana", "2026-03-06T12:00:00Z", 0, []string{"2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"}},
		{"Africa/Cairo", "2026-04-22T12:00:00Z", 1, []string{"2026-04-22T23:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T22:00:00Z"}},
	} {
		t.Run(fmt.Sprintf("%s at %d", tt.zone, tt.hour), func(t *testing.T) {
			each(t, func(t *testing.T, s *stepped) {
				if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(set *control.Settings) error {
					set.TimeZone, set.HousekeepingHour = tt.zone, tt.hour
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				before, err := time.Parse(time.RFC3339, tt.before)
				if err != nil {
					t.Fatal(err)
				}
				s.step(before.Sub(s.now))
				daily := func() {
					t.Helper()
					if err := s.Control.HousekeepDaily(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				daily()
				app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
				id := s.added(s.agent("LAB-1"), app.ID)
				s.Act(id, session.Expire, "")
				for i, want := range tt.runs {
					next := s.nextRun()
					if got := next.Format(time.RFC3339); got != want {
						t.Fatalf("the next run is at %s, want %s", got, want)
					}
					// What a session's page tells asks for days, too.
					d, err := s.Control.Session(t.Context(), id)
					if err != nil || len(d.Outlook) == 0 {
						t.Fatalf("%+v, %v", d, err)
					}
					if i == 0 && !d.Outlook[len(d.Outlook)-1].At.Equal(next) {
						t.Errorf("it is deleted at %s, the run is at %s", d.Outlook[len(d.Outlook)-1].At, next)
					}
					s.step(next.Sub(s.now) - time.Second)
					daily()
					if !s.nextRun().Equal(next) {
						t.Fatalf("it ran a second early")
					}
					s.step(time.Second)
					daily()
					if gone := !s.Session(id).DeletedAt.IsZero(); !gone {
						t.Errorf("after the run at %s the session is still listed", want)
					}
				}
				list, _, err := s.Control.Audit(t.Context(), store.AuditQuery{Action: control.ActionHousekeeping, Page: store.Page{Size: 100}})
				if err != nil || len(list) != len(tt.runs)+1 {
					t.Errorf("%d runs, %v", len(list), err)
				}
			})
		})
	}
}

// nextRun is when the housekeeping runs next. The test fails if that is not found soon.
func (s *stepped) nextRun() time.Time {
	s.t.Helper()
	done := make(chan struct{})
	var next time.Time
	var err error
	go func() {
		defer close(done)
		next, err = s.Control.NextHousekeeping(s.t.Context())
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		s.t.Fatal("the next run is looked for without end")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return next
}
