package web

import (
	"context"
	"strings"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// pickKinds is every kind of thing that a filter or a form lets one choose.
var pickKinds = []pickKind{
	{key: "app", name: "App", param: "app_id",
		find: func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
			list, next, err := c.ListApps(ctx, q, store.Page{Size: size})
			return options(list, next, err, func(a *catalog.App) option { return option{Value: itoa(a.ID), Label: a.Name} })
		},
		label: func(ctx context.Context, c *control.Control, id int64) (string, error) {
			a, err := c.App(ctx, id)
			if err != nil {
				return "", err
			}
			return a.Name, nil
		},
		id: func(q *sessionQuery) *int64 { return &q.AppID }},
	{key: "user", name: "User", param: "user_id",
		find: func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
			list, next, err := c.ListUsers(ctx, q, store.Page{Size: size})
			return options(list, next, err, func(u *directory.User) option {
				return option{Value: itoa(u.ID), Label: u.Name, Note: u.Username}
			})
		},
		label: func(ctx context.Context, c *control.Control, id int64) (string, error) {
			u, err := c.User(ctx, id)
			if err != nil {
				return "", err
			}
			return u.Name, nil
		},
		id: func(q *sessionQuery) *int64 { return &q.UserID }},
	{key: "provision", name: "Provision", param: "provision_id",
		find: func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
			list, next, err := c.ListProvisions(ctx, q, store.Page{Size: size})
			return options(list, next, err, func(p *directory.Provision) option { return option{Value: itoa(p.ID), Label: p.Name} })
		},
		label: func(ctx context.Context, c *control.Control, id int64) (string, error) {
			p, err := c.Provision(ctx, id)
			if err != nil {
				return "", err
			}
			return p.Name, nil
		},
		id: func(q *sessionQuery) *int64 { return &q.ProvisionID }},
	{key: "delivery-method", name: "Delivery method", param: "delivery_method_id",
		find: func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
			list, next, err := c.ListDeliveryMethods(ctx, 0, q, store.Page{Size: size})
			return options(list, next, err, func(d *catalog.DeliveryMethod) option {
				return option{Value: itoa(d.ID), Label: d.Name, Note: string(d.Licence.Type)}
			})
		},
		label: func(ctx context.Context, c *control.Control, id int64) (string, error) {
			d, err := c.DeliveryMethod(ctx, id)
			if err != nil {
				return "", err
			}
			return d.Name, nil
		},
		id: func(q *sessionQuery) *int64 { return &q.DeliveryMethodID }},
	{key: "device", name: "Device", param: "device_id",
		find: func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
			list, next, err := c.ListAgents(ctx, wire.Player, q, store.Page{Size: size})
			return options(list, next, err, func(a *store.Agent) option {
				return option{Value: itoa(a.ID), Label: a.Name, Note: a.OS}
			})
		},
		label: func(ctx context.Context, c *control.Control, id int64) (string, error) {
			a, err := c.Agent(ctx, id)
			if err != nil {
				return "", err
			}
			return a.Name, nil
		},
		id: func(q *sessionQuery) *int64 { return &q.AgentID }},
	{key: "group", name: "Group",
		find: func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error) {
			list, next, err := c.ListGroups(ctx, q, store.Page{Size: size})
			return options(list, next, err, func(g *directory.Group) option { return option{Value: itoa(g.ID), Label: g.Name} })
		},
		label: func(ctx context.Context, c *control.Control, id int64) (string, error) {
			g, err := c.Group(ctx, id)
			if err != nil {
				return "", err
			}
			return g.Name, nil
		}},
}

// options turns a page of records into choices; the flag says that there are more.
func options[T any](list []T, next string, err error, choice func(T) option) ([]option, bool, error) {
	if err != nil {
		return nil, false, err
	}
	out := make([]option, len(list))
	for i, x := range list {
		out[i] = choice(x)
	}
	return out, next != "", nil
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
func (c *call) picker(p picker, chosen []int64, find string) (picker, error) {
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
	if p.Find = strings.TrimSpace(find); p.Find == "" {
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
