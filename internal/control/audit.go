package control

import (
	"context"
	"fmt"

	"leasehold/internal/catalog"
	"leasehold/internal/diff"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// Request is what the audit log says of a request. The server puts one into the context of
// each; its gate names the caller.
type Request struct {
	ID, From string
	Actor    string // "user ann"; "" if nobody was let in
}

type requestKey struct{}

// WithRequest returns a context of a request.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf returns the request that a context is of; an empty one for work beside requests.
func RequestOf(ctx context.Context) *Request {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		return r
	}
	return &Request{}
}

// auditedStore is the store of the use cases. It adds to each entry of the audit log what is
// known of its request, and hands it to the log of the process once it is committed.
type auditedStore struct {
	store.Store
	log func(store.AuditEntry)
}

// Update implements store.Store.
func (s *auditedStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	var tx *auditedTx
	err := s.Store.Update(ctx, func(inner store.Tx) error {
		tx = &auditedTx{Tx: inner, request: RequestOf(ctx)} // a new one each time that it is run
		return fn(tx)
	})
	if err == nil && s.log != nil {
		for _, e := range tx.entries {
			s.log(*e)
		}
	}
	return err
}

type auditedTx struct {
	store.Tx
	request *Request
	entries []*store.AuditEntry
}

// AddAudit implements store.Audit.
func (t *auditedTx) AddAudit(e *store.AuditEntry) error {
	e.RequestID = t.request.ID
	if e.At.IsZero() {
		e.At = t.WallNow()
	}
	t.entries = append(t.entries, e)
	return t.Tx.AddAudit(e)
}

// CountAudit implements store.Audit.
func (t *auditedTx) CountAudit(key string, e *store.AuditEntry) error {
	t.entries = append(t.entries, e)
	return t.Tx.CountAudit(key, e)
}

// recorder is a transaction that notes what changes in the records of administrators, for
// the next entry of the audit log. It reads each record again before it is saved, which is
// nothing beside how rarely people change one.
type recorder struct {
	store.Tx
	c     *Control
	noted []noted
}

type noted struct {
	record  string // as a target
	changes []store.Change
}

func (c *Control) recording(tx store.Tx) *recorder { return &recorder{Tx: tx, c: c} }

func (r *recorder) note(record string, before, after any) {
	r.noted = append(r.noted, noted{record, diff.Between(before, after)})
}

// AddAudit implements store.Audit. The entry has what changed since the one before; the
// fields of another record than its target have that one before their name.
func (r *recorder) AddAudit(e *store.AuditEntry) error {
	for _, n := range r.noted {
		for _, c := range n.changes {
			if n.record != e.Target {
				c.Field = n.record + ": " + c.Field
			}
			e.Changes = append(e.Changes, c)
		}
	}
	r.noted = nil
	return r.Tx.AddAudit(e)
}

// saved notes a change of a record that do makes: get is how the record is read.
func saved[T any](r *recorder, record string, id int64, get func(int64) (*T, error), do func() error, after func() *T) error {
	before, err := orNil(get(id))
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	var b, a any
	if before != nil {
		b = before
	}
	if x := after(); x != nil {
		a = x
	}
	r.note(fmt.Sprintf("%s %d", record, id), b, a)
	return nil
}

// made notes that a record was made.
func made[T any](r *recorder, create func(*T) error, x *T, record func() string) error {
	if err := create(x); err != nil {
		return err
	}
	r.note(record(), nil, x)
	return nil
}

// unless is the record after a change, none if it was deleted by it.
func unless[T any](deleted bool, x *T) func() *T {
	return func() *T {
		if deleted {
			return nil
		}
		return x
	}
}

func (r *recorder) CreateApp(a *catalog.App) error {
	return made(r, r.Tx.CreateApp, a, func() string { return fmt.Sprintf("app %d", a.ID) })
}

func (r *recorder) SaveApp(a *catalog.App) error {
	return saved(r, "app", a.ID, r.Tx.App, func() error { return r.Tx.SaveApp(a) }, unless(!a.DeletedAt.IsZero(), a))
}

