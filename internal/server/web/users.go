package web

import (
	"slices"
	"strings"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

const usersPath = "/admin/users"

func usersPage(c *call) error {
	q := c.listQuery(usersPath)
	list, next, err := c.Control.ListUsers(c.r.Context(), q.q, q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Users", Noun: "user", NewPath: usersPath + "/new", Search: q.search("Search users"), Pager: q.pager(next), Clear: q.clear(),
		Note:  count(len(list), q, next, "user"),
		Empty: "No users yet.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "m", Name: "Role"}, {Key: "user", Name: "User name"}, {Key: "m", Name: "Status"},
			{Key: "text", Name: "Email"}, {Key: "s", Name: "From"}},
	}
	now := c.now()
	for _, u := range list {
		l.Rows = append(l.Rows, record{ID: itoa(u.ID), Path: usersPath + "/" + itoa(u.ID), Cells: []cell{
			{Text: u.Name}, {Text: string(u.Role), Muted: u.Role == directory.RoleUser}, {Text: u.Username, Muted: true},
			{View: statusDot(status{Word: string(u.Status), Tone: toneOf(string(u.Status))}, now)}, {Text: u.Email, Muted: true}, {Text: u.Source, Muted: true}}})
	}
	return c.show(page{Title: "Users", Nav: "users", Now: now}, listingView(l))
}

func userNew(c *call) error { return c.userForm(&directory.User{Role: directory.RoleUser}, nil) }

func userPage(c *call) error {
	u, err := c.Control.User(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	return c.userForm(u, nil)
}

func (c *call) userForm(u *directory.User, errs map[string]string) error {
	f := form{Nav: "users", List: usersPath, Noun: "user", Path: usersPath, Error: rest(errs, "username", "name", "email", "role", "password", "group_ids")}
	if u.ID != 0 {
		f.Path, f.Name, f.Changes = usersPath+"/"+itoa(u.ID), u.Username, userChanges(u)
		f.Facts = []fact{{Name: "Sessions", Text: "of this user", Link: sessionsPath + "?user_id=" + itoa(u.ID)}}
	}
	groups, err := c.picker(picker{Kind: "group", Name: "group_ids", Label: "Groups", Hint: "Find groups to add", None: "In no group.", Error: errs["group_ids"]},
		u.GroupIDs, c.r.PostFormValue("find_group_ids"))
	if err != nil {
		return err
	}
	return c.showForm(f, len(errs) > 0, userFields(u, groups, errs))
}

func readUser(c *call, u *directory.User) {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	u.Username, u.Name, u.Email, u.Role = get("username"), get("name"), get("email"), directory.Role(get("role"))
	if u.Name == "" {
		u.Name = u.Username
	}
	u.GroupIDs = picked(u.GroupIDs, c.r.PostForm, "group_ids")
}

func userCreate(c *call) error {
	u := &directory.User{}
	readUser(c, u)
	if c.finding() {
		return c.userForm(u, nil)
	}
	if err := c.Control.CreateUser(c.r.Context(), c.who(), u, c.r.PostFormValue("password")); err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		u.ID = 0
		return c.userForm(u, errs)
	}
	return c.saved(usersPath, "The user is made.", usersPath+"/"+itoa(u.ID), u.Name)
}

func userSave(c *call) error {
	if c.finding() {
		u, err := c.Control.User(c.r.Context(), c.id())
		if err != nil {
			return err
		}
		readUser(c, u)
		return c.userForm(u, nil)
	}
	var tried *directory.User
	u, err := c.Control.UpdateUser(c.r.Context(), c.who(), c.id(), c.r.PostFormValue("password"), func(u *directory.User) error {
		readUser(c, u)
		tried = u
		return nil
	})
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		if tried == nil { // the password was refused before anything was read
			if tried, err = c.Control.User(c.r.Context(), c.id()); err != nil {
				return err
			}
			readUser(c, tried)
		}
		return c.userForm(tried, errs)
	}
	return c.saved(usersPath, "Saved.", usersPath+"/"+itoa(u.ID), u.Name)
}

func userChanges(u *directory.User) []change {
	suspend := change{Name: "suspend", Verb: "Suspend", Title: "Suspend " + u.Name,
		Happens: "They are signed out, cannot launch, and their running sessions are closed when they next ask to renew. They can be activated again.",
		Not:     "It does not end running sessions at once: evict them for that."}
	if u.Status == directory.Suspended {
		suspend = change{Name: "activate", Verb: "Activate", Title: "Activate " + u.Name, Happens: "They can sign in and launch again."}
	}
	return []change{suspend, {Name: "delete", Verb: "Delete", Title: "Delete " + u.Name,
		Happens: "They cannot sign in or launch any more, and their running sessions are closed when they next ask to renew. Their sessions keep their name. This cannot be undone.",
		Not:     "It does not end running sessions at once: evict them for that."}}
}

func userChangePage(c *call) error {
	u, err := c.Control.User(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(userChanges(u), func(ch change) bool { return ch.Name == c.r.PathValue("change") })
	if i < 0 {
		return store.ErrNotFound
	}
	return c.confirmChange("users", usersPath+"/"+itoa(u.ID), userChanges(u)[i])
}

func userChange(c *call) error {
	id, what := c.id(), c.r.PathValue("change")
	path := usersPath + "/" + itoa(id)
	set := func(s directory.Status, done string) error {
		u, err := c.Control.UpdateUser(c.r.Context(), c.who(), id, "", func(u *directory.User) error {
			u.Status = s
			return nil
		})
		if err != nil {
			return c.refusedChange("users", path, title(what), err)
		}
		return c.saved(usersPath, done, path, u.Name)
	}
	switch what {
	case "suspend":
		return set(directory.Suspended, "Suspended.")
	case "activate":
		return set(directory.Active, "Activated.")
	case "delete":
		if err := c.Control.DeleteUser(c.r.Context(), c.who(), id); err != nil {
			return c.refusedChange("users", path, "Delete", err)
		}
		return c.saved(usersPath, "The user is deleted.", "", "")
	}
	return store.ErrNotFound
}
