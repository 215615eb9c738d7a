package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	problems "leasehold/internal/server/problem"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// recent is how lately a device must have been heard from to be the first choice.
const recent = 30 * time.Minute

// portalPath is the portal also for administrators without apps, whom "/" leads elsewhere.
const portalPath = "/portal"

// start is where everybody begins: the portal, or for an administrator who has nothing there
// the administration.
func start(c *call) error {
	p, err := c.Control.Portal(c.r.Context(), c.who())
	if err != nil {
		return err
	}
	if userOf(c.r).Role == directory.RoleAdmin && len(p.Offers) == 0 && len(p.Sessions) == 0 {
		return c.redirect("/admin")
	}
	return c.portal(p)
}

// portal is the apps that the signed-in user may launch, with what runs now on top.
func portal(c *call) error {
	p, err := c.Control.Portal(c.r.Context(), c.who())
	if err != nil {
		return err
	}
	return c.portal(p)
}

func (c *call) portal(p *control.Portal) error {
	now := time.Now()
	q := strings.TrimSpace(c.r.URL.Query().Get("q"))
	v := portalPage{Search: search{Path: "/", Value: q, Hint: "Search names, descriptions"}, Admin: userOf(c.r).Role == directory.RoleAdmin}
	watch := url.Values{}
	for _, r := range p.Sessions {
		runs := r.Observed == session.IsRunning
		opening := !runs && (r.Status == session.Launched || r.Status == session.Starting || addingText(r) != "")
		if !runs && !opening {
			continue // at rest in the player
		}
		a := runningApp{Name: r.AppName, Path: "/sessions/" + itoa(r.ID), Device: r.AgentName, Status: statusOf(&r, now), Since: r.StatusSince}
		if adding := addingText(r); adding != "" {
			a.Status.Extra = fmt.Sprintf("adding %d%%", r.Progress)
			if r.Status != session.Launched {
				a.Status.Extra = "newer version: " + a.Status.Extra
			}
		}
		if r.Kind == session.Stream {
			a.Path = streamPath(r.ID)
		} else if r.Lease != nil && runs && now.Sub(r.Seen.At) > silentAfter && r.LeaseEnds.Sub(now) < soon {
			a.Ends = r.LeaseEnds
		}
		if runs {
			v.Running = append(v.Running, a)
		} else {
			v.Opening = append(v.Opening, a)
		}
		watch.Add("id", itoa(r.ID))
	}
	v.Events = withQuery("/events", watch)
	device := firstChoice(p.Devices, now)
	for _, o := range p.Offers {
		if q != "" && !fold.Contains(o.App.Name+"\n"+o.App.Description, q) {
			continue
		}
		t := tile{ID: itoa(o.App.ID), Name: o.App.Name, Description: o.App.Description, Path: "/launch/" + itoa(o.App.ID)}
		switch {
		case o.Refusal != nil:
			t.Denied = true
		case o.Method.Kind == session.Stream:
			t.Hint = "opens in the browser"
		case device != nil:
			t.Hint, t.Device, t.Choice = "opens on "+device.Name, itoa(device.ID), true
		default:
			t.Hint, t.Choice = "opens here", len(p.Devices) > 0
		}
		v.Tiles = append(v.Tiles, t)
	}
	return c.show(page{Title: "Apps", Portal: true, Now: now}, portalView(v, now))
}

// A device that was not heard from for so long is offline for its user, who is told so once
// an app of theirs would close soon.
const (
	silentAfter = 6 * time.Minute // longer than the default heartbeat
	soon        = time.Hour
)

// firstChoice is the device that an app opens on unless the user says otherwise: the
// one used last, if it was heard from lately.
func firstChoice(devices []*store.Agent, now time.Time) *store.Agent {
	for _, d := range devices {
		if d.DeletedAt.IsZero() && now.Sub(d.Seen.At) < recent {
			return d
		}
	}
	return nil
}

