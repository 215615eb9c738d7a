package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/store"
)

// A kind is the pages of one sort of record that administrators list, make and change.
type kind struct {
	path string
	list handler
	// blank and create are nil where none can be made by hand.
	blank, create handler
	edit, save    handler
	// changePage asks before a change, change makes it: suspend, delete and the like.
	changePage, change handler
}

// kinds is every kind, in the order of the side bar.
func kinds() []kind {
	return []kind{devices.pages(), hosts.pages(), apps.pages(), methods.pages(), provisions.pages(), users.pages(), groups.pages()}
}

// records is how one sort of record is listed, made and changed. The functions only
// translate; what is right is decided by the use cases that they call.
type records[T any] struct {
	path string // of the list
	nav  string
	noun string

	list listing // what is the same each time
	find func(c *call, q string, page store.Page) ([]*T, string, error)
	// searched is what a search looks at; "" is the names.
	searched string
	cells    func(c *call, x *T, now time.Time) ([]cell, error)

	id   func(*T) *int64
	name func(*T) string
	load func(c *call, id int64) (*T, error)
	// first is a record as its blank form shows it; nil where none is made by hand.
	first  func(c *call) *T
	create func(c *call, x *T) error
	// made is said when one was made, and next is where that leads.
	made string
	next func(x *T) string
	// read takes the form into x, and says which texts are not what they should be.
	read   func(c *call, x *T) error
	update func(c *call, id int64, change func(*T) error) error

	fields  func(c *call, x *T, errs map[string]string) (templ.Component, error)
	shown   []string // the fields that show their own errors
	facts   func(c *call, x *T) ([]fact, error)
	changes func(c *call, x *T) []change
	// aside is beside the form: what is known of the record and not changed there.
	aside func(c *call, x *T) (templ.Component, error)
	// ending: changing the record by its form can take an app from somebody.
	ending bool
}

// A change is something that can be done to a record as a whole.
type change struct {
	Name    string // in the address: "suspend"
	Verb    string
	Title   string
	Happens string
	Not     string
	Done    string // said afterwards
	Gone    bool   // the record is there no more then
	Inside  bool   // it is offered within the form, not at the page's head
	// Ends: it can leave running sessions without entitlement. Running finds those that
	// run now; nil where that cannot be told cheaply.
	Ends    bool
	Running *store.SessionQuery
	do      func() error
}

func (k *records[T]) pages() kind {
	p := kind{path: k.path, list: k.listPage, edit: k.editPage, save: k.save, changePage: k.changePage, change: k.change}
	if k.first != nil {
		p.blank, p.create = k.blankPage, k.createPage
	}
	return p
}

func (k *records[T]) pathOf(x *T) string { return k.path + "/" + itoa(*k.id(x)) }

func (k *records[T]) listPage(c *call) error { return k.listWith(c, http.StatusOK, nil) }

// listWith is the list, with something above it.
func (k *records[T]) listWith(c *call, code int, top templ.Component) error {
	q := c.listQuery(k.path)
	found, next, err := k.find(c, q.q, q.page())
	if err != nil {
		return err
	}
	l, now := k.list, time.Now()
	l.Top, l.Noun = top, k.noun
	l.Search, l.Pager, l.Clear = q.search("Search "+cmp.Or(k.searched, k.noun+" names")), q.pager(next), q.clear()
	l.Note = count(len(found), q, next, k.noun)
	if k.first != nil {
		l.NewPath = k.path + "/new"
	}
	for _, x := range found {
		cells, err := k.cells(c, x, now)
		if err != nil {
			return err
		}
		l.Rows = append(l.Rows, record{ID: itoa(*k.id(x)), Path: k.pathOf(x), Cells: cells})
	}
	return c.showAs(code, page{Title: l.Title, Nav: k.nav, Now: now}, listingView(l))
}

func (k *records[T]) blankPage(c *call) error {
	if c.takeKept() {
		return k.createPage(c)
	}
	return k.form(c, k.first(c), nil)
}

func (k *records[T]) editPage(c *call) error {
	if c.takeKept() {
		return k.save(c)
	}
	x, err := k.load(c, c.id())
	if err != nil {
		return err
	}
	return k.form(c, x, nil)
}

// form shows a record's form; one that was not accepted says why at each field.
func (k *records[T]) form(c *call, x *T, errs map[string]string) error {
	return k.formWith(c, x, errs, nil)
}

// formWith is form, which may also say that somebody else has changed the record.
func (k *records[T]) formWith(c *call, x *T, errs map[string]string, stale *staleError) error {
	f := form{List: k.path, Noun: k.noun, Path: k.path, Error: rest(errs, k.shown...), Seen: c.r.PostFormValue(seenField)}
	name, code := "New "+k.noun, http.StatusOK
	if *k.id(x) != 0 {
		f.Path, f.Name, f.Changes = k.pathOf(x), k.name(x), k.changes(c, x)
		// The title is the record's own name, not the one that was refused.
		if stored, err := k.load(c, *k.id(x)); err == nil {
			f.Name = k.name(stored)
			if f.Seen == "" || stale != nil {
				f.Seen = seenText(stored)
			}
		}
		name = f.Name
		if k.facts != nil {
			var err error
			if f.Facts, err = k.facts(c, x); err != nil {
				return err
			}
		}
		if k.aside != nil {
			var err error
			if f.Aside, err = k.aside(c, x); err != nil {
				return err
			}
		}
		if k.ending {
			f.Ends, f.Reason = c.endsField("Of people who lose an app by this change."), c.r.PostFormValue("reason")
		}
	}
	fields, err := k.fields(c, x, errs)
	if err != nil {
		return err
	}
	if len(errs) > 0 {
		code = http.StatusUnprocessableEntity
	}
	if stale != nil {
		f.Error, code = stale.Error(), http.StatusConflict
	}
	return c.showAs(code, page{Title: name, Nav: k.nav}, withFields(formView(f, name), fields))
}

