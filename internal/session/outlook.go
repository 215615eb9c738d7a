package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"leasehold/internal/lease"
)

// Prospects is what a session's future depends on besides itself.
type Prospects struct {
	Now      lease.Now
	Terms    lease.Terms // of the delivery method that the lease is under
	LastSeen time.Time   // when its agent was last heard from; zero if never
	Periods  Periods
	// Housekeeping is the first daily run of the housekeeping that is not before a moment.
	Housekeeping func(time.Time) time.Time
	Day          func(time.Time) time.Time // when the calendar day of a moment began
	History      time.Duration             // how long the history of a deleted session is kept
	EntitledTo   time.Time                 // when the provision ends; zero if it does not
	Successor    string                    // the newer version that it moves to; "" if there is none
	// Of a stream: when its host counts as silent, and what its delivery method allows.
	Silent             time.Time
	Reconnect, Longest time.Duration
	// NotRenewed is why its agent gets no lease any more, as things stand; "" if it does.
	NotRenewed string
}

// Why an agent gets no lease any more, for Prospects.
const (
	NotEntitled    = "its user may not run the app any more"
	CopiedFolder   = "the device is quarantined: its state folder was copied"
	DeviceRemoved  = "the device was removed"
	overdueCheckIn = "The device is overdue; when it checks in it learns of the %s"
)

// Next is one thing that will, or may, happen to a session.
type Next struct {
	At     time.Time // zero: when something else happens, which What says
	after  time.Time // of one with zero At: not before then
	Latest bool      // At is the latest moment, it may be earlier
	What   string    // for people, without a final stop
	Who    string    // who or what decides it
}

// Who decides what happens to a session next.
const (
	byDevice       = "the device"
	byServer       = "the server"
	byUser         = "the user"
	byAdmin        = "an administrator"
	byHousekeeping = "housekeeping"
)

// Outlook lists every timer and every person that decides about the session next, in the
// order in which they may, so that nothing about its future is a mystery.
func (s *Session) Outlook(p Prospects) []Next {
	var list []Next
	add := func(at time.Time, latest bool, who, format string, args ...any) *Next {
		n := Next{At: at, Latest: latest, Who: who, What: fmt.Sprintf(format, args...)}
		if s.Kind == Stream {
			n.Who, n.What = onHost.Replace(n.Who), onHost.Replace(n.What)
		}
		list = append(list, n)
		return &list[len(list)-1]
	}
	if !s.DeletedAt.IsZero() {
		if s.Lease != nil {
			add(p.Now.Shown(s.Lease.FreeAt), true, byServer, "Its lease is certainly over")
		}
		add(p.Housekeeping(s.DeletedAt.Add(p.History)), false, byHousekeeping, "Its history is deleted for good")
		return list
	}
	if s.Order.Open() {
		s.orderNext(add, p)
	}
	s.leaseNext(add, p)
	s.upgradeNext(add, p)
	s.streamNext(add, p)
	if !p.EntitledTo.IsZero() && p.EntitledTo.After(p.Now.Wall) && !s.Status.Ended() && p.NotRenewed == "" {
		add(p.EntitledTo, false, byServer, "Its provision ends: then its renewal is refused, and at rest it is flagged for cleanup")
	}
	s.restNext(add, p)
	return inOrder(list, p.Now.Wall)
}

// closed is when what runs is closed unless it goes on; zero if nothing does.
func (s *Session) closed(p Prospects) time.Time {
	switch {
	case s.Observed != IsRunning:
	case s.Order.Open():
		return s.Order.Forecast(p.Now).At
	case s.Lease != nil:
		return p.Now.Shown(s.Lease.FreeAt)
	}
	return time.Time{}
}

// inOrder sorts by when things can happen; what has no set time may be at once.
func inOrder(list []Next, now time.Time) []Next {
	when := func(n Next) time.Time {
		if n.At.IsZero() {
			return later(n.after, now)
		}
		return later(n.At, now)
	}
	slices.SortStableFunc(list, func(a, b Next) int { return when(a).Compare(when(b)) })
	return list
}

// onHost says of a stream what the lines below say of an app on a device. A host warns
// nobody: the page does, of what is its own to end.
var onHost = strings.NewReplacer(", after its warnings,", "", " after its warnings", "", "The device", "The host", "the device", "the host", "becomes stopped", "becomes disconnected")

