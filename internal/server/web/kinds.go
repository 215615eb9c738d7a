package web

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/a-h/templ"

	"leasehold/internal/store"
)

// A kind is one sort of record that administrators list, make and change.
type kind struct {
	path string // under /admin/
	nav  string

	list handler
	// blank and create are nil where none can be made by hand.
	blank, create handler
	edit, save    handler
	// changePage asks before a change, change makes it: suspend, delete and the like.
	changePage, change handler
}

// kinds is every kind, in the order of the side bar.
var kinds = []kind{
	{path: "devices", list: devicesPage, edit: devicePage, save: deviceSave, changePage: deviceChangePage, change: deviceChange},
	{path: "apps", list: appsPage, blank: appNew, create: appCreate, edit: appPage, save: appSave, changePage: appChangePage, change: appChange},
	{path: "delivery-methods", list: methodsPage, blank: methodNew, create: methodCreate, edit: methodPage, save: methodSave, changePage: methodChangePage, change: methodChange},
	{path: "provisions", list: provisionsPage, blank: provisionNew, create: provisionCreate, edit: provisionPage, save: provisionSave, changePage: provisionChangePage, change: provisionChange},
	{path: "users", list: usersPage, blank: userNew, create: userCreate, edit: userPage, save: userSave, changePage: userChangePage, change: userChange},
	{path: "groups", list: groupsPage, blank: groupNew, create: groupCreate, edit: groupPage, save: groupSave, changePage: groupChangePage, change: groupChange},
}

// listPageSize is a page of a catalogue, people or record list.
const listPageSize = 50

// A listQuery is the state of such a list.
type listQuery struct {
	path, q, token string
	extra          url.Values // other filters
}

func (c *call) listQuery(path string) listQuery {
	v := c.r.URL.Query()
	return listQuery{path: path, q: v.Get("q"), token: v.Get("page_token"), extra: url.Values{}}
}

func (q listQuery) page() store.Page { return store.Page{Size: listPageSize, Token: q.token} }

// at is the list's page under a token.
func (q listQuery) at(token string) string {
	v := url.Values{}
	for name, values := range q.extra {
		v[name] = values
	}
	if q.q != "" {
		v.Set("q", q.q)
	}
	if token != "" {
		v.Set("page_token", token)
	}
	return withQuery(q.path, v)
}

// pager leads to the first and the next page; back is the browser's.
func (q listQuery) pager(next string) pager {
	p := pager{Forward: true}
	if q.token != "" {
		p.First = q.at("")
	}
	if next != "" {
		p.Next = q.at(next)
	}
	return p
}

// search is the list's search box.
func (q listQuery) search(hint string) search {
	s := search{Path: q.path, Value: q.q, Hint: hint}
	for name, values := range q.extra {
		for _, value := range values {
			s.Hidden = append(s.Hidden, [2]string{name, value})
		}
	}
	return s
}

func (q listQuery) clear() string {
	q.q = ""
	return q.at("")
}

// A change is something that can be done to a record as a whole.
type change struct {
	Name    string // in the address: "suspend"
	Verb    string
	Title   string
	Happens string
	Not     string
}

// confirmChange asks before a change.
func (c *call) confirmChange(nav, path string, ch change) error {
	return c.show(page{Title: ch.Verb, Nav: nav}, confirmView(confirmation{
		Action: path + "/" + ch.Name, Verb: ch.Verb, Title: ch.Title, Happens: ch.Happens, Not: ch.Not, Back: path, NoReason: true,
	}))
}

// saved goes back to a list with the news of what was made or changed.
func (c *call) saved(list, what, path, name string) error {
	c.setFlash(toast{Text: what, Link: path, Name: name})
	return c.redirect(list)
}

// refusedChange says at the record's page why a change was not made.
func (c *call) refusedChange(nav, path, verb string, err error) error {
	errs, err := wrong(err)
	if err != nil {
		return err
	}
	return c.showAs(http.StatusUnprocessableEntity, page{Title: verb, Nav: nav}, confirmView(confirmation{
		Title: "Nothing was changed", Happens: rest(errs), Back: path, Off: true,
	}))
}

// A form is the page that makes or changes a record.
type form struct {
	Nav     string
	List    string // address of the list
	Noun    string
	Path    string // where it is posted: the list's for a new one
	Name    string // of the record, "" for a new one
	Error   string
	Changes []change
	Facts   []fact
}

// showForm shows a form; one that was not accepted comes with 422.
func (c *call) showForm(f form, bad bool, fields templ.Component) error {
	name, code := "New "+f.Noun, http.StatusOK
	if f.Name != "" {
		name = f.Name
	}
	if bad {
		code = http.StatusUnprocessableEntity
	}
	return c.showAs(code, page{Title: name, Nav: f.Nav}, withFields(formView(f, name), fields))
}

// count writes how many a list's page shows, when that is all of them.
func count(n int, q listQuery, next, noun string) string {
	if q.token != "" || next != "" {
		return ""
	}
	if q.q != "" {
		return fmt.Sprintf("%s found", plural(n, noun))
	}
	return plural(n, noun)
}
