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

// opened is what is open on this node by the sign-ins of people. It is ended with the sign-in
// that opened it: at once on the node where that was ended, within about a second on others.
type opened struct {
	mu   sync.Mutex
	all  map[*open]bool
	seen time.Duration // reading of Elapsed when viewers were last recorded as used
}

type open struct {
	kind         OpenKind
	user, signIn int64
	end          context.CancelCauseFunc
}

// Open notes that something is open by a sign-in of a user, until closed is called. The
// context it returns is done, with the cause ErrSignIn, when the sign-in has ended. It returns
// a [*TooManyError] if the user has as many of the kind open on this node as they may.
func (c *Control) Open(ctx context.Context, kind OpenKind, user, signIn int64) (inner context.Context, closed func(), err error) {
	set, err := c.Settings(ctx)
	if err != nil {
		return nil, nil, err
	}
	inner, cancel := context.WithCancelCause(ctx)
	o := &open{kind, user, signIn, cancel}
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

// signIns are the sign-ins by which something is open, and those by which a viewer is.
func (o *opened) signIns() (all, viewers []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for x := range o.all {
		all = append(all, x.signIn)
		if x.kind == Viewer {
			viewers = append(viewers, x.signIn)
		}
	}
	for _, l := range []*[]int64{&all, &viewers} {
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	return all, viewers
}

// endOpen ends what is open by sign-ins that have ended. Whoever watches a stream uses their
// sign-in, however few pages they open.
func (c *Control) endOpen(ctx context.Context) error {
	all, viewers := c.opened.signIns()
	if len(all) == 0 {
		return nil
	}
	c.opened.mu.Lock()
	see := len(viewers) > 0 && c.Elapsed()-c.opened.seen >= seeEvery
	if see {
		c.opened.seen = c.Elapsed()
	}
	c.opened.mu.Unlock()
	var good []int64
	err := c.Store.View(ctx, func(tx store.Tx) error {
		idle, err := c.idleSince(tx)
		if err != nil {
			return err
		}
		good, err = tx.SignInsAmong(all, idle)
		return err
	})
	if err != nil {
		return err
	}
	c.opened.mu.Lock()
	for x := range c.opened.all {
		if _, asked := slices.BinarySearch(all, x.signIn); !asked {
			continue // opened meanwhile
		}
		if _, is := slices.BinarySearch(good, x.signIn); !is {
			x.end(ErrSignIn)
		}
	}
	c.opened.mu.Unlock()
	if !see {
		return nil
	}
	viewers = slices.DeleteFunc(viewers, func(id int64) bool { _, is := slices.BinarySearch(good, id); return !is })
	return c.Store.Update(ctx, func(tx store.Tx) error { return tx.SeeSignIns(viewers) })
}

// endOpenNow is endOpen after a change that ends sign-ins: it is committed, whatever becomes
// of the request that made it.
func (c *Control) endOpenNow(ctx context.Context) {
	c.Try(context.WithoutCancel(ctx), "end what is open", c.endOpen)
}