// launchPage says what a launch will do and lets the user choose where it opens. For
// an app that may not be launched it says why, and whom to ask.
func launchPage(c *call) error { return c.launchForm(http.StatusOK, "") }

func (c *call) launchForm(code int, bad string) error {
	p, err := c.Control.Portal(c.r.Context(), c.who())
	if err != nil {
		return err
	}
	var offer *control.Offer
	for i := range p.Offers {
		if p.Offers[i].App.ID == c.id() {
			offer = &p.Offers[i]
		}
	}
	f := launchForm{Action: c.r.URL.Path, Error: bad}
	switch {
	case offer == nil:
		f.App, f.Denied = "App", "This app is not one of yours."
		f.Ask = "A provision would give it to you, or to a group you are in. Ask your administrator, and say which app you need."
		code = http.StatusForbidden
	case offer.Refusal != nil:
		f.App, f.Description = offer.App.Name, offer.App.Description
		f.Denied = offer.Refusal.Message
		f.Ask = "Your user name is " + c.who().Username + "; your administrator needs it to help."
		code = http.StatusForbidden
	default:
		f.App, f.Description = offer.App.Name, offer.App.Description
	}
	now := time.Now()
	first := firstChoice(p.Devices, now)
	streamed := offer != nil && offer.Method.Kind == session.Stream
	for _, d := range p.Devices {
		if !d.DeletedAt.IsZero() || streamed {
			continue
		}
		o := option{Value: itoa(d.ID), Label: d.Name, Note: "The player there takes it at once.", Chosen: d == first}
		if now.Sub(d.Seen.At) >= recent {
			o.Note = fmt.Sprintf("Last seen %s; it opens when that device is online.", agoText(d.Seen.At, now))
		}
		f.Places = append(f.Places, o)
	}
	if streamed {
		f.Places = []option{{Value: "", Label: "This browser", Note: "The app runs on a host and is shown here.", Chosen: true}}
		return c.showAs(code, page{Title: f.App, Portal: true, Now: now}, launchView(f))
	}
	f.Places = append(f.Places, option{Value: "", Label: "This device", Note: "A link opens the Leasehold player here.", Chosen: first == nil})
	return c.showAs(code, page{Title: f.App, Portal: true, Now: now}, launchView(f))
}

// launch begins a session and follows it.
func launch(c *call) error {
	device := int64(0)
	if s := c.r.FormValue("device_id"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return c.launchForm(http.StatusUnprocessableEntity, "Choose one of the devices.")
		}
		device = n
	}
	l, err := c.Control.Launch(c.r.Context(), c.who(), c.id(), device)
	var bad invalid.Error
	var denied *session.Refusal
	var tooMany *control.TooManyError
	switch {
	case errors.As(err, &tooMany):
		problems.SetRetryAfter(c.w.Header(), tooMany.After)
		return c.launchForm(http.StatusTooManyRequests, tooMany.What)
	case errors.As(err, &bad):
		return c.launchForm(http.StatusUnprocessableEntity, title(inLabels(bad[0].Message))+".")
	case errors.As(err, &denied):
		return c.launchForm(http.StatusForbidden, denied.Message)
	case err != nil:
		return err
	}
	if l.Link != "" {
		// The link is a secret of this browser: it is not in any address.
		c.sessions.Put(c.r.Context(), keyLinks+itoa(l.Session.ID), l.Link)
	}
	if l.URL != "" {
		return c.redirect(streamPath(l.Session.ID))
	}
	return c.redirect("/sessions/" + itoa(l.Session.ID))
}

// streamPath is where a streamed session is seen.
func streamPath(id int64) string { return "/streams/" + itoa(id) }

