package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// sessionPage is one session: what it is, what happens next, what happened.
func sessionPage(c *call) error {
	d, err := c.Control.Session(c.r.Context(), c.id())
	if errors.Is(err, store.ErrNotFound) {
		c.problem(c.w, c.r, http.StatusNotFound, problem{
			Title: "There is no session " + c.r.PathValue("id"),
			Text:  "Its history may have run out, or the number is wrong.",
			Link:  sessionsPath, LinkName: "All sessions",
		})
		return nil
	}
	if err != nil {
		return err
	}
	row := rowOf(d.Row, d.Now)
	v := sessionDetail{
		Row: row, Rev: revOf(d.Row, d.Now), Title: d.Row.AppName, Deleted: d.Row.DeletedAt,
		Facts: factsOf(d), Next: d.Outlook, Why: whyOf(d), Order: orderOf(d), Past: pastOf(d),
		Adding: addingText(d.Row), Percent: d.Row.Progress, Problem: problemText(d.Row),
		Events: row.path() + "/events",
	}
	if v.Order != nil && !v.Order.Closes.At.IsZero() {
		v.Row.Status.Closes = session.Forecast{} // the order counts down, once on the page is enough
	}
	if d.Row.Check(session.Tell) == nil {
		v.Message = row.path() + "/" + string(session.Tell)
	}
	if v.Deleted.IsZero() {
		v.Revoke = row.path() + "/revoke"
	}
	return c.show(page{Title: fmt.Sprintf("%s, session %d", d.Row.AppName, row.ID), Nav: navOf(d.Row.Kind), Now: d.Now}, sessionView(v, d.Now))
}

func factsOf(d *control.Detail) []fact {
	r := d.Row
	link := func(path string, id int64) string {
		if id == 0 {
			return ""
		}
		return "/admin/" + path + "/" + itoa(id)
	}
	fs := []fact{
		{Name: "Number", Text: itoa(r.ID)},
		{Name: "User", Text: personOf(r), Link: link("users", r.UserID)},
		{Name: "App", Text: r.AppName, Link: link("apps", r.AppID)},
		{Name: "Provision", Text: cmp.Or(r.ProvisionName, "–"), Link: link("provisions", r.ProvisionID)},
		{Name: "Delivery method", Text: r.DeliveryMethodName + ", " + string(r.Licence), Link: link("delivery-methods", r.DeliveryMethodID)},
		{Name: title(machineOf[r.Kind]), Text: cmp.Or(r.AgentName, "not redeemed yet"), Link: link(machineOf[r.Kind]+"s", r.AgentID)},
	}
	observed, since := observedWords[r.Kind][r.Observed]+" for", r.ObservedSince
	if r.Observed == session.IsRunning && r.Status == session.Stopped && r.Seen.At.Before(r.StatusSince) {
		observed, since = "running when last heard of,", r.Seen.At // its lease has ended since
	}
	fs = append(fs, fact{Name: "Observed", View: observedView(observed, since, d.Now)})
	if r.AgentID != 0 {
		fs = append(fs, fact{Name: title(machineOf[r.Kind]) + " last seen", View: ago(r.Seen.At, d.Now)})
	}
	if r.Kind == session.Stream && r.Status == session.Connected {
		fs = append(fs, fact{Name: "Viewers", View: viewersView(r.Viewers, r.UnwatchedSince, d.Now)})
	}
	fs = append(fs, fact{Name: "Launched", View: at(r.StartedAt)})
	if !r.FirstRunAt.IsZero() {
		fs = append(fs, fact{Name: "First run", View: at(r.FirstRunAt)})
	}
	if r.Run > 0 {
		fs = append(fs, fact{Name: "Runs", Text: fmt.Sprint(r.Run)})
	}
	fs = append(fs, fact{Name: "Last activity", View: at(r.LastActivityAt)})
	if !r.EndedAt.IsZero() {
		fs = append(fs, fact{Name: "Ended", View: at(r.EndedAt)})
	}
	return fs
}

// personOf names a session's user with the user name beside it.
func personOf(r store.SessionRow) string {
	if r.UserName == "" || r.UserName == r.Username {
		return r.Username
	}
	return r.UserName + " (" + r.Username + ")"
}

var observedWords = map[session.Kind]map[session.State]string{
	session.Device: {session.IsRunning: "running", session.IsIdle: "in the player, not running", session.IsAbsent: "not in the player"},
	session.Stream: {session.IsRunning: "running", session.IsIdle: "ended on the host", session.IsAbsent: "not on the host"},
}

