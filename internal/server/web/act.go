package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// actPage asks before an action: it names the app, the person and the device, says
// what happens when, and what the action does not do.
func actPage(c *call) error {
	action := session.Action(c.r.PathValue("action"))
	d, err := c.Control.Session(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	if !action.Valid() {
		return store.ErrNotFound
	}
	f := confirmationOf(d, action)
	c.takeKept()
	if err := c.askWhy(&f, action, d.Row.ID, c.r.PostFormValue(wordsField(action)), ""); err != nil {
		return err
	}
	return c.show(page{Title: f.Verb, Nav: "sessions", Now: d.Now}, confirmView(f))
}

// act carries an action out.
func act(c *call) error {
	action, id := session.Action(c.r.PathValue("action")), c.id()
	reason := c.r.FormValue(wordsField(action))
	row, err := c.Control.Act(c.r.Context(), c.who(), id, action, reason)
	var bad invalid.Error
	var refused *session.RefusedError
	if errors.As(err, &bad) || errors.As(err, &refused) {
		d, err2 := c.Control.Session(c.r.Context(), id)
		if err2 != nil {
			return err2
		}
		if !action.Valid() {
			return store.ErrNotFound
		}
		f := confirmationOf(d, action)
		fault := ""
		code := http.StatusUnprocessableEntity
		if refused != nil {
			// Somebody else was quicker, or the app exited meanwhile.
			code, f.Off = http.StatusConflict, true
			f.Error = "Nothing was changed: " + refused.Why + "."
		} else {
			fault = fieldErrors(bad)[wordsField(action)]
		}
		if err := c.askWhy(&f, action, id, reason, fault); err != nil {
			return err
		}
		return c.showAs(code, page{Title: f.Verb, Nav: "sessions", Now: d.Now}, confirmView(f))
	}
	if err != nil {
		return err
	}
	return c.done(sessionPath(id), toast{Text: didText(*row, action), Link: sessionPath(id), Name: "Session " + itoa(id)})
}

// theApp names a session's app with its person and device: "Ann Berg’s MATLAB on LAB-204".
func theApp(r store.SessionRow) string {
	s := cmp.Or(r.UserName, r.Username) + "’s " + r.AppName
	if r.AgentName != "" {
		s += " on " + r.AgentName
	}
	return s
}

func didText(r store.SessionRow, a session.Action) string {
	switch {
	case a == session.Evict && r.Order.Open():
		return theApp(r) + " is evicted and closes by itself."
	case a == session.Evict:
		return theApp(r) + " is evicted."
	case a == session.Expire:
		return theApp(r) + " is expired."
	case a == session.Kill:
		return theApp(r) + " is killed."
	case a == session.Cancel:
		return theApp(r) + " is not started."
	case a == session.Tell:
		return "The message to " + cmp.Or(r.UserName, r.Username) + " is on its way."
	default:
		return theApp(r) + ": " + string(a) + " is done."
	}
}

func confirmationOf(d *control.Detail, a session.Action) confirmation {
	r := d.Row
	who := cmp.Or(r.UserName, r.Username)
	f := confirmation{
		Action: sessionPath(r.ID) + "/" + string(a), Verb: title(string(a)), Back: sessionPath(r.ID),
		Title: title(string(a)) + " " + theApp(r),
	}
	switch a {
	case session.Evict:
		f.Happens = closing(d)
		f.Not = fmt.Sprintf("It does not take the app away: %s can start it again in the player, or launch it from the portal.", who)
	case session.Expire:
		f.Happens = fmt.Sprintf("The app may not run again in this session. If %s starts it in the player all the same, it is closed after its warnings.", who)
		if r.Observed == session.IsRunning || r.Order.Open() {
			f.Happens += " " + closing(d)
		}
		f.Not = fmt.Sprintf("It does not take the app away: %s can launch %s anew from the portal.", who, r.AppName)
	case session.Kill:
		f.Happens = killing(d)
		f.Not = fmt.Sprintf("It gives no warning and saves nothing. It does not take the app away: %s can launch %s anew from the portal.", who, r.AppName)
	case session.Tell:
		f.Verb, f.Title = "Send", "Message to "+who
		f.Happens = telling(d)
		f.Not = "It does nothing else. What is not shown when the app ends is not shown later."
	case session.Cancel:
		f.Happens = theApp(r) + " is still starting. It is not started any further."
		f.Not = fmt.Sprintf("It does not take the app away: %s can launch %s anew from the portal.", who, r.AppName)
	}
	if r.Check(a) != nil {
		f.Off, f.Not = true, ""
		f.Happens = fmt.Sprintf("The session is %s. %s does not apply to it.", label(string(r.Status)), title(string(a)))
	}
	return f
}

// wordsField is the form's field that says why an action is done, or what a message says.
func wordsField(a session.Action) string {
	if a == session.Tell {
		return "text"
	}
	return "reason"
}

// telling says where and when a message is shown.
func telling(d *control.Detail) string {
	r := d.Row
	switch {
	case r.Kind == session.Stream && r.Viewers == 0:
		return fmt.Sprintf("It is shown in the page with %s. Nobody has that open now, so it waits until somebody does.", theApp(r))
	case r.Kind == session.Stream:
		return fmt.Sprintf("It is shown in the page with %s, which is open now.", theApp(r))
	case d.Method == nil:
		return fmt.Sprintf("It is shown on %s at its next check-in.", r.AgentName)
	}
	return fmt.Sprintf("It is shown on %s as soon as it hears of it: at its next check-in, within %s, at the latest.", r.AgentName, words(time.Duration(d.Method.HeartbeatSeconds)*time.Second))
}

// killing says when a stream that is killed is gone.
func killing(d *control.Detail) string {
	s := theApp(d.Row) + " ends at once, as soon as its host hears of it."
	if m := d.Method; m != nil {
		s = fmt.Sprintf("%s ends at once, as soon as its host hears of it: within %s at most.", theApp(d.Row), words(time.Duration(m.HeartbeatSeconds)*time.Second))
	}
	if l := d.Row.Lease; l != nil {
		s += fmt.Sprintf(" If the host does not answer, the lease ends it within %s.", words(roundUp(d.Row.LeaseFree.Sub(d.Now))))
	}
	return s
}

// closing says when an app that is ordered to close is closed, and why it takes as long.
func closing(d *control.Detail) string {
	r, m := d.Row, d.Method
	app := theApp(r)
	if r.Order.Open() {
		return fmt.Sprintf("%s closes within %s; an order is on its way already.", app, words(roundUp(r.OrderETA.Sub(d.Now))))
	}
	if m == nil {
		return app + " is asked to close at the device’s next check-in."
	}
	var window time.Duration
	for _, w := range m.WarningsSeconds {
		window = max(window, time.Duration(w)*time.Second)
	}
	beat := time.Duration(m.HeartbeatSeconds) * time.Second
	s := fmt.Sprintf("%s closes within %s: up to %s until the device checks in, then %s of warning.", app, words(roundUp(beat+window)), words(beat), words(window))
	if l := r.Lease; l != nil {
		left := roundUp(r.LeaseFree.Sub(d.Now))
		if l.Kind == lease.Fixed {
			s += fmt.Sprintf(" The licence is an offline one: if the device is not reached, the app runs for up to %s more.", words(left))
		} else {
			s += fmt.Sprintf(" If the device does not answer, the lease ends it within %s.", words(left))
		}
	}
	return s
}

// roundUp makes a time span easier to read without ever promising too early an end.
func roundUp(d time.Duration) time.Duration {
	if d <= 2*time.Minute {
		return max(d.Truncate(time.Second), 0)
	}
	return (d + time.Minute - 1).Truncate(time.Minute)
}
