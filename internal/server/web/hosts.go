package web

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const hostsPath = "/admin/hosts"

// hosts are the stream hosts' pages.
var hosts = &records[store.Agent]{
	path: hostsPath, nav: "hosts", noun: "host",
	list: listing{
		Title: "Hosts", Empty: "No stream hosts yet. Make an enrolment key, and enrol a machine with it.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "act", Name: "Last seen"}, {Key: "m", Name: "Status"}, {Key: "s", Name: "Pool"}, {Key: "s", Name: "Slots"}, {Key: "act", Name: "Enrolled"}},
		Extra:   newKeyLink(wire.Host),
	},
	find: func(c *call, q string, page store.Page) ([]*store.Agent, string, error) {
		return c.Control.ListAgents(c.r.Context(), wire.Host, q, page)
	},
	cells: func(c *call, a *store.Agent, now time.Time) ([]cell, error) {
		st, err := c.hostState(a)
		if err != nil {
			return nil, err
		}
		slots, err := c.slots(a)
		return []cell{{Text: a.Name}, {View: ago(a.Seen.At, now)}, {View: wordDot(st)}, {Text: poolOf(a), Muted: true}, {Text: slots},
			{View: ago(a.CreatedAt, now), Muted: true}}, err
	},
	id:   func(a *store.Agent) *int64 { return &a.ID },
	name: func(a *store.Agent) string { return a.Name },
	load: func(c *call, id int64) (*store.Agent, error) {
		a, err := c.Control.Agent(c.r.Context(), id)
		if err == nil && a.Kind != wire.Host {
			return nil, store.ErrNotFound
		}
		return a, err
	},
	read: func(c *call, a *store.Agent) error {
		a.Name, a.Pool = strings.TrimSpace(c.r.PostFormValue("name")), strings.TrimSpace(c.r.PostFormValue("pool"))
		return nil
	},
	update: func(c *call, id int64, change func(*store.Agent) error) error {
		_, err := c.Control.UpdateAgent(c.r.Context(), c.who(), id, c.ending(), change)
		return err
	},
	shown: []string{"name", "pool"},
	facts: func(c *call, a *store.Agent) ([]fact, error) {
		st, err := c.hostState(a)
		if err != nil {
			return nil, err
		}
		slots, err := c.slots(a)
		if err != nil {
			return nil, err
		}
		failed, err := c.Control.HostFailures(c.r.Context(), a.ID)
		if err != nil {
			return nil, err
		}
		fs := []fact{
			{Name: "Status", View: wordDot(st)},
			{Name: "Last seen", View: ago(a.Seen.At, time.Now())},
			{Name: "Sessions at once", Text: slots},
			{Name: "Sessions lack", Text: lacks(a)},
			{Name: "System", Text: a.OS + " " + a.Arch},
			{Name: "Version", Text: a.Version},
			{Name: "Enrolled", View: at(a.CreatedAt)},
			{Name: "Sessions", Text: "on this host", Link: streamsPath + "?host_id=" + itoa(a.ID)},
		}
		if a.Chain.Quarantined {
			fs = append(fs, fact{Name: "Quarantined", Text: "a copy of its state folder has checked in; it gets no leases until it enrols anew"})
		}
		for _, f := range failed {
			fs = append(fs, fact{Name: "Failed starts", Text: f.String()})
		}
		return fs, nil
	},
	changes: func(c *call, a *store.Agent) []change {
		approve := func(yes bool) func() error {
			return func() error {
				_, err := c.Control.UpdateAgent(c.r.Context(), c.who(), a.ID, control.Ending{}, func(a *store.Agent) error { a.Approved = yes; return nil })
				return err
			}
		}
		approval := change{Name: "withdraw", Verb: "Withdraw approval", Title: "Withdraw the approval of " + a.Name, Done: "The approval is withdrawn.", do: approve(false),
			Happens: "No launch goes there any more, until it is approved again.", Not: "It does not end the sessions that it has."}
		if !a.Approved {
			approval = change{Name: "approve", Verb: "Approve", Title: "Approve " + a.Name, Done: "The host is approved.", do: approve(true),
				Happens: "Launches go there from now on: the machine then runs people’s apps and sees all that they type. Approve it only if you know whose it is. It enrolled as " + a.Name + " (" + a.OS + " " + a.Arch + ") on " + exact(a.CreatedAt) + "."}
		}
		return []change{approval, {Name: "remove", Verb: "Remove", Title: "Remove " + a.Name, Done: "The host is removed.", Gone: true,
			do:      func() error { return c.Control.DeleteAgent(c.r.Context(), c.who(), a.ID) },
			Happens: "Its credential is taken away: it cannot check in any more, gets no new sessions, and those that it has end with their leases. To come back it must enrol anew.",
			Not:     "It does not stop the host’s own program on the machine."}}
	},
	fields: func(_ *call, a *store.Agent, errs map[string]string) (templ.Component, error) {
		return hostFields(a, errs), nil
	},
}

// hostState is how a host stands, in a word.
func (c *call) hostState(a *store.Agent) (string, error) {
	switch {
	case !a.Approved:
		return "not approved", nil
	case a.Chain.Quarantined:
		return "quarantined", nil
	}
	failed, err := c.Control.HostFailures(c.r.Context(), a.ID)
	if err != nil {
		return "", err
	}
	for _, f := range failed {
		if f.Pause > 0 {
			return "backing off", nil
		}
	}
	return "active", nil
}

// slots is how many sessions a host has at once.
func (c *call) slots(a *store.Agent) (string, error) {
	set, err := c.Control.Settings(c.r.Context())
	if err != nil || a.Slots <= set.HostSlots {
		return strconv.Itoa(a.Slots), err
	}
	return fmt.Sprintf("%d of %d", set.HostSlots, a.Slots), nil
}

// poolOf names a host's pool.
func poolOf(a *store.Agent) string { return cmp.Or(catalog.Pool(a.Pool), catalog.DefaultPool) }

// lacks is what a host says that it does not offer to its sessions.
func lacks(a *store.Agent) string {
	if len(a.Missing) == 0 {
		return "nothing"
	}
	return strings.Join(a.Missing, " · ")
}
