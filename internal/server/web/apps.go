package web

import (
	"strings"

	"leasehold/internal/catalog"
	"leasehold/internal/store"
)

const appsPath = "/admin/apps"

func appsPage(c *call) error {
	q := c.listQuery(appsPath)
	list, next, err := c.Control.ListApps(c.r.Context(), q.q, q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Apps", Noun: "app", NewPath: appsPath + "/new", Search: q.search("Search apps"), Pager: q.pager(next), Clear: q.clear(),
		Note:    count(len(list), q, next, "app"),
		Empty:   "No apps yet. An app is what people launch; a delivery method says how they get it.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "text", Name: "Description"}, {Key: "m", Name: "Status"}, {Key: "time", Name: "Made"}},
	}
	now := c.now()
	for _, a := range list {
		l.Rows = append(l.Rows, record{ID: itoa(a.ID), Path: appsPath + "/" + itoa(a.ID), Cells: []cell{
			{Text: a.Name}, {Text: a.Description, Muted: true},
			{View: statusDot(status{Word: string(a.Status), Tone: toneOf(string(a.Status))}, now)}, {View: ago(a.CreatedAt, now), Muted: true}}})
	}
	return c.show(page{Title: "Apps", Nav: "apps", Now: now}, listingView(l))
}

func appNew(c *call) error { return c.appForm(&catalog.App{}, nil) }

func appPage(c *call) error {
	a, err := c.Control.App(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	return c.appForm(a, nil)
}

func (c *call) appForm(a *catalog.App, errs map[string]string) error {
	f := form{Nav: "apps", List: appsPath, Noun: "app", Path: appsPath, Error: rest(errs, "name", "description")}
	var methods []option
	if a.ID != 0 {
		f.Path, f.Name = appsPath+"/"+itoa(a.ID), a.Name
		if stored, err := c.Control.App(c.r.Context(), a.ID); err == nil {
			f.Name = stored.Name
		}
		f.Changes = appChanges(a)
		list, _, err := c.Control.ListDeliveryMethods(c.r.Context(), a.ID, "", store.Page{Size: 100})
		if err != nil {
			return err
		}
		for _, d := range list {
			methods = append(methods, option{Label: d.Name, Note: string(d.Licence.Type), Link: methodsPath + "/" + itoa(d.ID)})
		}
	}
	return c.showForm(f, errs != nil, appFields(a, methods, errs))
}

func readApp(c *call, a *catalog.App) {
	a.Name, a.Description = strings.TrimSpace(c.r.PostFormValue("name")), strings.TrimSpace(c.r.PostFormValue("description"))
}

func appCreate(c *call) error {
	a := &catalog.App{}
	readApp(c, a)
	if err := c.Control.CreateApp(c.r.Context(), c.who(), a); err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		a.ID = 0
		return c.appForm(a, errs)
	}
	return c.saved(methodsPath+"/new?app_id="+itoa(a.ID), "The app is made. Say how it is delivered.", appsPath+"/"+itoa(a.ID), a.Name)
}

func appSave(c *call) error {
	var tried *catalog.App
	a, err := c.Control.UpdateApp(c.r.Context(), c.who(), c.id(), func(a *catalog.App) error {
		readApp(c, a)
		tried = a
		return nil
	})
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		return c.appForm(tried, errs)
	}
	return c.saved(appsPath, "Saved.", appsPath+"/"+itoa(a.ID), a.Name)
}

func appChanges(a *catalog.App) []change {
	suspend := change{Name: "suspend", Verb: "Suspend", Title: "Suspend " + a.Name,
		Happens: "Nobody can launch it, and running sessions are closed when they next ask to renew. It can be activated again.",
		Not:     "It does not end running sessions at once: evict them for that."}
	if a.Status == catalog.Suspended {
		suspend = change{Name: "activate", Verb: "Activate", Title: "Activate " + a.Name, Happens: "Those whom a provision entitles can launch it again."}
	}
	return []change{suspend, {Name: "delete", Verb: "Delete", Title: "Delete " + a.Name,
		Happens: "Nobody can launch it any more, and running sessions are closed when they next ask to renew. Its sessions keep its name. This cannot be undone.",
		Not:     "It does not end running sessions at once: evict them for that."}}
}

func appChangePage(c *call) error {
	a, err := c.Control.App(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	for _, ch := range appChanges(a) {
		if ch.Name == c.r.PathValue("change") {
			return c.confirmChange("apps", appsPath+"/"+itoa(a.ID), ch)
		}
	}
	return store.ErrNotFound
}

func appChange(c *call) error {
	id, what := c.id(), c.r.PathValue("change")
	path := appsPath + "/" + itoa(id)
	set := func(s catalog.Status, done string) error {
		a, err := c.Control.UpdateApp(c.r.Context(), c.who(), id, func(a *catalog.App) error {
			a.Status = s
			return nil
		})
		if err != nil {
			return c.refusedChange("apps", path, title(what), err)
		}
		return c.saved(appsPath, done, path, a.Name)
	}
	switch what {
	case "suspend":
		return set(catalog.Suspended, "Suspended.")
	case "activate":
		return set(catalog.Active, "Activated.")
	case "delete":
		if err := c.Control.DeleteApp(c.r.Context(), c.who(), id); err != nil {
			return c.refusedChange("apps", path, "Delete", err)
		}
		return c.saved(appsPath, "The app is deleted.", "", "")
	}
	return store.ErrNotFound
}
