package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

const (
	provisionsPath = "/admin/provisions"
	// formTime is what a datetime-local field sends and shows.
	formTime = "2006-01-02T15:04"
)

var provisions = &records[directory.Provision]{
	path: provisionsPath, nav: "provisions", noun: "provision",
	list: listing{
		Title:   "Provisions",
		Empty:   "No provisions yet. A provision lets people and groups launch delivery methods; without one nobody can.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "m", Name: "Status"}, {Key: "m", Name: "For"}, {Key: "m", Name: "Methods"}, {Key: "time", Name: "Begins"}, {Key: "time", Name: "Ends"}},
	},
	find: func(c *call, q string, page store.Page) ([]*directory.Provision, string, error) {
		return c.Control.ListProvisions(c.r.Context(), q, page)
	},
	cells: func(_ *call, p *directory.Provision, now time.Time) ([]cell, error) {
		return []cell{{Text: p.Name}, {View: statusDot(provisionStatus(p, now), now)}, {Text: forWhom(p)}, {Text: strconv.Itoa(len(p.DeliveryMethodIDs))},
			{View: at(p.StartsAt), Muted: true}, {View: at(p.EndsAt), Muted: true}}, nil
	},
	id:    func(p *directory.Provision) *int64 { return &p.ID },
	name:  func(p *directory.Provision) string { return p.Name },
	load:  func(c *call, id int64) (*directory.Provision, error) { return c.Control.Provision(c.r.Context(), id) },
	first: func(*call) *directory.Provision { return &directory.Provision{Enabled: true} },
	create: func(c *call, p *directory.Provision) error {
		return c.Control.CreateProvision(c.r.Context(), c.who(), p)
	},
	made:   "The provision is made.",
	read:   readProvision,
	update: updateProvision,
	shown:  []string{"name", "user_ids", "group_ids", "delivery_method_ids", "starts_at", "ends_at", "device_ownership", "networks"},
	ending: true,
	facts: func(_ *call, p *directory.Provision) ([]fact, error) {
		now := time.Now()
		return []fact{{Name: "Status", View: statusDot(provisionStatus(p, now), now)},
			{Name: "Sessions", Text: "under this provision", Link: sessionsPath + "?provision_id=" + itoa(p.ID)}}, nil
	},
	changes: provisionChanges,
	fields: func(c *call, p *directory.Provision, errs map[string]string) (templ.Component, error) {
		var pickers []picker
		for _, x := range []struct {
			picker
			ids []int64
		}{
			{picker{Kind: "delivery-method", Name: "delivery_method_ids", Label: "Delivery methods", Hint: "Find delivery methods to add", None: "None yet: this provision lets nobody launch anything."}, p.DeliveryMethodIDs},
			{picker{Kind: "group", Name: "group_ids", Label: "Groups", Hint: "Find groups to add", None: "No groups."}, p.GroupIDs},
			{picker{Kind: "user", Name: "user_ids", Label: "Users", Hint: "Find people to add", None: "Nobody by name."}, p.UserIDs},
		} {
			x.Error = errs[x.Name]
			pk, err := c.picker(x.picker, x.ids)
			if err != nil {
				return nil, err
			}
			pickers = append(pickers, pk)
		}
		lost, err := c.exceptions(p)
		return provisionFields(p, pickers, c.networksText(p), lost, errs), err
	},
}

func provisionStatus(p *directory.Provision, now time.Time) status {
	word := "enabled"
	open, why := p.Open(directory.Where{}, now)
	switch {
	case open:
		why = ""
	case !p.Enabled:
		word = "disabled"
	case now.Before(p.StartsAt):
		word = "not yet"
	default:
		word = "over"
	}
	return status{Word: word, Tone: toneOf(word), Note: title(why)}
}

func forWhom(p *directory.Provision) string {
	var parts []string
	if n := len(p.GroupIDs); n > 0 {
		parts = append(parts, plural(n, "group"))
	}
	if n := len(p.UserIDs); n > 0 {
		parts = append(parts, plural(n, "user"))
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}

func readProvision(c *call, p *directory.Provision) error {
	var e invalid.Error
	moment := func(name string) time.Time {
		s := c.r.PostFormValue(name)
		if s == "" {
			return time.Time{}
		}
		t, err := time.Parse(formTime, s)
		if err != nil {
			e.Add(name, "must be a date and a time, as 2026-09-01T08:00")
			return time.Time{}
		}
		return e.Time(name, t)
	}
	p.Name = strings.TrimSpace(c.r.PostFormValue("name"))
	p.Enabled = c.r.PostFormValue("enabled") == "true"
	p.StartsAt, p.EndsAt = moment("starts_at"), moment("ends_at")
	p.UserIDs = picked(p.UserIDs, c.r.PostForm, "user_ids")
	p.GroupIDs = picked(p.GroupIDs, c.r.PostForm, "group_ids")
	p.DeliveryMethodIDs = picked(p.DeliveryMethodIDs, c.r.PostForm, "delivery_method_ids")
	p.Ownership = directory.Ownership(c.r.PostFormValue("device_ownership"))
	p.Networks = readNetworks(&e, c.r.PostFormValue("networks"))
	return e.Err()
}

func updateProvision(c *call, id int64, change func(*directory.Provision) error) error {
	_, err := c.Control.UpdateProvision(c.r.Context(), c.who(), id, c.ending(), change)
	return err
}

func provisionChanges(c *call, p *directory.Provision) []change {
	enable := func(on bool) func() error {
		return func() error {
			return updateProvision(c, p.ID, func(p *directory.Provision) error { p.Enabled = on; return nil })
		}
	}
	toggle := change{Name: "disable", Verb: "Disable", Title: "Disable " + p.Name, Done: "Disabled.", do: enable(false),
		Ends: true, Running: &store.SessionQuery{ProvisionID: p.ID},
		Happens: fmt.Sprintf("What it gives to %s is over: nobody can launch by it. It can be enabled again.", forWhom(p))}
	if !p.Enabled {
		toggle = change{Name: "enable", Verb: "Enable", Title: "Enable " + p.Name, Done: "Enabled.", do: enable(true),
			Happens: fmt.Sprintf("It gives what it names to %s again.", forWhom(p))}
	}
	return append(c.lettingIn(p), toggle, change{Name: "delete", Verb: "Delete", Title: "Delete " + p.Name, Done: "The provision is deleted.", Gone: true,
		Ends: true, Running: &store.SessionQuery{ProvisionID: p.ID},
		do:      func() error { return c.Control.DeleteProvision(c.r.Context(), c.who(), p.ID, c.ending()) },
		Happens: "What it gave is over: nobody can launch by it. This cannot be undone."})
}
