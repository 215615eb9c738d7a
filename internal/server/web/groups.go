package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

const groupsPath = "/admin/groups"

var groups = &records[directory.Group]{
	path: groupsPath, nav: "groups", noun: "group",
	list: listing{
		Title: "Groups", Empty: "No groups yet. A provision can name a group instead of each person.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "m", Name: "Members"}, {Key: "m", Name: "From"}, {Key: "time", Name: "Made"}},
	},
	find: func(c *call, q string, page store.Page) ([]*directory.Group, string, error) {
		return c.Control.ListGroups(c.r.Context(), q, page)
	},
	cells: func(_ *call, g *directory.Group, now time.Time) ([]cell, error) {
		return []cell{{Text: g.Name}, {Text: strconv.Itoa(len(g.UserIDs))}, {Text: g.Source, Muted: true}, {View: ago(g.CreatedAt, now), Muted: true}}, nil
	},
	id:    func(g *directory.Group) *int64 { return &g.ID },
	name:  func(g *directory.Group) string { return g.Name },
	load:  func(c *call, id int64) (*directory.Group, error) { return c.Control.Group(c.r.Context(), id) },
	first: func(*call) *directory.Group { return &directory.Group{} },
	create: func(c *call, g *directory.Group) error {
		return c.Control.CreateGroup(c.r.Context(), c.who(), g)
	},
	made: "The group is made.",
	read: func(c *call, g *directory.Group) error {
		g.Name = strings.TrimSpace(c.r.PostFormValue("name"))
		g.UserIDs = picked(g.UserIDs, c.r.PostForm, "user_ids")
		return nil
	},
	update: func(c *call, id int64, change func(*directory.Group) error) error {
		_, err := c.Control.UpdateGroup(c.r.Context(), c.who(), id, c.ending(), change)
		return err
	},
	shown:  []string{"name", "user_ids"},
	ending: true,
	changes: func(c *call, g *directory.Group) []change {
		return []change{{Name: "delete", Verb: "Delete", Title: "Delete " + g.Name, Done: "The group is deleted.", Gone: true,
			do:   func() error { return c.Control.DeleteGroup(c.r.Context(), c.who(), g.ID, c.ending()) },
			Ends: true, Happens: "What provisions gave to its members by this group is over for them. This cannot be undone.",
			Not: "It does not delete its members."}}
	},
	fields: func(c *call, g *directory.Group, errs map[string]string) (templ.Component, error) {
		users, err := c.picker(picker{Kind: "user", Name: "user_ids", Label: "Members", Hint: "Find people to add", None: "Nobody yet.", Error: errs["user_ids"]}, g.UserIDs)
		return groupFields(g, users, errs), err
	},
}
