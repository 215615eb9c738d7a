package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"leasehold/internal/store"
)

// OpenKind is what is open for longer than a request takes.
type OpenKind int

const (
	EventStream OpenKind = iota // a page's event stream
	Viewer                      // a web socket that shows a stream
	Download                    // an export on its way
)

// By is what let in whoever has something open: a sign-in with a browser, or an API token.
type By struct{ SignIn, Token int64 }

// opened is what is open on this node by the sign-ins and tokens of people. It is ended with
// that: at once on the node where it was ended, within about a second on others.
type opened struct {
	mu   sync.Mutex
	all  map[*open]bool
	seen time.Duration // reading of Elapsed when viewers were last recorded as used
}

type open struct {
	kind OpenKind
	user int64
	by   By
	end  context.CancelCauseFunc
}

// Open notes that something of a user is open, until closed is called. The context it returns
// is done, with the cause ErrSignIn, when what let them in has ended. It returns
// a [*TooManyError] if the user has as many of the kind open on this node as they may.
func (c *Control) Open(ctx context.Context, kind OpenKind, user int64, by By) (inner context.Context, closed func(), err error) {
	set, err := c.Settings(ctx)
	if err != nil {
		return nil, nil, err
	}
	inner, cancel := context.WithCancelCause(ctx)
	o := &open{kind, user, by, cancel}
	c.opened.mu.Lock()
	n := 0
	for x := range c.opened.all {
		if x.user == user && x.kind == kind {
			n++
		}
	}
	if err = mayOpen(kind, n, set); err == nil {
		c.opened.all[o] = true
	}
	c.opened.mu.Unlock()
	if err != nil {
		cancel(nil)
		return nil, nil, err
	}
	closed = func() {
		c.opened.mu.Lock()
		delete(c.opened.all, o)
		c.opened.mu.Unlock()
		cancel(nil)
	}
	return inner, closed, nil
}

// asked are the numbers of what something is open by, each list in order.
type asked struct{ signIns, viewers, tokens []int64 }

func (o *opened) ask() (a asked) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for x := range o.all {
		if x.by.Token != 0 {
			a.tokens = append(a.tokens, x.by.Token)
			continue
		}
		a.signIns = append(a.signIns, x.by.SignIn)
		if x.kind == Viewer {
			a.viewers = append(a.viewers, x.by.SignIn)
		}
	}
	for _, l := range []*[]int64{&a.signIns, &a.viewers, &a.tokens} {
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	return a
}

// endOpen ends what is open by sign-ins and tokens that have ended. Whoever watches a stream
// uses their sign-in, however few pages they open.
func (c *Control) endOpen(ctx context.Context) error {
	a := c.opened.ask()
	if len(a.signIns)+len(a.tokens) == 0 {
		return nil
	}
	c.opened.mu.Lock()
	see := len(a.viewers) > 0 && c.Elapsed()-c.opened.seen >= seeEvery
	if see {
		c.opened.seen = c.Elapsed()
	}
	c.opened.mu.Unlock()
	var good asked
	err := c.Store.View(ctx, func(tx store.Tx) error {
		idle, err := c.idleSince(tx)
		if err != nil {
			return err
		}
		if good.signIns, err = tx.SignInsAmong(a.signIns, idle); err != nil {
			return err
		}
		good.tokens, err = tx.TokensAmong(a.tokens)
		return err
	})
	if err != nil {
		return err
	}
	has := func(list []int64, id int64) bool { _, is := slices.BinarySearch(list, id); return is }
	c.opened.mu.Lock()
	for x := range c.opened.all {
		was, is, id := a.signIns, good.signIns, x.by.SignIn
		if x.by.Token != 0 {
			was, is, id = a.tokens, good.tokens, x.by.Token
		}
		if has(was, id) && !has(is, id) { // what was opened meanwhile was not asked for
			x.end(ErrSignIn)
		}
	}
	c.opened.mu.Unlock()
	if !see {
		return nil
	}
	viewers := slices.DeleteFunc(a.viewers, func(id int64) bool { return !has(good.signIns, id) })
	return c.Store.Update(ctx, func(tx store.Tx) error { return tx.SeeSignIns(viewers) })
}

// endOpenNow is endOpen after a change that ends sign-ins: it is committed, whatever becomes
// of the request that made it.
func (c *Control) endOpenNow(ctx context.Context) {
	c.Try(context.WithoutCancel(ctx), "end what is open", c.endOpen)
}
