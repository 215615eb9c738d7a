package session

import (
	"fmt"
	"slices"
)

// Event is what happens to a session and may move its status.
type Event string

const (
	EvLaunch         Event = "launch"
	EvAdded          Event = "added"
	EvStarted        Event = "started"         // the app runs and holds a lease of a generation that is not revoked
	EvRenewalAsked   Event = "renewal asked"   // and the answer is pending or refused; for fixed licences always
	EvRenewalGranted Event = "renewal granted" //
	EvRenewalRefused Event = "renewal refused" // entitlement gone, suspended, no seat
	EvUpgradeAsked   Event = "upgrade asked"   // the delivery method has a successor
	EvUpgradeGranted Event = "upgrade granted" // the session moves to the successor
	EvUpgradeRefused Event = "upgrade refused" // or put off
	EvExited         Event = "exited"
	EvLapsed         Event = "lapsed" // nothing heard and the lease has certainly ended
	EvNotNeeded      Event = "no longer needed"
	EvNeeded         Event = "needed again"
	EvDailyExpiry    Event = "daily expiry"
	EvRemoved        Event = "removed"

	EvUp     Event = "up"     // the display and the app are up
	EvFailed Event = "failed" // it never came up
	EvSilent Event = "silent" // the host has missed three check-ins
	EvBack   Event = "back"   // the host reports it alive again
	EvEnded  Event = "ended"  // exit, the user, the reconnection window, idle, longest duration

	EvEvict  Event = "evict"
	EvExpire Event = "expire"
	EvKill   Event = "kill"
	EvCancel Event = "cancel" // a kill, on the page of a session that is starting
	EvTell   Event = "message"
)

// From is a status that an arrow leaves, and whether it does so only while the app is
// observed running, or only while it is not.
type From struct {
	Status Status
	If     Condition
}

// Condition limits an arrow by what is observed.
type Condition int

const (
	Always       Condition = iota
	WhileRunning           // the app is observed running
	WhileIdle              // the app is not observed running
)

func (c Condition) String() string {
	return [...]string{"", "while running", "while not running"}[c]
}

func (c Condition) holds(running bool) bool {
	return c == Always || (c == WhileRunning) == running
}

// WhatIsObserved stands for the target of an arrow that leads to what is now observed:
// running, stopped or added, with evicted and launched kept apart.
const WhatIsObserved Status = "*"

// Unchanged stands for the target of what leaves the status as it is.
const Unchanged Status = "="

// Arrow is one row of the table: who may move a session by which event from where to where.
type Arrow struct {
	Kind  Kind
	Event Event
	By    []Role
	From  []From // none for a launch
	To    Status
}

func from(ss ...Status) []From {
	fs := make([]From, len(ss))
	for i, s := range ss {
		fs[i].Status = s
	}
	return fs
}

func (f From) while(c Condition) From { f.If = c; return f }

// Shorthand for the two sets of statuses that the spec's table names more than once.
var (
	runs   = append(from(Running, RenewalRequested), From{Status: UpgradeRequested}.while(WhileRunning))
	idle   = append(from(Added, Stopped, Evicted, AwaitingExpiry), From{Status: UpgradeRequested}.while(WhileIdle))
	unused = append(from(Launched, Added, Stopped, Evicted), From{Status: UpgradeRequested}.while(WhileIdle))
)

// Table is the one transition table, for both kinds (spec §2 and §3). Nothing else decides
// what a status may become; server, pages, API and docs/state-machine.md all read it.
var Table = []Arrow{
	{Device, EvLaunch, []Role{User}, nil, Launched},
	{Device, EvAdded, []Role{Agent}, from(Launched), Added},
	{Device, EvStarted, []Role{Agent, Server}, from(Added, Stopped, Evicted, AwaitingExpiry, UpgradeRequested), Running},
	{Device, EvRenewalAsked, []Role{Agent}, from(Running), RenewalRequested},
	{Device, EvRenewalGranted, []Role{Server}, from(RenewalRequested), Running},
	{Device, EvRenewalRefused, []Role{Server}, from(RenewalRequested), Evicted},
	{Device, EvUpgradeAsked, []Role{Agent}, from(Added, Running, Stopped), UpgradeRequested},
	{Device, EvUpgradeGranted, []Role{Server}, from(UpgradeRequested), WhatIsObserved},
	{Device, EvUpgradeRefused, []Role{Server, User}, from(UpgradeRequested), WhatIsObserved},
	{Device, EvExited, []Role{Agent}, runs, Stopped},
	{Device, EvEvict, []Role{Admin}, runs, Evicted},
	{Device, EvLapsed, []Role{Server}, runs, Stopped},
	{Device, EvExpire, []Role{Admin}, idle, Expired},
	{Device, EvNotNeeded, []Role{Server}, unused, AwaitingExpiry},
	{Device, EvNeeded, []Role{Server}, from(AwaitingExpiry), WhatIsObserved},
	{Device, EvDailyExpiry, []Role{Housekeeping}, append(slices.Clone(unused), From{Status: AwaitingExpiry}), Expired},
	{Device, EvTell, []Role{Admin}, append(slices.Clone(runs), From{Status: Evicted}.while(WhileRunning)), Unchanged},
	{Device, EvRemoved, []Role{Agent}, from(Added, Stopped, Evicted, AwaitingExpiry, Expired, UpgradeRequested), Removed},

	{Stream, EvLaunch, []Role{User}, nil, Starting},
	{Stream, EvUp, []Role{Agent}, from(Starting), Connected},
	{Stream, EvFailed, []Role{Agent, Server}, from(Starting), Failed},
	{Stream, EvSilent, []Role{Server}, from(Connected), Unknown},
	{Stream, EvBack, []Role{Agent}, from(Unknown), Connected},
	{Stream, EvEnded, []Role{Agent, User, Server}, from(Connected, Unknown), Disconnected},
	{Stream, EvLapsed, []Role{Server}, from(Connected, Unknown), Disconnected},
	{Stream, EvKill, []Role{Admin}, from(Connected, Unknown), Killed},
	{Stream, EvCancel, []Role{Admin}, from(Starting), Killed},
	{Stream, EvTell, []Role{Admin}, from(Connected, Unknown), Unchanged},
}

