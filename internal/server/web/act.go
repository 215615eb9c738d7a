package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
	if err := c.offerRevoke(&f, d.Row.ID); err != nil {
		return err
	}
	return c.show(page{Title: f.Verb, Nav: "sessions", Now: d.Now}, confirmView(f))
}

// act carries an action out.
func act(c *call) error {
	action, id := session.Action(c.r.PathValue("action")), c.id()
	reason := c.r.FormValue("reason")
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
		f.Reason.Value = reason
		code := http.StatusUnprocessableEntity
		if refused != nil {
			// Somebody else was quicker, or the app exited meanwhile.
			code, f.Off = http.StatusConflict, true
			f.Error = "Nothing was changed: " + refused.Why + "."
		} else {
			f.Reason.Error = fieldErrors(bad)["reason"]
		}
		if err := c.offerRevoke(&f, id); err != nil {
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
		Reason: field{Name: "reason", Label: "Reason", Optional: true, Help: "Stands in the session’s history and in the audit log.",
			Attrs: map[string]any{"maxlength": "500", "autocomplete": "off"}},
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
	}
	allowed := false
	for _, x := range r.Actions() {
		allowed = allowed || x == a
	}
	if !allowed {
		f.Off, f.Not = true, ""
		f.Happens = fmt.Sprintf("The session is %s. %s does not apply to it.", label(string(r.Status)), f.Verb)
	}
	return f
}

// closing says when an app that is ordered to close is closed, and why it takes as long.
func closing(d *control.Detail) string {
	r, m := d.Row, d.Method
	app := theApp(r)
	if r.Order.Open() {
		return fmt.Sprintf("%s closes within %s; an order is on its way already.", app, words(roundUp(r.Order.ETA.Sub(d.Now))))
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
		left := roundUp(l.FreeAt.Sub(d.Now))
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

// batchPage shows what an action on the ticked sessions would do, and asks.
func batchPage(c *call) error {
	q := c.r.URL.Query()
	return c.batchConfirm(http.StatusOK, q, "")
}

// batchConfirm previews: how many of each app, and how many are skipped and why.
func (c *call) batchConfirm(code int, q url.Values, bad string) error {
	action := session.Action(q.Get("action"))
	if action != session.Evict && action != session.Expire {
		return store.ErrNotFound
	}
	wanted := ids(q, "session")
	if len(wanted) > control.MaxPageSize {
		return invalid.Of("session", "must be at most %d sessions", control.MaxPageSize)
	}
	rows, now, err := c.Control.SessionRows(c.r.Context(), wanted)
	if err != nil {
		return err
	}
	f := confirmation{
		Action: sessionsPath + "/batch", Verb: title(string(action)), Back: safeReturn(q.Get("return"), sessionsPath),
		Hidden: [][2]string{{"action", string(action)}, {"return", safeReturn(q.Get("return"), sessionsPath)}},
		Reason: field{Name: "reason", Label: "Reason", Optional: true, Value: q.Get("reason"), Error: bad,
			Help: "Stands in each session’s history and in the audit log.", Attrs: map[string]any{"maxlength": "500", "autocomplete": "off"}},
		Not: "It does not take the apps away: their users can launch them again.",
	}
	applies, apps, skips := 0, map[string]int{}, map[string]int{}
	var appOrder, skipOrder []string
	for _, r := range rows {
		ok := false
		for _, a := range r.Actions() {
			ok = ok || a == action
		}
		if ok {
			applies++
			if apps[r.AppName]++; apps[r.AppName] == 1 {
				appOrder = append(appOrder, r.AppName)
			}
			f.Hidden = append(f.Hidden, [2]string{"session", itoa(r.ID)})
			continue
		}
		why := label(string(r.Status))
		if skips[why]++; skips[why] == 1 {
			skipOrder = append(skipOrder, why)
		}
	}
	for i, name := range appOrder {
		if i == 8 {
			f.Rows = append(f.Rows, fact{Name: "and more", Text: plural(len(appOrder)-i, "app")})
			break
		}
		f.Rows = append(f.Rows, fact{Name: name, Text: plural(apps[name], "session")})
	}
	for _, why := range skipOrder {
		f.Rows = append(f.Rows, fact{Name: "Skipped", Text: fmt.Sprintf("%s, because %s", plural(skips[why], "session"), why)})
	}
	f.Title = fmt.Sprintf("%s %s", f.Verb, plural(applies, "session"))
	switch {
	case len(rows) == 0:
		f.Off, f.Title, f.Happens, f.Not = true, "No session is ticked", "Tick the sessions to "+string(action)+" first.", ""
	case applies == 0:
		f.Off, f.Title, f.Not = true, "Nothing to "+string(action), ""
		f.Happens = fmt.Sprintf("%s applies to none of the ticked sessions.", f.Verb)
	case action == session.Evict:
		f.Happens = "Each app is closed after its warnings, at the latest when its lease ends."
	default:
		f.Happens = "The apps may not run again in these sessions."
	}
	return c.showAs(code, page{Title: f.Title, Nav: "sessions", Now: now}, confirmView(f))
}

// batch acts on the ticked sessions one by one; each is judged anew when its turn comes.
func batch(c *call) error {
	form := c.r.PostForm
	action := session.Action(form.Get("action"))
	if action != session.Evict && action != session.Expire {
		return store.ErrNotFound
	}
	wanted := ids(form, "session")
	if len(wanted) > control.MaxPageSize {
		return invalid.Of("session", "must be at most %d sessions", control.MaxPageSize)
	}
	done, skipped := 0, 0
	for _, id := range wanted {
		_, err := c.Control.Act(c.r.Context(), c.who(), id, action, form.Get("reason"))
		var bad invalid.Error
		var refused *session.RefusedError
		switch {
		case err == nil:
			done++
		case errors.As(err, &bad):
			return c.batchConfirm(http.StatusUnprocessableEntity, form, fieldErrors(bad)["reason"])
		case errors.As(err, &refused), errors.Is(err, store.ErrNotFound):
			skipped++
		default:
			return err
		}
	}
	text := fmt.Sprintf("%s: %s.", plural(done, "session"), label(string(orderStatus[action])))
	if skipped > 0 {
		text = strings.TrimSuffix(text, ".") + fmt.Sprintf("; %d skipped, because they had changed meanwhile.", skipped)
	}
	return c.done(safeReturn(form.Get("return"), sessionsPath), toast{Text: text})
}
