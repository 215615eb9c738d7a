package page

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/calendar"
	"leasehold/internal/lease"
)

// view is the page, in words.
type view struct {
	State
	Base     string // path of the page
	Online   bool
	Standing string // of the link to the server, in a word
	Meaning  string // … and what follows from it
	Grave    bool   // it needs somebody
	Warnings []warning
	Rows     []row
	Said     string // what the user's last act did
	Error    string // or why it did nothing
}

// warning is an app that will close.
type warning struct {
	Session int64
	App     string
	Reason  string
	Closes  time.Time
}

// row is one app.
type row struct {
	agent.Info
	Word     string // its status …
	Colour   string // … and class
	Lease    string // how long it may run
	Until    time.Time
	Newer    string // what there is of a newer version
	Progress int    // percent of what is being added; -1: nothing is
	Run      bool   // what may be done to it
	Return   bool
	Remove   bool
	Upgrade  bool
	Later    bool
	Problems []string
}

// asked is a question before something that cannot be undone.
type asked struct {
	Op, Title, Verb string
	Text            func(*row) []string
}

// plain are the acts that need no question.
var plain = map[string]bool{"start": true, "upgrade": true, "later": true}

var asks = map[string]asked{
	"remove": {"remove", "Remove this app?", "Remove", func(r *row) []string {
		list := []string{"It is taken off this device. To have it again, launch it from the portal."}
		if r.Status == agent.Running || r.Status == agent.Closing {
			list = append(list, "It is running: it is asked to close first, after its warnings, so that work can be saved.")
		}
		if r.Return {
			list = append(list, "Its licence goes back to the organisation.")
		}
		return append(list, "Your files stay where they are.")
	}},
	"return": {"return", "Return the licence?", "Return licence", func(r *row) []string {
		return []string{
			"Somebody else can use it from then on, as soon as the server hears of it.",
			"The app stays on this device. To run it again, the device needs the server, and the organisation a free licence.",
		}
	}},
}

func newView(s State) *view {
	v := &view{State: s, Online: s.Link.OK}
	switch {
	case s.Link.Quarantined:
		v.Standing, v.Grave = "Locked", true
		v.Meaning = "This device's player folder was copied from, or to, another device. Apps close when their leases end, and none gets a new one. Have an administrator enrol this device again, in a new folder."
	case s.Link.OK:
		v.Standing = "Online"
	case s.Link.Error == "":
		v.Standing, v.Meaning = "Connecting", "The server has not answered yet."
	default:
		v.Standing = "Offline"
		if !s.Link.Since.IsZero() {
			v.Standing += " since " + clock(s.Link.Since, s.Now)
		}
		v.Meaning = "Apps go on running for the time shown beside them. What you do here reaches the server when it is back."
	}
	for _, i := range s.Sessions {
		r := newRow(i, v)
		v.Rows = append(v.Rows, r)
		if i.ClosesSeconds != nil && i.Status != agent.Removing {
			v.Warnings = append(v.Warnings, warning{i.Session, i.App, i.Reason, after(s.Now, *i.ClosesSeconds)})
		}
	}
	return v
}

func after(now time.Time, seconds int64) time.Time {
	return now.Add(time.Duration(seconds) * time.Second)
}

func newRow(i agent.Info, v *view) row {
	r := row{Info: i, Progress: -1}
	switch i.Status {
	case agent.Adding:
		r.Word, r.Colour, r.Progress = "being added", "blue", i.Progress
		if i.Problem != "" {
			r.Word, r.Colour, r.Progress = "not added", "red", -1
		}
	case agent.Added:
		r.Word, r.Colour, r.Run = "ready", "blue", true
	case agent.Running:
		r.Word, r.Colour = "running", "green"
	case agent.Closing:
		r.Word, r.Colour = "closing", "amber"
	case agent.Removing:
		r.Word, r.Colour = "being removed", "grey"
	default:
		r.Word, r.Colour, r.Run = "stopped", "grey", true
	}
	r.Remove = i.Status != agent.Removing
	held := i.LeaseSeconds != nil
	r.Return = i.Licence == lease.Fixed && held && r.Run
	if held {
		r.Until = after(v.Now, *i.LeaseSeconds)
	}
	on := i.Status == agent.Running
	switch at := clock(r.Until, v.Now); {
	case i.Status == agent.Adding || i.Status == agent.Removing:
	case i.Status == agent.Closing:
		r.Until = time.Time{} // what counts is its warning
		if i.ClosesSeconds != nil {
			r.Lease = "closes at " + clock(after(v.Now, *i.ClosesSeconds), v.Now)
		}
	case i.Licence == lease.Fixed && held:
		r.Lease = "works offline until " + at
	case i.Licence == lease.Fixed && on, i.Licence != lease.Fixed && on && !held:
		r.Lease = "waits for the server’s permission"
	case i.Licence == lease.Fixed:
		r.Lease = "needs the server at its next start"
	case on && v.Online:
		r.Lease = "renewed while online"
	case on:
		r.Lease = "closes at " + at + " unless the server is back"
	default:
		r.Lease = "needs the server to run"
	}
	if i.Licence != lease.Fixed && on && v.Online {
		r.Until = time.Time{} // it is renewed over and over; counting it down would alarm
	}
	if i.Problem != "" && i.Problem != i.Reason {
		r.Problems = append(r.Problems, i.Problem)
	}
	r.newer(v.Now)
	return r
}

// newer says what there is of a newer version.
func (r *row) newer(now time.Time) {
	u := r.Info.Upgrade
	if u == nil {
		return
	}
	switch u.Status {
	case agent.UpgradeAdding:
		r.Newer, r.Later = "newer version is being added", true
		r.Progress = u.Progress
		if u.Problem != "" {
			r.Newer, r.Upgrade, r.Progress = "newer version not added", true, -1
			r.Problems = append(r.Problems, u.Problem)
		}
	case agent.UpgradeReady:
		r.Newer, r.Later = "newer version is there, waiting for the server", true
	case agent.UpgradeNext:
		r.Newer = "newer version from the next start on"
	case agent.UpgradePutOff:
		r.Newer, r.Upgrade = "newer version put off until "+clock(after(now, u.Seconds), now), true
	}
}

// said is what an act did, for the page that follows it.
func said(v *view, op, session string) string {
	id, err := strconv.ParseInt(session, 10, 64)
	if err != nil {
		return ""
	}
	name := "The app"
	for _, r := range v.Rows {
		if r.Session == id {
			name = r.App
		}
	}
	switch op {
	case "start":
		return name + " starts."
	case "remove":
		return name + " is being removed."
	case "return":
		return "The licence of " + name + " is returned."
	case "upgrade":
		return "The newer version of " + name + " is brought."
	case "later":
		return name + " stays at its version for a day."
	}
	return ""
}

// clock is a moment in the user's own time: shorter, the nearer it is.
func clock(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	t, now = t.Local(), now.Local()
	switch day, today := calendar.DateOf(t, time.Local), calendar.DateOf(now, time.Local); {
	case day == today:
		return t.Format("15:04")
	case day.Year == today.Year:
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006 15:04")
}

// left is the time until t as people read it.
func left(t, now time.Time) string {
	d := max(t.Sub(now), 0).Round(time.Second)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d:%02d", d/time.Minute, d%time.Minute/time.Second)
}

var functions = template.FuncMap{
	"left": left, "clock": clock,
	"millis": func(t time.Time) int64 { return t.UnixMilli() },
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
}
