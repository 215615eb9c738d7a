package control

import (
	"errors"
	"sync"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// entitlements caches what renewals are decided on. All of it was read under one version
// of the catalogue and directory, and the version is read anew in each transaction, so it
// is never out of date on any node. Times are judged on each use. What it returns is
// shared: read only.
type entitlements struct {
	version int64

	mu         sync.Mutex
	users      map[int64]*directory.User
	apps       map[int64]*catalog.App
	methods    map[int64]*catalog.DeliveryMethod
	provisions map[[2]int64][]*directory.Provision // by user and delivery method
	set        *Settings
}

// maxCached bounds the cache; beyond it the cache begins anew.
const maxCached = 200_000

// view is the cache as one transaction may use it.
type view struct {
	*entitlements
	c  *Control
	tx store.Tx
}

// view returns the cache of the version that the transaction sees.
func (c *Control) view(tx store.Tx) (view, error) {
	v, err := tx.Version()
	if err != nil {
		return view{}, err
	}
	e := c.cache.Load()
	if e == nil || e.version != v || e.full() {
		e = &entitlements{
			version:    v,
			users:      map[int64]*directory.User{},
			apps:       map[int64]*catalog.App{},
			methods:    map[int64]*catalog.DeliveryMethod{},
			provisions: map[[2]int64][]*directory.Provision{},
		}
		c.cache.Store(e)
	}
	return view{e, c, tx}, nil
}

func (e *entitlements) full() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.users) > maxCached || len(e.provisions) > maxCached
}

func cached[K comparable, V any](e *entitlements, m map[K]V, k K, load func() (V, error)) (V, error) {
	e.mu.Lock()
	x, ok := m[k]
	e.mu.Unlock()
	if ok {
		return x, nil
	}
	x, err := load()
	if err != nil {
		return x, err
	}
	e.mu.Lock()
	m[k] = x
	e.mu.Unlock()
	return x, nil
}

// settings returns those that hold.
func (v view) settings() (*Settings, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.set == nil {
		var err error
		if v.set, err = v.c.settings(v.tx); err != nil {
			return nil, err
		}
	}
	return v.set, nil
}

// user, app and method return nil for what does not exist.
func (v view) user(id int64) (*directory.User, error) {
	return cached(v.entitlements, v.users, id, func() (*directory.User, error) { return orNil(v.tx.User(id)) })
}

func (v view) app(id int64) (*catalog.App, error) {
	return cached(v.entitlements, v.apps, id, func() (*catalog.App, error) { return orNil(v.tx.App(id)) })
}

func (v view) method(id int64) (*catalog.DeliveryMethod, error) {
	return cached(v.entitlements, v.methods, id, func() (*catalog.DeliveryMethod, error) { return orNil(v.tx.DeliveryMethod(id)) })
}

// decide says whether the user may run the app by the delivery method now, there.
func (v view) decide(user, app, method int64, where directory.Where, now time.Time) (*directory.Provision, *session.Refusal, error) {
	u, err := v.user(user)
	if err != nil {
		return nil, nil, err
	}
	a, err := v.app(app)
	if err != nil {
		return nil, nil, err
	}
	d, err := v.method(method)
	if err != nil {
		return nil, nil, err
	}
	ps, err := cached(v.entitlements, v.provisions, [2]int64{user, method}, func() ([]*directory.Provision, error) {
		return v.tx.ProvisionsFor(user, method)
	})
	if err != nil {
		return nil, nil, err
	}
	p, refusal := directory.Decide(u, a, d, ps, where, now)
	return p, refusal, nil
}

func orNil[T any](x *T, err error) (*T, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return x, err
}
