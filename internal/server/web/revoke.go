package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

// A revocation is what taking an app from a user would change, in words.
type revocation struct {
	Grounds []fact // by provision
	Ended   []fact // by session
}

// revokePage previews taking a session's app from its user, for good: which provisions
// change and how, and which sessions end how.
func revokePage(c *call) error {
	d, err := c.Control.Session(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	c.takeKept()
	return c.revokeForm(http.StatusOK, d, c.r.PostFormValue("reason"), "")
}

// revoke takes the app away as the preview said.
func revoke(c *call) error {
	d, err := c.Control.Session(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	reason := c.r.PostFormValue("reason")
	out, err := c.Control.RevokeAccess(c.r.Context(), c.who(), d.Row.UserID, d.Row.AppID, reason, false)
	var bad invalid.Error
	if errors.As(err, &bad) {
		return c.revokeForm(http.StatusUnprocessableEntity, d, reason, rest(fieldErrors(bad), "reason"), fieldErrors(bad)["reason"])
	}
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s has no access to %s any more", out.User.Name, out.AppName)
	if n := len(out.Ended); n > 0 {
		text += "; " + plural(n, "session") + " ended"
	}
	return c.done(sessionPath(d.Row.ID), toast{Text: text + ".", Link: sessionPath(d.Row.ID), Name: "Session " + itoa(d.Row.ID)})
}

func (c *call) revokeForm(code int, d *control.Detail, reason string, faults ...string) error {
	r, id := d.Row, d.Row.ID
	f := confirmation{Action: sessionPath(id) + "/revoke", Verb: "Revoke access", Back: sessionPath(id)}
	out, err := c.Control.RevokeAccess(c.r.Context(), c.who(), r.UserID, r.AppID, "", true)
	var bad invalid.Error
	switch {
	case errors.As(err, &bad):
		// The user or the app is deleted, so there is nothing left to take away.
		f.Off, f.Title, f.Happens = true, "There is no access to revoke", "The user or the app is deleted: nobody can launch it in this name."
		return c.showAs(code, page{Title: f.Verb, Nav: "sessions", Now: d.Now}, confirmView(f))
	case err != nil:
		return err
	}
	who := out.User.Name
	f.Title = fmt.Sprintf("Revoke %s’s access to %s", who, out.AppName)
	v := revocationOf(out)
	switch {
	case len(out.Grounds) == 0 && len(out.Ended) == 0:
		f.Off, f.Title = true, "There is no access to revoke"
		f.Happens = fmt.Sprintf("No provision lets %s launch %s, and no session of it is left.", who, out.AppName)
		return c.showAs(code, page{Title: f.Verb, Nav: "sessions", Now: d.Now}, confirmView(f))
	case len(out.Grounds) == 0:
		f.Happens = fmt.Sprintf("No provision lets %s launch %s any more. What is left of it ends.", who, out.AppName)
	default:
		f.Happens = fmt.Sprintf("%s cannot launch %s any more, from the portal or in the player.", who, out.AppName)
	}
	f.More = revocationView(v)
	f.Not = "It does not touch anybody else, nor other apps. A provision’s page has the way to let them in again."
	if f.Reason, err = c.reasonField("Stands in each session’s history and in the audit log."); err != nil {
		return err
	}
	f.Reason.Value = reason
	if len(faults) > 0 {
		f.Error = faults[0]
	}
	if len(faults) > 1 {
		f.Reason.Error = faults[1]
	}
	return c.showAs(code, page{Title: f.Verb, Nav: "sessions", Now: d.Now}, confirmView(f))
}

// reasonField asks why, and says whether the settings insist.
// wordsField asks why an action is done, or what a message says.
func (c *call) wordsField(a session.Action, help string) (field, error) {
	if a == session.Tell {
		return field{Name: wordsField(a), Label: "Text", Rows: 3, Help: help, Attrs: map[string]any{"maxlength": "500", "aria-required": "true"}}, nil
	}
	return c.reasonField(help)
}

func (c *call) reasonField(help string) (field, error) {
	set, err := c.Control.Settings(c.r.Context())
	if err != nil {
		return field{}, err
	}
	f := field{Name: "reason", Label: "Reason", Optional: !set.ReasonRequired, Help: help,
		Attrs: map[string]any{"maxlength": "500", "autocomplete": "off"}}
	if set.ReasonRequired {
		f.Attrs["aria-required"] = "true"
	}
	return f, nil
}

func revocationOf(out *control.Revocation) revocation {
	var v revocation
	who := out.User.Name
	for _, g := range out.Grounds {
		how := fmt.Sprintf("gets an exception for %s and this app; its other apps stay", who)
		switch {
		case g.Removed && len(g.Groups) > 0:
			how = fmt.Sprintf("%s’s name is removed, and it gets an exception for %s, who is also in %s", who, who, list(g.Groups))
		case g.Removed:
			how = who + "’s name is removed"
		case len(g.Groups) > 0 && !g.ByName:
			how = fmt.Sprintf("gets an exception for %s and this app; the rest of %s keep it", who, list(g.Groups))
		}
		v.Grounds = append(v.Grounds, fact{Name: g.Provision.Name, Text: how, Link: provisionsPath + "/" + itoa(g.Provision.ID)})
	}
	for _, e := range out.Ended {
		r := e.Row
		name := "No. " + itoa(r.ID)
		if r.AgentName != "" {
			name += " on " + r.AgentName
		}
		how := "is " + label(string(r.Status)) + " and flagged for cleanup"
		switch e.Action {
		case session.Evict:
			how = "is evicted: the app closes after its warnings"
		case session.Expire:
			how = "is expired: it may not run again"
		case session.Kill, session.Cancel:
			how = "is ended at once"
		}
		v.Ended = append(v.Ended, fact{Name: name, Text: how, Link: sessionPath(r.ID)})
	}
	return v
}

// list is a list as people write it: "Staff, Students and Guests".
func list(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// askWhy adds to a dialog the reason, as far as it was given and with what is wrong with it,
// and a way to what the dialog's action does not do: the access stays.
func (c *call) askWhy(f *confirmation, a session.Action, id int64, reason, fault string) (err error) {
	if f.Reason, err = c.wordsField(a, "Stands in the session’s history and in the audit log."); err != nil {
		return err
	}
	f.Reason.Value, f.Reason.Error = reason, fault
	if !f.Off && a != session.Tell {
		f.Also = &option{Label: "Revoke access instead", Link: sessionPath(id) + "/revoke"}
	}
	return nil
}
