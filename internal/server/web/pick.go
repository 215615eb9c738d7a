package web

import (
	"context"
	"strings"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// pickKinds is every kind of thing that a filter or a form lets one choose.
var pickKinds = []pickKind{
	{key: "app", name: "App", id: func(q *sessionQuery) *int64 { return &q.AppID },
		find:  finder((*control.Control).ListApps, func(a *catalog.App) option { return option{Value: itoa(a.ID), Label: a.Name} }),
		label: labeller((*control.Control).App, func(a *catalog.App) string { return a.Name })},
	{key: "user", name: "User", id: func(q *sessionQuery) *int64 { return &q.UserID },
		find:  finder((*control.Control).ListUsers, func(u *directory.User) option { return option{Value: itoa(u.ID), Label: u.Name, Note: u.Username} }),
		label: labeller((*control.Control).User, func(u *directory.User) string { return u.Name })},
	{key: "provision", name: "Provision", id: func(q *sessionQuery) *int64 { return &q.ProvisionID },
		find:  finder((*control.Control).ListProvisions, func(p *directory.Provision) option { return option{Value: itoa(p.ID), Label: p.Name} }),
		label: labeller((*control.Control).Provision, func(p *directory.Provision) string { return p.Name })},
	{key: "delivery-method", name: "Delivery method", id: func(q *sessionQuery) *int64 { return &q.DeliveryMethodID },
		find: finder(func(c *control.Control, ctx context.Context, q string, page store.Page) ([]*catalog.DeliveryMethod, string, error) {
			return c.ListDeliveryMethods(ctx, 0, q, page)
		}, func(d *catalog.DeliveryMethod) option {
			return option{Value: itoa(d.ID), Label: d.Name, Note: string(d.Licence.Type)}
		}),
		label: labeller((*control.Control).DeliveryMethod, func(d *catalog.DeliveryMethod) string { return d.Name })},
	{key: "device", name: "Device", of: session.Device, id: func(q *sessionQuery) *int64 { return &q.AgentID },
		find: finder(func(c *control.Control, ctx context.Context, q string, page store.Page) ([]*store.Agent, string, error) {
			return c.ListAgents(ctx, wire.Player, q, page)
		}, func(a *store.Agent) option { return option{Value: itoa(a.ID), Label: a.Name, Note: a.OS} }),
		label: labeller((*control.Control).Agent, func(a *store.Agent) string { return a.Name })},
	{key: "host", name: "Host", of: session.Stream, id: func(q *sessionQuery) *int64 { return &q.AgentID },
		find: finder(func(c *control.Control, ctx context.Context, q string, page store.Page) ([]*store.Agent, string, error) {
			return c.ListAgents(ctx, wire.Host, q, page)
		}, func(a *store.Agent) option { return option{Value: itoa(a.ID), Label: a.Name, Note: a.Pool} }),
		label: labeller((*control.Control).Agent, func(a *store.Agent) string { return a.Name })},
	{key: "group", name: "Group",
		find:  finder((*control.Control).ListGroups, func(g *directory.Group) option { return option{Value: itoa(g.ID), Label: g.Name} }),
		label: labeller((*control.Control).Group, func(g *directory.Group) string { return g.Name })},
}

// finder turns a use case that lists into one that offers choices; the flag it returns
// says that there are more.
func finder[T any](list func(*control.Control, context.Context, string, store.Page) ([]*T, string, error), choice func(*T) option) func(context.Context, *control.Control, string, int) ([]option, bool, error) {
	return func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
		found, next, err := list(c, ctx, q, store.Page{Size: size})
		out := make([]option, len(found))
		for i, x := range found {
			out[i] = choice(x)
		}
		return out, next != "", err
	}
}

// labeller turns a use case that loads into one that names.
func labeller[T any](load func(*control.Control, context.Context, int64) (*T, error), name func(*T) string) func(context.Context, *control.Control, int64) (string, error) {
	return func(ctx context.Context, c *control.Control, id int64) (string, error) {
		x, err := load(c, ctx, id)
		if err != nil {
			return "", err
		}
		return name(x), nil
	}
}

func pickKindOf(key string) *pickKind {
	for i := range pickKinds {
		if pickKinds[i].key == key {
			return &pickKinds[i]
		}
	}
	return nil
}

// A picker lets a form choose any number of things of a kind: what is chosen, with a
// way to take it off, and a search for more. Without the script the search is a button
// that sends the form back with what was found.
type picker struct {
	Kind   string // of what
	Name   string // the form's field
	Label  string
	Help   string
	Error  string
	Hint   string // of the search box
	Chosen []option
	Hidden int // chosen ones beyond those shown
	Found  []option
	Find   string
	None   string // said while nothing is chosen
}

// maxPicked is how many of what is chosen a form shows; the rest stays chosen.
const maxPicked = 200

// picker makes the picker for ids, with what the form's own search found.
func (c *call) picker(p picker, chosen []int64) (picker, error) {
	k := pickKindOf(p.Kind)
	ctx := c.r.Context()
	for i, id := range chosen {
		if i == maxPicked {
			p.Hidden = len(chosen) - i
			break
		}
		name, err := k.label(ctx, c.Control, id)
		if err != nil {
			name = "no. " + itoa(id) // deleted; it can be taken off
		}
		p.Chosen = append(p.Chosen, option{Value: itoa(id), Label: name, Chosen: true})
	}
	if p.Find = strings.TrimSpace(c.r.PostFormValue("find_" + p.Name)); p.Find == "" {
		return p, nil
	}
	found, _, err := k.find(ctx, c.Control, p.Find, 20)
	p.Found = found
	return p, err
}

// pick answers a picker's search for the script.
func pick(c *call) error {
	k := pickKindOf(c.r.PathValue("kind"))
	if k == nil {
		return store.ErrNotFound
	}
	query := c.r.URL.Query()
	found, more, err := k.find(c.r.Context(), c.Control, strings.TrimSpace(query.Get("find")), 20)
	if err != nil {
		return err
	}
	return c.fragment(pickFound(query.Get("name"), found, more))
}