// orderOf shows how far the latest order has got; nothing once the app was started again
// after it, when it stands in the timeline.
func orderOf(d *control.Detail) *orderView {
	o := d.Row.Order
	if o == nil || !o.Open() && d.Row.Run > 0 && d.Row.Mark >= o.UpTo {
		return nil
	}
	v := &orderView{Head: title(string(o.Action)) + ", asked by " + whoOf(o.By), Reason: o.Reason}
	warned := step{Name: "Warned", At: o.WarnedAt, Note: "the device warns the user"}
	closed := step{Name: "Closed", At: o.ClosedAt, Note: "the app and all it started"}
	if o.Open() {
		v.Closes = d.Row.Closes
	} else {
		v.Result = resultOf(o)
		if o.WarnedAt.IsZero() {
			warned.Note = "no warning was reported"
		}
	}
	delivered := step{Name: "Delivered", At: o.DeliveredAt, Note: "at the " + machineOf[d.Row.Kind] + "’s next check-in"}
	if !o.Open() && o.DeliveredAt.IsZero() {
		delivered.Note = "the device did not answer"
	}
	v.Steps = []step{{Name: "Requested", At: o.RequestedAt}, delivered, warned, closed}
	if d.Row.Kind == session.Stream {
		v.Steps = slices.Delete(v.Steps, 2, 3) // a stream is ended without a warning
	}
	return v
}

// messagesOf is what the user was told, and when it was shown.
func messagesOf(d *control.Detail) (es []event) {
	where := cmp.Or(d.Row.AgentName, "the device")
	if d.Row.Kind == session.Stream {
		where = "the page with the app"
	}
	for _, m := range d.Messages {
		e := event{At: m.At, To: "message", Tone: "none", Who: whoOf(m.By), Why: "“" + m.Text + "”"}
		switch {
		case !m.ShownAt.IsZero():
			es = append(es, event{At: m.ShownAt, To: "message shown", Tone: "none", Who: where, Observed: true})
		case d.Row.Waits(&m):
			e.Why += " Not shown yet."
		default:
			e.Why += " Not shown: the app ended first."
		}
		es = append(es, e)
	}
	return es
}

func resultOf(o *session.Order) string {
	switch {
	case o.Already:
		return "already closed before the order arrived"
	case o.ClosedBy == session.ByLapse:
		return "closed by the end of the lease"
	case o.ClosedBy == session.ByAgent:
		return "closed by the device " + words(o.ClosedAt.Sub(o.RequestedAt)) + " after it was asked"
	}
	return "closed"
}

// whoOf names an actor for people.
func whoOf(a session.Actor) string {
	if a.Name != "" {
		return a.Name
	}
	return "the " + string(a.Role)
}

// pastOf is the timeline, newest first: transitions, what the device reported of the
// latest order, and leases that were refused.
func pastOf(d *control.Detail) []event {
	var es []event
	for _, t := range d.Transitions {
		es = append(es, event{At: t.At, From: label(string(t.From)), To: label(string(t.To)), Tone: toneOf(string(t.To)),
			Who: whoOf(t.Actor), Why: t.Reason, Observed: t.Actor.Role == session.Agent})
	}
	if o := d.Row.Order; o != nil {
		device := cmp.Or(d.Row.AgentName, "the device")
		for _, s := range []struct {
			at   time.Time
			what string
		}{{o.DeliveredAt, string(o.Action) + " delivered"}, {o.WarnedAt, "user warned"}} {
			if !s.at.IsZero() {
				es = append(es, event{At: s.at, To: s.what, Tone: "none", Who: device, Observed: true})
			}
		}
		if !o.ClosedAt.IsZero() {
			e := event{At: o.ClosedAt, To: "app closed", Tone: "none", Who: device, Why: resultOf(o), Observed: true}
			if o.ClosedBy == session.ByLapse {
				e.Who, e.Observed = "the server", false
			}
			es = append(es, e)
		}
	}
	if r := d.Row; r.Run > 0 && !slices.ContainsFunc(es, func(e event) bool { return e.Observed && e.At.Equal(r.ObservedSince) }) {
		// What began or ended without a change of status: heard of late, or run without a lease.
		e := event{At: r.ObservedSince, To: "app closed", Tone: "none", Who: cmp.Or(r.AgentName, "the device"), Why: fmt.Sprintf("run %d", r.Run), Observed: true}
		if r.Observed == session.IsRunning {
			e.To = "app started"
		}
		es = append(es, e)
	}
	es = append(es, messagesOf(d)...)
	for _, n := range d.Denials {
		es = append(es, event{At: n.At, To: "lease refused", Tone: "amber", Who: "the server", Why: n.Message})
	}
	slices.SortStableFunc(es, func(a, b event) int { return b.At.Compare(a.At) })
	return es
}