// find returns the arrow by which event moves a session of the kind from the status, or nil.
func find(k Kind, e Event, s Status, running bool) *Arrow {
	for i := range Table {
		a := &Table[i]
		if a.Kind != k || a.Event != e {
			continue
		}
		for _, f := range a.From {
			if f.Status == s && f.If.holds(running) {
				return a
			}
		}
	}
	return nil
}

// Action is what an administrator may want of a session.
type Action string

const (
	Evict  Action = "evict"   // close the app; the user may run it again
	Expire Action = "expire"  // the session may not run again
	Kill   Action = "kill"    // end a streamed session
	Cancel Action = "cancel"  // end a streamed session that is starting
	Tell   Action = "message" // show its user a text; the status stays
)

// Actions lists the actions that move a session's status, in the order in which they are
// offered.
var Actions = []Action{Evict, Expire, Kill, Cancel}

var actionEvents = map[Action]Event{Evict: EvEvict, Expire: EvExpire, Kill: EvKill, Cancel: EvCancel, Tell: EvTell}

// ActionsOf lists the actions that the table has for a kind, in the order in which they are
// offered.
func ActionsOf(k Kind) []Action {
	return slices.DeleteFunc(slices.Clone(Actions), func(a Action) bool {
		return !slices.ContainsFunc(Table, func(r Arrow) bool { return r.Kind == k && r.Event == actionEvents[a] })
	})
}

// Ending is the action that ends what runs of a kind.
func Ending(k Kind) Action {
	if k == Stream {
		return Kill
	}
	return Evict
}

// Valid reports whether a is an action that exists.
func (a Action) Valid() bool { return actionEvents[a] != "" }

// Allowed lists by which actions an administrator may move a session of this kind and
// status now.
// running says whether its app is observed running.
func Allowed(k Kind, s Status, running bool) []Action {
	var as []Action
	for _, a := range Actions {
		if find(k, actionEvents[a], s, running) != nil {
			as = append(as, a)
		}
	}
	return as
}

// Check returns the [*RefusedError] that Act would, or nil where the action applies now.
func Check(a Action, k Kind, s Status, running, deleted bool) *RefusedError {
	switch {
	case deleted:
		return deletedError(a, k, s)
	case find(k, actionEvents[a], s, running) == nil:
		return refuse(a, k, s, running)
	}
	return nil
}

func deletedError(a Action, k Kind, s Status) *RefusedError {
	return &RefusedError{Action: a, Kind: k, Status: s, Why: "the session is deleted; only its history is kept"}
}

// RefusedError says why an action does not apply to a session. It changed nothing.
type RefusedError struct {
	Action Action
	Kind   Kind
	Status Status
	Why    string // a sentence for people, without a final stop
}

func (e *RefusedError) Error() string { return e.Why }

// refuse explains why action does not apply, from the table.
func refuse(a Action, k Kind, s Status, running bool) *RefusedError {
	e := &RefusedError{Action: a, Kind: k, Status: s}
	for _, r := range Table {
		if r.Event == actionEvents[a] && r.Kind == k {
			for _, f := range r.From {
				if f.Status == s && !f.If.holds(running) {
					e.Why = fmt.Sprintf("%s applies to a session that is %s only %s", a, label(s), f.If)
					return e
				}
			}
		}
	}
	switch has := a == Tell || slices.Contains(ActionsOf(k), a); {
	case !has && k == Device:
		e.Why = fmt.Sprintf("%s applies to streamed apps; this session's app runs on a device", a)
	case !has:
		e.Why = fmt.Sprintf("%s applies to apps on devices; this session's app is streamed", a)
	default:
		e.Why = fmt.Sprintf("the session is %s; %s applies to %s", label(s), a, statusList(a, k))
	}
	return e
}

func statusList(a Action, k Kind) string {
	var out string
	for _, r := range Table {
		if r.Event != actionEvents[a] || r.Kind != k {
			continue
		}
		for i, f := range r.From {
			switch {
			case i == 0:
			case i == len(r.From)-1:
				out += " or "
			default:
				out += ", "
			}
			out += label(f.Status)
			if f.If != Always {
				out += " " + f.If.String()
			}
		}
	}
	return out
}

func label(s Status) string {
	l := []byte(s.Label())
	l[0] |= 0x20
	return string(l)
}

// Summary says in a sentence what the action does.
func (a Action) Summary() string {
	switch a {
	case Evict:
		return "Close the app after its warnings; the user may run it again"
	case Expire:
		return "Let the session never run again; the user may launch another"
	case Kill:
		return "End a streamed session at once"
	case Cancel:
		return "End a streamed session that is starting"
	case Tell:
		return "Show the user of an app that is open a text"
	}
	return ""
}
