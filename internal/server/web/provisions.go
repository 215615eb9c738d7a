package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

const (
	provisionsPath = "/admin/provisions"
	// formTime is what a datetime-local field sends and shows.
	formTime = "2006-01-02T15:04"
)

func provisionsPage(c *call) error {
	q := c.listQuery(provisionsPath)
	list, next, err := c.Control.ListProvisions(c.r.Context(), q.q, q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Provisions", Noun: "provision", NewPath: provisionsPath + "/new", Search: q.search("Search provisions"), Pager: q.pager(next), Clear: q.clear(),
		Note:    count(len(list), q, next, "provision"),
		Empty:   "No provisions yet. A provision lets people and groups launch delivery methods; without one nobody can.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "m", Name: "Status"}, {Key: "m", Name: "For"}, {Key: "m", Name: "Methods"}, {Key: "time", Name: "Begins"}, {Key: "time", Name: "Ends"}},
	}
	now := c.now()
	for _, p := range list {
		l.Rows = append(l.Rows, record{ID: itoa(p.ID), Path: provisionsPath + "/" + itoa(p.ID), Cells: []cell{
			{Text: p.Name}, {View: statusDot(provisionStatus(p, now), now)}, {Text: forWhom(p)}, {Text: strconv.Itoa(len(p.DeliveryMethodIDs))},
			{View: at(p.StartsAt), Muted: true}, {View: at(p.EndsAt), Muted: true}}})
	}
	return c.show(page{Title: "Provisions", Nav: "provisions", Now: now}, listingView(l))
}

func provisionStatus(p *directory.Provision, now time.Time) status {
	word := "enabled"
	open, why := p.Open(now)
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

func provisionNew(c *call) error { return c.provisionForm(&directory.Provision{Enabled: true}, nil) }

func provisionPage(c *call) error {
	p, err := c.Control.Provision(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	return c.provisionForm(p, nil)
}

func (c *call) provisionForm(p *directory.Provision, errs map[string]string) error {
	f := form{Nav: "provisions", List: provisionsPath, Noun: "provision", Path: provisionsPath,
		Error: rest(errs, "name", "user_ids", "group_ids", "delivery_method_ids", "starts_at", "ends_at")}
	if p.ID != 0 {
		f.Path, f.Name, f.Changes = provisionsPath+"/"+itoa(p.ID), p.Name, provisionChanges(p)
		f.Facts = []fact{{Name: "Status", View: statusDot(provisionStatus(p, c.now()), c.now())},
			{Name: "Sessions", Text: "under this provision", Link: sessionsPath + "?provision_id=" + itoa(p.ID)}}
	}
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
		pk, err := c.picker(x.picker, x.ids, c.r.PostFormValue("find_"+x.Name))
		if err != nil {
			return err
		}
		pickers = append(pickers, pk)
	}
	return c.showForm(f, len(errs) > 0, provisionFields(p, pickers, errs))
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
		}
		return t
	}
	p.Name = strings.TrimSpace(c.r.PostFormValue("name"))
	p.Enabled = c.r.PostFormValue("enabled") == "true"
	p.StartsAt, p.EndsAt = moment("starts_at"), moment("ends_at")
	p.UserIDs = picked(p.UserIDs, c.r.PostForm, "user_ids")
	p.GroupIDs = picked(p.GroupIDs, c.r.PostForm, "group_ids")
	p.DeliveryMethodIDs = picked(p.DeliveryMethodIDs, c.r.PostForm, "delivery_method_ids")
	return e.Err()
}

func provisionCreate(c *call) error {
	p := &directory.Provision{}
	err := readProvision(c, p)
	if c.finding() {
		return c.provisionForm(p, nil)
	}
	if err == nil {
		err = c.Control.CreateProvision(c.r.Context(), c.who(), p)
	}
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		p.ID = 0
		return c.provisionForm(p, errs)
	}
	return c.saved(provisionsPath, "The provision is made.", provisionsPath+"/"+itoa(p.ID), p.Name)
}

func provisionSave(c *call) error {
	if c.finding() {
		p, err := c.Control.Provision(c.r.Context(), c.id())
		if err != nil {
			return err
		}
		readProvision(c, p) // what is wrong is said when it is saved
		return c.provisionForm(p, nil)
	}
	var tried *directory.Provision
	p, err := c.Control.UpdateProvision(c.r.Context(), c.who(), c.id(), func(p *directory.Provision) error {
		tried = p
		return readProvision(c, p)
	})
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		return c.provisionForm(tried, errs)
	}
	return c.saved(provisionsPath, "Saved.", provisionsPath+"/"+itoa(p.ID), p.Name)
}

func provisionChanges(p *directory.Provision) []change {
	disable := change{Name: "disable", Verb: "Disable", Title: "Disable " + p.Name,
		Happens: fmt.Sprintf("What it gives to %s is over: nobody can launch by it, and running sessions are closed when they next ask to renew. It can be enabled again.", forWhom(p)),
		Not:     "It does not end running sessions at once: evict them for that."}
	if !p.Enabled {
		disable = change{Name: "enable", Verb: "Enable", Title: "Enable " + p.Name, Happens: fmt.Sprintf("It gives what it names to %s again.", forWhom(p))}
	}
	return []change{disable, {Name: "delete", Verb: "Delete", Title: "Delete " + p.Name,
		Happens: "What it gave is over: nobody can launch by it, and running sessions are closed when they next ask to renew. This cannot be undone.",
		Not:     "It does not end running sessions at once: evict them for that."}}
}

func provisionChangePage(c *call) error {
	p, err := c.Control.Provision(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(provisionChanges(p), func(ch change) bool { return ch.Name == c.r.PathValue("change") })
	if i < 0 {
		return store.ErrNotFound
	}
	return c.confirmChange("provisions", provisionsPath+"/"+itoa(p.ID), provisionChanges(p)[i])
}

func provisionChange(c *call) error {
	id, what := c.id(), c.r.PathValue("change")
	path := provisionsPath + "/" + itoa(id)
	switch what {
	case "enable", "disable":
		p, err := c.Control.UpdateProvision(c.r.Context(), c.who(), id, func(p *directory.Provision) error {
			p.Enabled = what == "enable"
			return nil
		})
		if err != nil {
			return c.refusedChange("provisions", path, title(what), err)
		}
		return c.saved(provisionsPath, title(what)+"d.", path, p.Name)
	case "delete":
		if err := c.Control.DeleteProvision(c.r.Context(), c.who(), id); err != nil {
			return c.refusedChange("provisions", path, "Delete", err)
		}
		return c.saved(provisionsPath, "The provision is deleted.", "", "")
	}
	return store.ErrNotFound
}
