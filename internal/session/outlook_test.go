package session_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// TestOutlook: what a session's page says of its future, line by line.
func TestOutlook(t *testing.T) {
	now := time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	grant := &lease.Grant{Kind: lease.Floating, Generation: 1, Run: 1, GrantedAt: leaseAt(in(-time.Minute)), ExpiresAt: leaseAt(in(16 * time.Minute)), FreeAt: leaseAt(in(17 * time.Minute))}
	open := &session.Order{Action: session.Evict, RequestedAt: in(-time.Second), ETA: leaseAt(in(17 * time.Minute))}
	const (
		renewable = "Its lease can be renewed by the next check-in"
		closed    = "The device has closed the app, after its warnings, unless the lease was renewed"
		lapse     = "Without a word from the device it becomes stopped (lease lapsed) and its seat is free"
		starts    = "It runs when the user next starts the app"
	)
	for _, tt := range []struct {
		name string
		s    session.Session
		p    session.Prospects
		want []string
	}{
		{
			"runs", session.Session{Status: session.Running, Observed: session.IsRunning, Lease: grant}, session.Prospects{},
			[]string{renewable, closed, lapse},
		},
		{
			"runs, its user may not any more", session.Session{Status: session.Running, Observed: session.IsRunning, Lease: grant},
			session.Prospects{NotRenewed: session.NotEntitled, EntitledTo: in(time.Hour)},
			[]string{"With the next check-in its renewal is refused and the app is closed after its warnings: its user may not run the app any more", closed, lapse},
		},
		{
			"runs on a copied folder", session.Session{Status: session.Running, Observed: session.IsRunning, Lease: grant},
			session.Prospects{NotRenewed: session.CopiedFolder},
			[]string{"Its lease is not renewed: the device is quarantined: its state folder was copied", closed, lapse},
		},
		{
			"runs, superseded", session.Session{Status: session.Running, Observed: session.IsRunning, Lease: grant, Unneeded: []string{session.UnneededSuperseded}},
			session.Prospects{},
			[]string{renewable, closed, lapse, "When the app is closed it is flagged for expiry: superseded"},
		},
		{
			"stopped, its end unproved", session.Session{Status: session.Stopped, Observed: session.IsIdle, Lease: grant}, session.Prospects{},
			[]string{starts, "Its seat is free: the device could not confirm that every process of the app has ended", "It expires (not used), unless it is used before; a day later it is deleted from the list"},
		},
		{
			"evicted, being closed", session.Session{Status: session.Evicted, Observed: session.IsRunning, Lease: grant, Order: open}, session.Prospects{LastSeen: in(-time.Minute)},
			[]string{"The device is due to check in, and learns of the evict", "The app is closed, whether or not the device answers", starts, "It expires (not used since it was evicted), unless it is used before; a day later it is deleted from the list"},
		},
		{
			"evicted, being closed, its user may not any more",
			session.Session{Status: session.Evicted, Observed: session.IsRunning, Lease: grant, Order: open, Unneeded: []string{session.UnneededEntitlement}},
			session.Prospects{LastSeen: in(-time.Hour), NotRenewed: session.NotEntitled},
			[]string{"The device is overdue; when it checks in it learns of the evict", "The app is closed, whether or not the device answers", "When the app is closed it is flagged for expiry: entitlement lost"},
		},
		{
			"lapsed, and silent", session.Session{Status: session.Stopped, StatusSince: in(-time.Minute), Observed: session.IsRunning},
			session.Prospects{LastSeen: in(-time.Hour)},
			[]string{
				"The device tells when the app was closed; its lease is over, so that it does not run any more", starts,
				"It expires (not used), unless it is used before; a day later it is deleted from the list",
			},
		},
		{
			"superseded", session.Session{Status: session.AwaitingExpiry, Observed: session.IsIdle, Unneeded: []string{session.UnneededSuperseded}}, session.Prospects{},
			[]string{"It expires (no longer needed), unless it is used before; a day later it is deleted from the list"},
		},
		{
			"a newer version that was put off", session.Session{Status: session.Stopped, Observed: session.IsIdle}, session.Prospects{Successor: "MATLAB 2"},
			[]string{"Its newer version, MATLAB 2, is asked for by the device, unless its user has put it off, for a day at a time", starts, "It expires (not used), unless it is used before; a day later it is deleted from the list"},
		},
		{
			"a newer version that cannot be had", session.Session{Status: session.UpgradeRequested, Observed: session.IsIdle, Problem: "no"}, session.Prospects{Successor: "MATLAB 2"},
			[]string{"It moves to MATLAB 2 when what keeps that from the device is mended", "It expires (not used since its upgrade was asked for), unless it is used before; a day later it is deleted from the list"},
		},
		{
			"deleted", session.Session{Status: session.Expired, DeletedAt: in(-time.Hour)}, session.Prospects{History: 48 * time.Hour},
			[]string{"Its history is deleted for good"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.Kind = session.Device
			tt.s.LastActivityAt = in(-time.Hour)
			tt.p.Now, tt.p.Terms = clock(now), lease.Terms{Kind: lease.Floating, Heartbeat: 5 * time.Minute}
			tt.p.Periods = session.Periods{Stopped: 720 * time.Hour, Launched: 48 * time.Hour, Idle: 720 * time.Hour}
			tt.p.Day = func(x time.Time) time.Time { return x.Truncate(24 * time.Hour) }
			tt.p.Housekeeping = func(x time.Time) time.Time {
				run := x.Truncate(24 * time.Hour).Add(2 * time.Hour)
				if run.Before(x) {
					run = run.Add(24 * time.Hour)
				}
				return run
			}
			var got []string
			for _, n := range tt.s.Outlook(tt.p) {
				got = append(got, n.What)
				if n.Who == "" || !n.At.IsZero() && n.At.Before(now) {
					t.Errorf("%s: %+v", n.What, n)
				}
				if strings.Contains(n.Who, "housekeeping") && n.At.Hour() != 2 {
					t.Errorf("%s: at %v, not when the housekeeping runs", n.What, n.At)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
