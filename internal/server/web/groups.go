package web

import (
	"strconv"
	"strings"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

const groupsPath = "/admin/groups"

func groupsPage(c *call) error {
	q := c.listQuery(groupsPath)
	list, next, err := c.Control.ListGroups(c.r.Context(), q.q, q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Groups", Noun: "group", NewPath: groupsPath + "/new", Search: q.search("Search groups"), Pager: q.pager(next), Clear: q.clear(),
		Note:    count(len(list), q, next, "group"),
		Empty:   "No groups yet. A provision can name a group instead of each person.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "m", Name: "Members"}, {Key: "m", Name: "From"}, {Key: "time", Name: "Made"}},
	}
	now := c.now()
	for _, g := range list {
		l.Rows = append(l.Rows, record{ID: itoa(g.ID), Path: groupsPath + "/" + itoa(g.ID), Cells: []cell{
			{Text: g.Name}, {Text: strconv.Itoa(len(g.UserIDs))}, {Text: g.Source, Muted: true}, {View: ago(g.CreatedAt, now), Muted: true}}})
	}
	return c.show(page{Title: "Groups", Nav: "groups", Now: now}, listingView(l))
}

func groupNew(c *call) error { return c.groupForm(&directory.Group{}, nil) }

func groupPage(c *call) error {
	g, err := c.Control.Group(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	return c.groupForm(g, nil)
}

func (c *call) groupForm(g *directory.Group, errs map[string]string) error {
	f := form{Nav: "groups", List: groupsPath, Noun: "group", Path: groupsPath, Error: rest(errs, "name", "user_ids")}
	if g.ID != 0 {
		f.Path, f.Name, f.Changes = groupsPath+"/"+itoa(g.ID), g.Name, groupChanges(g)
	}
	users, err := c.picker(picker{Kind: "user", Name: "user_ids", Label: "Members", Hint: "Find people to add", None: "Nobody yet.", Error: errs["user_ids"]},
		g.UserIDs, c.r.PostFormValue("find_user_ids"))
	if err != nil {
		return err
	}
	return c.showForm(f, len(errs) > 0, groupFields(g, users, errs))
}

func readGroup(c *call, g *directory.Group) {
	g.Name = strings.TrimSpace(c.r.PostFormValue("name"))
	g.UserIDs = picked(g.UserIDs, c.r.PostForm, "user_ids")
}

func groupCreate(c *call) error {
	g := &directory.Group{}
	readGroup(c, g)
	if c.finding() {
		return c.groupForm(g, nil)
	}
	if err := c.Control.CreateGroup(c.r.Context(), c.who(), g); err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		g.ID = 0
		return c.groupForm(g, errs)
	}
	return c.saved(groupsPath, "The group is made.", groupsPath+"/"+itoa(g.ID), g.Name)
}

func groupSave(c *call) error {
	if c.finding() {
		g, err := c.Control.Group(c.r.Context(), c.id())
		if err != nil {
			return err
		}
		readGroup(c, g)
		return c.groupForm(g, nil)
	}
	var tried *directory.Group
	g, err := c.Control.UpdateGroup(c.r.Context(), c.who(), c.id(), func(g *directory.Group) error {
		readGroup(c, g)
		tried = g
		return nil
	})
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		return c.groupForm(tried, errs)
	}
	return c.saved(groupsPath, "Saved.", groupsPath+"/"+itoa(g.ID), g.Name)
}

func groupChanges(g *directory.Group) []change {
	return []change{{Name: "delete", Verb: "Delete", Title: "Delete " + g.Name,
		Happens: "What provisions gave to its members by this group is over for them. This cannot be undone.",
		Not:     "It does not delete its members."}}
}

func groupChangePage(c *call) error {
	g, err := c.Control.Group(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	if c.r.PathValue("change") != "delete" {
		return store.ErrNotFound
	}
	return c.confirmChange("groups", groupsPath+"/"+itoa(g.ID), groupChanges(g)[0])
}

func groupChange(c *call) error {
	if c.r.PathValue("change") != "delete" {
		return store.ErrNotFound
	}
	if err := c.Control.DeleteGroup(c.r.Context(), c.who(), c.id()); err != nil {
		return c.refusedChange("groups", groupsPath+"/"+itoa(c.id()), "Delete", err)
	}
	return c.saved(groupsPath, "The group is deleted.", "", "")
}