func (r *recorder) CreateDeliveryMethod(d *catalog.DeliveryMethod) error {
	return made(r, r.Tx.CreateDeliveryMethod, d, func() string { return fmt.Sprintf("delivery method %d", d.ID) })
}

func (r *recorder) SaveDeliveryMethod(d *catalog.DeliveryMethod) error {
	return saved(r, "delivery method", d.ID, r.Tx.DeliveryMethod, func() error { return r.Tx.SaveDeliveryMethod(d) }, unless(!d.DeletedAt.IsZero(), d))
}

func (r *recorder) CreateUser(u *directory.User) error {
	return made(r, r.Tx.CreateUser, u, func() string { return fmt.Sprintf("user %d", u.ID) })
}

func (r *recorder) SaveUser(u *directory.User) error {
	return saved(r, "user", u.ID, r.Tx.User, func() error { return r.Tx.SaveUser(u) }, unless(!u.DeletedAt.IsZero(), u))
}

func (r *recorder) CreateGroup(g *directory.Group) error {
	return made(r, r.Tx.CreateGroup, g, func() string { return fmt.Sprintf("group %d", g.ID) })
}

func (r *recorder) SaveGroup(g *directory.Group) error {
	return saved(r, "group", g.ID, r.Tx.Group, func() error { return r.Tx.SaveGroup(g) }, unless(false, g))
}

func (r *recorder) DeleteGroup(id int64) error {
	return saved(r, "group", id, r.Tx.Group, func() error { return r.Tx.DeleteGroup(id) }, unless[directory.Group](true, nil))
}

func (r *recorder) CreateProvision(p *directory.Provision) error {
	return made(r, r.Tx.CreateProvision, p, func() string { return fmt.Sprintf("provision %d", p.ID) })
}

func (r *recorder) SaveProvision(p *directory.Provision) error {
	return saved(r, "provision", p.ID, r.Tx.Provision, func() error { return r.Tx.SaveProvision(p) }, unless(false, p))
}

func (r *recorder) DeleteProvision(id int64) error {
	return saved(r, "provision", id, r.Tx.Provision, func() error { return r.Tx.DeleteProvision(id) }, unless[directory.Provision](true, nil))
}

func (r *recorder) CreateAgent(a *store.Agent) error {
	return made(r, r.Tx.CreateAgent, a, func() string { return fmt.Sprintf("%s %d", a.Kind, a.ID) })
}

func (r *recorder) SaveAgent(a *store.Agent) error {
	return saved(r, string(a.Kind), a.ID, r.Tx.Agent, func() error { return r.Tx.SaveAgent(a) }, unless(false, a))
}

func (r *recorder) DeleteAgent(id int64) error {
	a, err := r.Tx.Agent(id)
	if err != nil {
		return err
	}
	return saved(r, string(a.Kind), id, r.Tx.Agent, func() error { return r.Tx.DeleteAgent(id) }, unless[store.Agent](true, nil))
}

func (r *recorder) CreateEnrolmentKey(k *store.EnrolmentKey) error {
	return made(r, r.Tx.CreateEnrolmentKey, k, func() string { return fmt.Sprintf("enrolment key %d", k.ID) })
}

func (r *recorder) RevokeEnrolmentKey(id int64) error {
	var after *store.EnrolmentKey
	return saved(r, "enrolment key", id, r.Tx.EnrolmentKeyByID, func() (err error) {
		if err = r.Tx.RevokeEnrolmentKey(id); err == nil {
			after, err = r.Tx.EnrolmentKeyByID(id)
		}
		return err
	}, func() *store.EnrolmentKey { return after })
}

// SetSetting implements store.Access. The settings are one record; other settings are the
// server's own.
func (r *recorder) SetSetting(name, value string) error {
	if name != settingAll {
		return r.Tx.SetSetting(name, value)
	}
	before, err := r.c.settings(r.Tx)
	if err != nil {
		return err
	}
	if err := r.Tx.SetSetting(name, value); err != nil {
		return err
	}
	after, err := r.c.settings(r.Tx)
	r.note("settings", before, after)
	return err
}