// follow shows the user one of their own sessions on its way.
func follow(c *call) error {
	if _, err := c.ownSession(c.id()); err != nil {
		return err
	}
	d, err := c.Control.Session(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	r := d.Row
	if r.Kind == session.Stream {
		return c.redirect(streamPath(r.ID))
	}
	path := "/sessions/" + itoa(r.ID)
	f := following{
		ID: r.ID, App: r.AppName, Device: r.AgentName, Status: statusOf(&r, d.Now), Since: r.StatusSince,
		Events: path + "/events", Rev: revOf(r, d.Now),
		Steps: []step{{Name: "Launched", At: r.StartedAt}, {Name: "Added", Note: "the player adds the app"}, {Name: "Running", Note: "waiting"}},
	}
	for _, t := range d.Transitions {
		if t.To == session.Added && f.Steps[1].At.IsZero() {
			f.Steps[1].At = t.At
		}
		if t.To == session.Running {
			f.Steps[2].At = t.At
			if f.Steps[1].At.IsZero() {
				f.Steps[1].At = t.At
			}
		}
	}
	followWay(&f, r)
	key := keyLinks + itoa(r.ID)
	if r.Status == session.Launched {
		f.Link = c.sessions.GetString(c.r.Context(), key)
		f.Server, f.Admin = c.Control.PublicURL, userOf(c.r).Role == directory.RoleAdmin
	} else if c.sessions.Exists(c.r.Context(), key) {
		c.sessions.Remove(c.r.Context(), key)
	}
	switch {
	case r.Status.Ended() || !r.DeletedAt.IsZero():
		f.Over = "This session is over: it is " + label(string(r.Status)) + "."
		if r.Reason != "" {
			f.Over += " Reason: " + r.Reason + "."
		}
		f.Again = "/launch/" + itoa(r.AppID)
	case r.Status == session.Evicted:
		f.Over = cmp.Or(evictedText(r, d.Now), "An administrator closed the app.")
		f.Over += " You can start it again in the player."
	case len(d.Denials) > 0 && r.Status != session.Running:
		f.Over = d.Denials[0].Message
	case f.Link == "" && f.Problem == "" && f.Percent == 0 && (r.Status == session.Launched || r.Status == session.Added):
		f.Stuck = stuckHelp(r)
	}
	return c.show(page{Title: r.AppName, Portal: true, Now: d.Now}, followView(f, d.Now))
}

// followWay says what is on its way to the user's device, and what keeps it from getting there.
func followWay(f *following, r store.SessionRow) {
	if f.Adding = addingText(r); f.Adding != "" {
		f.Percent = r.Progress
		if r.Status == session.Launched {
			f.Steps[1].Note = fmt.Sprintf("adding %d%%", r.Progress)
		}
	}
	if f.Problem = problemText(r); f.Problem != "" {
		f.Help = fmt.Sprintf("It is tried again by itself. If that does not help, tell your administrator this and the session’s number, %d.", r.ID)
	}
	switch {
	case r.Status.Ended() || f.Problem != "":
	case r.Status == session.UpgradeRequested:
		f.Upgrade = "A newer version is on its way to " + cmp.Or(r.AgentName, "the device") + ". Work on; the app is the newer one from its next start on."
	case r.RunMethod != 0 && r.RunMethod != r.DeliveryMethodID && r.Observed == session.IsRunning:
		f.Upgrade = "A newer version is ready. Close the app and start it again to have it."
	}
}

func evictedText(r store.SessionRow, now time.Time) string {
	var s string
	if r.Order.Open() {
		s = "The app is being closed; save your work now."
	}
	if r.Reason != "" {
		s += " Reason: " + r.Reason + "."
	}
	return strings.TrimSpace(s)
}

// stuckHelp says what to do when a launch does not get on.
func stuckHelp(r store.SessionRow) []string {
	var out []string
	switch {
	case r.Status == session.Added:
		out = append(out, "The app is in the player on "+r.AgentName+". Start it there if it did not start by itself.")
	case r.AgentName != "":
		out = append(out, "Is the Leasehold player running on "+r.AgentName+"? Start it there; it takes the launch by itself.",
			"If you are at another device, launch the app again and choose “This device”.")
	default:
		out = append(out, "The link was opened in another browser. Launch the app again from here.")
	}
	return append(out, fmt.Sprintf("If that does not help, tell your administrator the session’s number, %d.", r.ID))
}