func (k *records[T]) createPage(c *call) error {
	x := new(T)
	err := k.read(c, x)
	if c.finding() {
		return k.form(c, x, nil)
	}
	if err == nil {
		err = k.create(c, x)
	}
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		*k.id(x) = 0
		return k.form(c, x, errs)
	}
	c.setFlash(toast{Text: k.made, Link: k.pathOf(x), Name: k.name(x)})
	if k.next != nil {
		return c.redirect(k.next(x))
	}
	return c.redirect(k.path)
}

func (k *records[T]) save(c *call) error {
	tried, err := k.load(c, c.id())
	if err != nil {
		return err
	}
	if !c.finding() {
		err = k.update(c, c.id(), func(x *T) error {
			tried = x
			if err := c.fresh(x); err != nil {
				return err
			}
			return k.read(c, x)
		})
		if err == nil {
			c.setFlash(toast{Text: "Saved.", Link: k.pathOf(tried), Name: k.name(tried)})
			return c.redirect(k.path)
		}
	}
	var stale *staleError
	if errors.As(err, &stale) {
		_ = k.read(c, tried)
		return k.formWith(c, tried, nil, stale)
	}
	errs, err := wrong(err)
	if err != nil {
		return err
	}
	// What is wrong is said by errs, or when the form is saved.
	_ = k.read(c, tried)
	return k.form(c, tried, errs)
}

// asked finds the change that the address names.
func (k *records[T]) asked(c *call) (*T, *change, error) {
	x, err := k.load(c, c.id())
	if err != nil {
		return nil, nil, err
	}
	for _, ch := range k.changes(c, x) {
		if ch.Name == c.r.PathValue("change") {
			return x, &ch, nil
		}
	}
	return nil, nil, store.ErrNotFound
}

func (k *records[T]) changePage(c *call) error {
	c.takeKept()
	x, ch, err := k.asked(c)
	if err != nil {
		return err
	}
	f := confirmation{Action: k.pathOf(x) + "/" + ch.Name, Verb: ch.Verb, Title: ch.Title, Happens: ch.Happens, Not: ch.Not, Back: k.pathOf(x), NoReason: true}
	if ch.Ends {
		if err := c.askEnding(&f, ch.Running); err != nil {
			return err
		}
	}
	return c.show(page{Title: ch.Verb, Nav: k.nav}, confirmView(f))
}

func (k *records[T]) change(c *call) error {
	x, ch, err := k.asked(c)
	if err != nil {
		return err
	}
	if err := ch.do(); err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		return c.showAs(http.StatusUnprocessableEntity, page{Title: ch.Verb, Nav: k.nav}, confirmView(confirmation{
			Title: "Nothing was changed", Happens: rest(errs), Back: k.pathOf(x), Off: true,
		}))
	}
	t := toast{Text: ch.Done}
	if !ch.Gone {
		t.Link, t.Name = k.pathOf(x), k.name(x)
	}
	c.setFlash(t)
	return c.redirect(k.path)
}

// A form is the frame of the page that makes or changes a record.
type form struct {
	List    string // address of the list
	Noun    string
	Path    string // where it is posted: the list's for a new one
	Name    string // of the record, "" for a new one
	Error   string
	Seen    string // what the record was like when the form was first shown
	Changes []change
	Facts   []fact
	Aside   templ.Component // beside the form
	Reason  string          // for ending them
	Ends    *field          // the tick that ends running sessions at once
}

// listPageSize is a page of a catalogue, people or record list.
const listPageSize = 50

// A listQuery is the state of such a list.
type listQuery struct{ path, q, token string }

func (c *call) listQuery(path string) listQuery {
	v := c.r.URL.Query()
	return listQuery{path, v.Get("q"), v.Get("page_token")}
}

func (q listQuery) page() store.Page { return store.Page{Size: listPageSize, Token: q.token} }

// at is the list's page under a token.
func (q listQuery) at(token string) string {
	v := url.Values{}
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

func (q listQuery) search(hint string) search {
	return search{Path: q.path, Value: q.q, Hint: hint}
}

func (q listQuery) clear() string {
	q.q = ""
	return q.at("")
}

// count writes how many a list's page shows, when that is all of them.
func count(n int, q listQuery, next, noun string) string {
	switch {
	case q.token != "" || next != "":
		return ""
	case q.q != "":
		return plural(n, noun) + " found"
	}
	return plural(n, noun)
}
