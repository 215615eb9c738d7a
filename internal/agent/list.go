package agent

import (
	"cmp"
	"slices"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/lease"
	"leasehold/internal/wire"
)

// What a session is doing on this device, for its user.
const (
	Adding   = "adding"   // its package is being added
	Added    = "added"    // it is there and has not run
	Running  = "running"  //
	Closing  = "closing"  // it runs and is being ended
	Stopped  = "stopped"  // it ran before
	Removing = "removing" //
)

// Info is a session on this device, for its user.
type Info struct {
	Session  int64      `json:"session"`
	App      string     `json:"app"`
	User     string     `json:"user"`
	Status   string     `json:"status"`
	Run      uint32     `json:"run"`
	Licence  lease.Kind `json:"licence"`
	Progress int        `json:"progress,omitempty"` // percent of the package, while it is added
	// LeaseSeconds is how long the lease that is held goes on; null without one.
	LeaseSeconds *int64 `json:"lease_seconds"`
	// ClosesSeconds is how long it is until the app is closed, where its user was warned.
	ClosesSeconds *int64 `json:"closes_seconds,omitempty"`
	// Method is the delivery method of the version that the next start runs.
	Method  int64    `json:"delivery_method"`
	Upgrade *Upgrade `json:"upgrade,omitempty"` // a newer version
	Problem string   `json:"problem,omitempty"`
	Reason  string   `json:"reason,omitempty"` // why it is being closed
	// Message is the last one from an administrator in this run.
	Message *wire.Message `json:"message,omitempty"`
}

// What becomes of a newer version.
const (
	UpgradeAdding = "adding"  // its package is being added
	UpgradeReady  = "ready"   // it is there, and the server has not granted it yet
	UpgradeNext   = "next"    // the next start runs it
	UpgradePutOff = "put_off" // the user put it off
)

// Upgrade is a newer version of a session's app, for its user.
type Upgrade struct {
	Method   int64  `json:"delivery_method"`
	Status   string `json:"status"`
	Progress int    `json:"progress,omitempty"` // percent of its package, while it is added
	Problem  string `json:"problem,omitempty"`
	// Seconds is how long it stays put off.
	Seconds int64 `json:"seconds,omitempty"`
}

// problem is what keeps the app from being added, started or upgraded; for people.
func (r *record) problem() string {
	if r.Problem == "" && r.Upgrade != nil {
		return r.Upgrade.Problem
	}
	return r.Problem
}

func (r *record) upgrade(now lease.Instant) *Upgrade {
	switch u := r.Upgrade; {
	case u == nil && r.PutOff != nil && r.PutOff.Until > now:
		return &Upgrade{Method: r.PutOff.Method, Status: UpgradePutOff, Seconds: (r.PutOff.Until - now) / int64(time.Second)}
	case u == nil:
		return nil
	case !u.Ready:
		return &Upgrade{Method: u.App.DeliveryMethod, Status: UpgradeAdding, Problem: u.Problem}
	case u.Moved:
		return &Upgrade{Method: u.App.DeliveryMethod, Status: UpgradeNext}
	default:
		return &Upgrade{Method: u.App.DeliveryMethod, Status: UpgradeReady}
	}
}

func (r *record) info(now lease.Instant) Info {
	i := Info{
		Session: r.Holder.Session, App: r.App.Name, User: r.App.User, Run: r.Holder.Run,
		Licence: r.Holder.Kind, Problem: r.Problem, Reason: r.Reason,
		Method: r.App.DeliveryMethod, Upgrade: r.upgrade(now), Message: r.Message,
	}
	i.Problem = cmp.Or(i.Problem, r.Reason, r.Ended)
	if r.Holder.Running && r.Closes > now {
		s := (r.Closes - now) / int64(time.Second)
		i.ClosesSeconds = &s
	}
	switch {
	case r.Holder.Running && (r.Closing || r.Removing):
		i.Status = Closing
	case r.Holder.Running:
		i.Status = Running
	case r.Removing || r.Gone:
		i.Status = Removing
	case !r.Ready:
		i.Status = Adding
	case r.Holder.Run == 0:
		i.Status = Added
	default:
		i.Status = Stopped
	}
	if l := r.Holder.Lease; l != nil && l.End > now {
		s := (l.End - now) / int64(time.Second)
		i.LeaseSeconds = &s
	}
	return i
}

// List lists the sessions on this device by number, and how the agent gets on with its
// server.
func (a *Agent) List() ([]Info, Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.now()
	list := []Info{}
	for _, s := range a.sorted() {
		if s.Cleared {
			continue
		}
		i := s.info(now)
		switch {
		case s.bringing != nil && i.Upgrade != nil:
			i.Upgrade.Progress = s.progress
		case i.Status == Adding:
			i.Progress = s.progress
		}
		list = append(list, i)
	}
	return list, a.link
}

// Peek lists the sessions of a state folder that this process does not hold: as they were
// last written.
func Peek(dir string) ([]Info, error) {
	if _, err := ReadIdentity(dir); err != nil {
		return nil, err
	}
	d := &disk{dir: dir}
	var m marks
	if err := d.read(marksFile, &m); err != nil {
		return nil, err
	}
	now := newLeaseClock(boottime.System, m.Clock).now()
	names, err := d.list(sessionsFolder)
	if err != nil {
		return nil, err
	}
	list := []Info{}
	for _, name := range names {
		var r record
		// One may go while we look.
		if err := d.read(name, &r); err == nil && !r.Cleared {
			list = append(list, r.info(now))
		}
	}
	sortInfos(list)
	return list, nil
}

func sortInfos(list []Info) {
	slices.SortFunc(list, func(x, y Info) int { return cmp.Compare(x.Session, y.Session) })
}

// StreamInfo is a host's session that runs.
type StreamInfo struct {
	Session int64
	Run     uint32
	Stream  *wire.Stream
	Up      bool          // its display and app are up …
	UpFor   time.Duration // … for so long
	Closing bool
}

// Streams lists the sessions of a host that run, by number.
func (a *Agent) Streams() []StreamInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.now()
	var list []StreamInfo
	for _, s := range a.sorted() {
		if !s.Holder.Running || s.App.Stream == nil {
			continue
		}
		i := StreamInfo{Session: s.Holder.Session, Run: s.Holder.Run, Stream: s.App.Stream, Up: s.Up != 0, Closing: s.Closing}
		if i.Up {
			i.UpFor = time.Duration(now - s.Up)
		}
		list = append(list, i)
	}
	return list
}
