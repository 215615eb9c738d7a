package web

import (
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

const usersPath = "/admin/users"

var users = &records[directory.User]{
	path: usersPath, nav: "users", noun: "user", searched: "names, user names, email",
	list: listing{
		Title: "Users", Empty: "No users yet.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "m", Name: "Role"}, {Key: "user", Name: "User name"}, {Key: "m", Name: "Status"},
			{Key: "text", Name: "Email"}, {Key: "s", Name: "From"}},
	},
	find: func(c *call, q string, page store.Page) ([]*directory.User, string, error) {
		return c.Control.ListUsers(c.r.Context(), q, page)
	},
	cells: func(_ *call, u *directory.User, _ time.Time) ([]cell, error) {
		return []cell{{Text: u.Name}, {Text: string(u.Role), Muted: u.Role == directory.RoleUser}, {Text: u.Username, Muted: true},
			{View: wordDot(string(u.Status))}, {Text: u.Email, Muted: true}, {Text: u.Source, Muted: true}}, nil
	},
	id:    func(u *directory.User) *int64 { return &u.ID },
	name:  func(u *directory.User) string { return u.Name },
	load:  func(c *call, id int64) (*directory.User, error) { return c.Control.User(c.r.Context(), id) },
	first: func(*call) *directory.User { return &directory.User{Role: directory.RoleUser} },
	create: func(c *call, u *directory.User) error {
		return c.Control.CreateUser(c.r.Context(), c.who(), u, c.r.PostFormValue("password"))
	},
	made: "The user is made.",
	read: func(c *call, u *directory.User) error {
		get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
		u.Username, u.Name, u.Email, u.Role = get("username"), get("name"), get("email"), directory.Role(get("role"))
		if u.Name == "" {
			u.Name = u.Username
		}
		u.GroupIDs = picked(u.GroupIDs, c.r.PostForm, "group_ids")
		return nil
	},
	update: func(c *call, id int64, change func(*directory.User) error) error {
		return updateUser(c, id, c.r.PostFormValue("password"), change)
	},
	shown: []string{"username", "name", "email", "role", "password", "group_ids"},
	facts: func(_ *call, u *directory.User) ([]fact, error) {
		return []fact{{Name: "Sessions", Text: "of this user", Link: sessionsPath + "?user_id=" + itoa(u.ID)}}, nil
	},
	changes: userChanges,
	ending:  true,
	fields: func(c *call, u *directory.User, errs map[string]string) (templ.Component, error) {
		groups, err := c.picker(picker{Kind: "group", Name: "group_ids", Label: "Groups", Hint: "Find groups to add", None: "In no group.", Error: errs["group_ids"]}, u.GroupIDs)
		return userFields(u, groups, errs), err
	},
}

func updateUser(c *call, id int64, password string, change func(*directory.User) error) error {
	_, err := c.Control.UpdateUser(c.r.Context(), c.who(), id, password, c.ending(), change)
	return err
}

func userChanges(c *call, u *directory.User) []change {
	set := func(s directory.Status) func() error {
		return func() error {
			return updateUser(c, u.ID, "", func(u *directory.User) error { u.Status = s; return nil })
		}
	}
	suspend := change{Name: "suspend", Verb: "Suspend", Title: "Suspend " + u.Name, Done: "Suspended.", do: set(directory.Suspended),
		Ends: true, Running: &store.SessionQuery{UserID: u.ID},
		Happens: "They are signed out and cannot launch. They can be activated again."}
	if u.Status == directory.Suspended {
		suspend = change{Name: "activate", Verb: "Activate", Title: "Activate " + u.Name, Done: "Activated.", do: set(directory.Active), Happens: "They can sign in and launch again."}
	}
	return []change{suspend, {Name: "delete", Verb: "Delete", Title: "Delete " + u.Name, Done: "The user is deleted.", Gone: true,
		do:   func() error { return c.Control.DeleteUser(c.r.Context(), c.who(), u.ID, c.ending()) },
		Ends: true, Running: &store.SessionQuery{UserID: u.ID},
		Happens: "They cannot sign in or launch any more. Their sessions keep their name. This cannot be undone."}}
}
