package web

import (
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/catalog"
	"leasehold/internal/store"
)

const appsPath = "/admin/apps"

var apps = &records[catalog.App]{
	path: appsPath, nav: "apps", noun: "app",
	list: listing{
		Title:   "Apps",
		Empty:   "No apps yet. An app is what people launch; a delivery method says how they get it.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "text", Name: "Description"}, {Key: "m", Name: "Status"}, {Key: "time", Name: "Made"}},
	},
	find: func(c *call, q string, page store.Page) ([]*catalog.App, string, error) {
		return c.Control.ListApps(c.r.Context(), q, page)
	},
	cells: func(_ *call, a *catalog.App, now time.Time) ([]cell, error) {
		return []cell{{Text: a.Name}, {Text: a.Description, Muted: true}, {View: wordDot(string(a.Status))}, {View: ago(a.CreatedAt, now), Muted: true}}, nil
	},
	id:    func(a *catalog.App) *int64 { return &a.ID },
	name:  func(a *catalog.App) string { return a.Name },
	load:  func(c *call, id int64) (*catalog.App, error) { return c.Control.App(c.r.Context(), id) },
	first: func(*call) *catalog.App { return &catalog.App{} },
	create: func(c *call, a *catalog.App) error {
		return c.Control.CreateApp(c.r.Context(), c.who(), a)
	},
	made: "The app is made. Say how it is delivered.",
	next: func(a *catalog.App) string { return methodsPath + "/new?app_id=" + itoa(a.ID) },
	read: func(c *call, a *catalog.App) error {
		a.Name, a.Description = strings.TrimSpace(c.r.PostFormValue("name")), strings.TrimSpace(c.r.PostFormValue("description"))
		return nil
	},
	update:  updateApp,
	shown:   []string{"name", "description"},
	changes: appChanges,
	fields: func(c *call, a *catalog.App, errs map[string]string) (templ.Component, error) {
		var methods []option
		if a.ID != 0 {
			list, _, err := c.Control.ListDeliveryMethods(c.r.Context(), a.ID, "", store.Page{Size: 100})
			if err != nil {
				return nil, err
			}
			for _, d := range list {
				methods = append(methods, option{Label: d.Name, Note: string(d.Licence.Type), Link: methodsPath + "/" + itoa(d.ID)})
			}
		}
		return appFields(a, methods, errs), nil
	},
}

func updateApp(c *call, id int64, change func(*catalog.App) error) error {
	_, err := c.Control.UpdateApp(c.r.Context(), c.who(), id, c.ending(), change)
	return err
}

func appChanges(c *call, a *catalog.App) []change {
	set := func(s catalog.Status) func() error {
		return func() error { return updateApp(c, a.ID, func(a *catalog.App) error { a.Status = s; return nil }) }
	}
	suspend := change{Name: "suspend", Verb: "Suspend", Title: "Suspend " + a.Name, Done: "Suspended.", do: set(catalog.Suspended),
		Ends: true, Running: &store.SessionQuery{AppID: a.ID},
		Happens: "Nobody can launch it. It can be activated again."}
	if a.Status == catalog.Suspended {
		suspend = change{Name: "activate", Verb: "Activate", Title: "Activate " + a.Name, Done: "Activated.", do: set(catalog.Active),
			Happens: "Those whom a provision entitles can launch it again."}
	}
	return []change{suspend, {Name: "delete", Verb: "Delete", Title: "Delete " + a.Name, Done: "The app is deleted.", Gone: true,
		do:   func() error { return c.Control.DeleteApp(c.r.Context(), c.who(), a.ID, c.ending()) },
		Ends: true, Running: &store.SessionQuery{AppID: a.ID},
		Happens: "Nobody can launch it any more. Its sessions keep its name. This cannot be undone."}}
}
