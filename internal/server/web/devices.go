package web

import (
	"cmp"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/directory"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const devicesPath = "/admin/devices"

var devices = &records[store.Agent]{
	path: devicesPath, nav: "devices", noun: "device",
	list: listing{
		Title: "Devices", Empty: "No devices yet. Make an enrolment key, and enrol the player of a device with it.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "act", Name: "Last seen"}, {Key: "m", Name: "System"}, {Key: "m", Name: "Player"}, {Key: "s", Name: "Whose"}, {Key: "time", Name: "Enrolled"}},
		Extra:   newKeyLink(wire.Player),
	},
	find: func(c *call, q string, page store.Page) ([]*store.Agent, string, error) {
		return c.Control.ListAgents(c.r.Context(), wire.Player, q, page)
	},
	cells: func(_ *call, a *store.Agent, now time.Time) ([]cell, error) {
		name := cell{Text: a.Name}
		if a.Simulated {
			name.Sub = "simulated"
		}
		return []cell{name, {View: ago(a.Seen.At, now)}, {Text: a.OS + " " + a.Arch, Muted: true}, {Text: a.Version, Muted: true}, {Text: whose[a.Ownership], Muted: true}, {View: ago(a.CreatedAt, now), Muted: true}}, nil
	},
	id:   func(a *store.Agent) *int64 { return &a.ID },
	name: func(a *store.Agent) string { return a.Name },
	load: func(c *call, id int64) (*store.Agent, error) { return c.Control.Agent(c.r.Context(), id) },
	read: func(c *call, a *store.Agent) error {
		a.Name = strings.TrimSpace(c.r.PostFormValue("name"))
		// A form without the choice leaves it as it is.
		a.Ownership = cmp.Or(directory.Ownership(c.r.PostFormValue("ownership")), a.Ownership)
		return nil
	},
	update: func(c *call, id int64, change func(*store.Agent) error) error {
		a, err := c.Control.Agent(c.r.Context(), id)
		if err != nil {
			return err
		}
		if err := change(a); err != nil {
			return err
		}
		_, err = c.Control.UpdateAgent(c.r.Context(), c.who(), id, c.ending(), func(x *store.Agent) error {
			x.Name, x.Ownership = a.Name, a.Ownership
			return nil
		})
		return err
	},
	shown:  []string{"name", "ownership"},
	ending: true,
	facts: func(_ *call, a *store.Agent) ([]fact, error) {
		fs := []fact{
			{Name: "Last seen", View: ago(a.Seen.At, time.Now())},
			{Name: "System", Text: a.OS + " " + a.Arch},
			{Name: "Player", Text: a.Version},
			{Name: "Enrolled", View: at(a.CreatedAt)},
			{Name: "Sessions", Text: "on this device", Link: sessionsPath + "?device_id=" + itoa(a.ID)},
		}
		if a.Simulated {
			fs = append(fs, fact{Name: "Simulated", Text: "yes: a program stands in for it"})
		}
		if a.Chain.Quarantined {
			fs = append(fs, fact{Name: "Quarantined", Text: "a copy of its state folder has checked in; it gets no leases until it enrols anew"})
		}
		return fs, nil
	},
	changes: func(c *call, a *store.Agent) []change {
		return []change{{Name: "remove", Verb: "Remove", Title: "Remove " + a.Name, Done: "The device is removed.", Gone: true,
			do:      func() error { return c.Control.DeleteAgent(c.r.Context(), c.who(), a.ID) },
			Happens: "Its credential is taken away: it cannot check in any more, and its apps end with their leases. To come back it must enrol anew.",
			Not:     "It does not remove the player or its apps from the machine."}}
	},
	fields: func(_ *call, a *store.Agent, errs map[string]string) (templ.Component, error) {
		return deviceFields(a, errs), nil
	},
}

// whose says to whom a device belongs.
var whose = map[directory.Ownership]string{directory.Organisation: "organisation", directory.Own: "user’s own"}