// An adder adds a line and returns it.
type adder func(at time.Time, latest bool, who, format string, args ...any) *Next

func (s *Session) orderNext(add adder, p Prospects) {
	o := s.Order
	if o.DeliveredAt.IsZero() {
		due := p.LastSeen.Add(p.Terms.Heartbeat + p.Terms.Heartbeat/10)
		switch {
		case p.NotRenewed == DeviceRemoved:
			// It is told nothing any more.
		case p.LastSeen.IsZero():
			add(time.Time{}, false, byDevice, "When the device checks in it learns of the %s", o.Action)
		case due.Before(p.Now.Wall):
			add(time.Time{}, false, byDevice, overdueCheckIn, o.Action)
		default:
			add(due, false, byDevice, "The device is due to check in, and learns of the %s", o.Action)
		}
	}
	switch f := o.Forecast(p.Now); {
	case s.Observed == IsRunning && !f.Latest:
		add(f.At, false, byDevice, "The app is closed, after its warnings")
	case s.Observed == IsRunning:
		add(p.Now.Shown(o.ETA), true, byDevice, "The app is closed, whether or not the device answers")
	default:
		add(p.Now.Shown(o.ETA), true, byDevice, "The %s is done, whether or not the device answers", o.Action)
	}
}

func (s *Session) leaseNext(add adder, p Prospects) {
	l := s.Lease
	switch {
	case l != nil && l.Kind == lease.Floating && s.Observed != IsRunning && !s.Order.Open():
		add(p.Now.Shown(l.FreeAt), true, byServer, "Its seat is free: the device could not confirm that every process of the app has ended")
	case l != nil && !s.Order.Open():
		renew := p.Now.Shown(l.GrantedAt.Add(p.Terms.Heartbeat))
		switch {
		case p.NotRenewed == NotEntitled:
			add(time.Time{}, false, byServer, "With the next check-in its renewal is refused and the app is closed after its warnings: %s", p.NotRenewed)
		case p.NotRenewed != "":
			add(time.Time{}, false, byAdmin, "Its lease is not renewed: %s", p.NotRenewed)
		case renew.After(p.Now.Wall):
			add(renew, false, byDevice, "Its lease can be renewed by the next check-in")
		default:
			add(time.Time{}, false, byDevice, "Its lease is renewed by the next check-in")
		}
		add(p.Now.Shown(l.ExpiresAt), false, byDevice, "The device has closed the app, after its warnings, unless the lease was renewed")
		if s.Status.Active() || s.Status == UpgradeRequested {
			add(p.Now.Shown(l.FreeAt), false, byServer, "Without a word from the device it becomes stopped (lease lapsed) and its seat is free")
		} else {
			add(p.Now.Shown(l.FreeAt), false, byServer, "Without a word from the device its seat is free")
		}
	case l != nil || s.Observed != IsRunning || s.Order.Open():
	case s.Status == Stopped && p.LastSeen.Before(s.StatusSince):
		add(time.Time{}, false, byDevice, "The device tells when the app was closed; its lease is over, so that it does not run any more")
	case s.Status.Ended() || p.NotRenewed != "":
		add(time.Time{}, false, byDevice, "The app runs without a lease and gets none: the device closes it after its warnings")
	default:
		add(time.Time{}, false, byServer, "The app runs without a lease: the next check-in brings one, or the device closes it after its warnings")
	}
	if s.Status == RenewalRequested && p.NotRenewed == "" {
		add(time.Time{}, false, byServer, "The renewal is granted, or refused and the app closed, with the next check-in")
	}
}

