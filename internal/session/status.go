// Package session is the heart of Leasehold: what an app session is, what its status may
// become, what an administrator may do to it, and how an order to end it closes.
//
// Three facts are kept apart. What is wanted: the status and the order. What is observed:
// the state that the agent last reported. What is leased: how long the two may differ. An
// action that the one transition table does not allow is refused and changes nothing; an
// observation is never refused, it moves the status only where the table has an arrow.
//
// Everything here is pure: callers pass the time in and store what comes out.
package session

import "strings"

// Kind says where a session's app runs.
type Kind string

const (
	Device Kind = "device" // on the user's own device
	Stream Kind = "stream" // on a host, streamed into a browser
)

// Status is what a session is, as administrators see it. Which status may become which
// is decided by the table in table.go and nowhere else.
type Status string

// The statuses of device apps (managing-app-sessions, "Possible Statuses").
const (
	Launched         Status = "launched"          // the user clicked Launch; not yet in the player
	Added            Status = "added"             // in the player, never run
	Running          Status = "running"           // running on the device
	RenewalRequested Status = "renewal_requested" // the player asks to renew the user's access
	UpgradeRequested Status = "upgrade_requested" // the player asks to run an upgraded version
	Stopped          Status = "stopped"           // ran before, in the player, not running now
	Evicted          Status = "evicted"           // stopped from running by an eviction, still in the player
	AwaitingExpiry   Status = "awaiting_expiry"   // probably no longer needed, flagged for cleanup
	Expired          Status = "expired"           // may not run again; pending removal
	Removed          Status = "removed"           // removed from the player
)

// The statuses of streamed apps.
const (
	Starting     Status = "starting"     // the display and the app are being started
	Connected    Status = "connected"    // the app is up, watched or not
	Unknown      Status = "unknown"      // the host has missed three check-ins
	Disconnected Status = "disconnected" // ended, for the reason given
	Failed       Status = "failed"       // it never came up
	Killed       Status = "killed"       // ended by an administrator
)

// Statuses lists every status of the kind, in the order in which a session's life meets them.
func Statuses(k Kind) []Status {
	if k == Stream {
		return []Status{Starting, Connected, Unknown, Disconnected, Failed, Killed}
	}
	return []Status{Launched, Added, Running, RenewalRequested, UpgradeRequested, Stopped, Evicted, AwaitingExpiry, Expired, Removed}
}

// Label is the status as people read it: "Renewal requested". Search compares with it,
// without regard to case.
func (s Status) Label() string {
	l := strings.ReplaceAll(string(s), "_", " ")
	if l == "" {
		return ""
	}
	return strings.ToUpper(l[:1]) + l[1:]
}

// Valid reports whether s is a status of either kind.
func (s Status) Valid() bool {
	for _, k := range []Kind{Device, Stream} {
		for _, t := range Statuses(k) {
			if s == t {
				return true
			}
		}
	}
	return false
}

// Ended reports whether a session of this status can never run again, so that it never
// gets a lease.
func (s Status) Ended() bool {
	switch s {
	case Expired, Removed, Disconnected, Failed, Killed:
		return true
	}
	return false
}

// Active reports whether the app counts as in use: it runs, as far as the server says.
func (s Status) Active() bool {
	switch s {
	case Running, RenewalRequested, Connected, Unknown:
		return true
	}
	return false
}

// State is what an agent observed of an app.
type State string

const (
	IsRunning State = "running" // a process of the app is alive
	IsIdle    State = "idle"    // in the player, no process
	IsAbsent  State = "absent"  // not in the player
)

// Role is who moves a session.
type Role string

const (
	User         Role = "user"
	Admin        Role = "admin"
	Agent        Role = "agent"
	Server       Role = "server"
	Housekeeping Role = "housekeeping"
)