func (s *Session) upgradeNext(add adder, p Prospects) {
	newer := p.Successor
	if newer == "" {
		newer = "the newer version"
	}
	switch {
	case s.Status == UpgradeRequested && s.Problem != "":
		add(time.Time{}, false, byAdmin, "It moves to %s when what keeps that from the device is mended", newer)
	case s.Status == UpgradeRequested && s.Progress > 0 && s.Progress < 100:
		add(time.Time{}, false, byDevice, "It moves to %s when that is on the device (%d%%)", newer, s.Progress)
	case s.Status == UpgradeRequested:
		add(time.Time{}, false, byDevice, "It moves to %s when that is on the device", newer)
	case s.RunMethod != 0 && s.RunMethod != s.DeliveryMethodID && s.Observed == IsRunning:
		add(time.Time{}, false, byUser, "When the app is closed, its next start is the new version")
	case p.Successor != "" && p.NotRenewed == "" && find(s.Kind, EvUpgradeAsked, s.Status, s.Observed == IsRunning) != nil:
		add(time.Time{}, false, byUser, "Its newer version, %s, is asked for by the device, unless its user has put it off, for a day at a time", p.Successor)
	}
}

// streamNext is what only a stream has ahead of it.
func (s *Session) streamNext(add adder, p Prospects) {
	if s.Kind != Stream {
		return
	}
	if s.Status.Ended() {
		add(p.Housekeeping(s.EndedAt.Add(p.History)), false, byHousekeeping, "It is deleted for good, with its history")
	}
	switch s.Status {
	case Starting:
		add(time.Time{}, false, byDevice, "It is connected when its display and its app are up")
		if s.Lease == nil {
			add(p.Now.Shown(s.StartBy), true, byServer, "If it is not up by then, it has failed")
		}
	case Unknown:
		add(time.Time{}, false, byDevice, "It is connected again, or whatever it truly is, when the device is heard from")
	case Connected:
		if p.Silent.After(p.Now.Wall) {
			add(p.Silent, false, byServer, "Without a word from the device it becomes unknown")
		}
		if !s.UnwatchedSince.IsZero() && p.Reconnect > 0 {
			add(s.UnwatchedSince.Add(p.Reconnect), false, byDevice, "It ends, unless somebody comes back to it")
		}
		if !s.IdleAt.IsZero() {
			add(s.IdleAt, false, byDevice, "It ends, unless somebody uses it")
		}
		if p.Longest > 0 && !s.FirstRunAt.IsZero() {
			add(s.FirstRunAt.Add(p.Longest), false, byDevice, "It ends: it has lasted as long as it may")
		}
	}
}

// restNext is what becomes of a session at rest, or over.
func (s *Session) restNext(add adder, p Prospects) {
	switch s.Status {
	case Launched:
		if s.Problem != "" {
			add(time.Time{}, false, byAdmin, "It is added when what keeps it from that is mended: %s", strings.TrimSuffix(s.Problem, "."))
		} else if s.AgentID == 0 {
			add(time.Time{}, false, byUser, "It is added when the user opens the link on a device")
		} else {
			add(time.Time{}, false, byDevice, "It is added when the device checks in")
		}
	case Added, Stopped, Evicted:
		if p.NotRenewed == "" && len(s.Unneeded) == 0 {
			add(time.Time{}, false, byUser, "It runs when the user next starts the app").after = s.closed(p)
		}
	case AwaitingExpiry:
		if slices.Equal(s.Unneeded, []string{UnneededEntitlement}) {
			add(time.Time{}, false, byAdmin, "It is needed again when its user may run the app again")
		}
	case Expired, Removed:
		if s.Status == Expired && s.Observed != IsAbsent {
			add(time.Time{}, false, byDevice, "The app is removed from the device after the session is deleted")
		}
		add(s.deletedAt(p), false, byHousekeeping, "It is deleted from the list; its history stays for %s", days(p.History))
	}
	if len(s.Unneeded) > 0 && s.Observed == IsRunning && !s.Status.Ended() {
		add(time.Time{}, false, byServer, "When the app is closed it is flagged for expiry: %s", strings.Join(s.Unneeded, ", ")).after = s.closed(p)
		return
	}
	if at, c := s.ExpiresAt(p.Periods); c != nil {
		add(p.Housekeeping(later(at, p.Now.Wall)), false, byHousekeeping, "It expires (%s), unless it is used before; a day later it is deleted from the list", c.Reason)
	}
}

// deletedAt is the first housekeeping on a later calendar day than the status is from.
func (s *Session) deletedAt(p Prospects) time.Time {
	run := p.Housekeeping(p.Now.Wall)
	for !s.StatusSince.Before(p.Day(run)) {
		run = p.Housekeeping(run.Add(time.Second))
	}
	return run
}

func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}
