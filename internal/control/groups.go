package control

import (
	"context"
	"fmt"
	"slices"

	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

// ListGroups lists groups whose name contains q, by name.
func (c *Control) ListGroups(ctx context.Context, q string, page store.Page) (list []*directory.Group, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListGroups(q, page)
		return err
	})
	return list, next, err
}

// Group returns a group, or store.ErrNotFound.
func (c *Control) Group(ctx context.Context, id int64) (g *directory.Group, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		g, err = tx.Group(id)
		return err
	})
	return g, err
}

// CreateGroup stores a new group and sets its id.
func (c *Control) CreateGroup(ctx context.Context, who Who, g *directory.Group) error {
	g.Name, g.Source = fold.Name(g.Name), "local"
	if err := g.Validate(); err != nil {
		return err
	}
	return c.admin(ctx, who, "group.create", "", func(tx store.Tx) (string, string, error) {
		g.CreatedAt = tx.WallNow()
		if err := usersExist(tx, g.UserIDs); err != nil {
			return "", "", err
		}
		err := taken("name", tx.CreateGroup(g))
		return fmt.Sprintf("group %d", g.ID), g.Name, err
	})
}

// UpdateGroup lets change alter a group and stores it.
func (c *Control) UpdateGroup(ctx context.Context, who Who, id int64, end Ending, change func(*directory.Group) error) (g *directory.Group, err error) {
	err = c.admin(ctx, who, "group.update", end.Reason, func(tx store.Tx) (string, string, error) {
		if g, err = tx.Group(id); err != nil {
			return "", "", err
		}
		was, name := slices.Clone(g.UserIDs), fold.Name(g.Name)
		if err := change(g); err != nil {
			return "", "", err
		}
		g.Name = fold.Name(g.Name)
		if err := invalid.Except(g.Validate(), map[string]bool{"name": g.Name == name}); err != nil {
			return "", "", err
		}
		if err := usersExist(tx, g.UserIDs); err != nil {
			return "", "", err
		}
		if err := c.left(tx, who, end, store.OfUser, changedIDs(was, g.UserIDs)...); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("group %d", id), g.Name, taken("name", tx.SaveGroup(g))
	})
	return g, err
}

// DeleteGroup deletes a group: what it entitled its members to is over for them.
func (c *Control) DeleteGroup(ctx context.Context, who Who, id int64, end Ending) error {
	return c.admin(ctx, who, "group.delete", end.Reason, func(tx store.Tx) (string, string, error) {
		g, err := tx.Group(id)
		if err != nil {
			return "", "", err
		}
		if err := c.left(tx, who, end, store.OfUser, g.UserIDs...); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("group %d", id), g.Name, tx.DeleteGroup(id)
	})
}

// ListProvisions lists provisions whose name contains q, by name.
func (c *Control) ListProvisions(ctx context.Context, q string, page store.Page) (list []*directory.Provision, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListProvisions(q, page)
		return err
	})
	return list, next, err
}

// Provision returns a provision, or store.ErrNotFound.
func (c *Control) Provision(ctx context.Context, id int64) (p *directory.Provision, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		p, err = tx.Provision(id)
		return err
	})
	return p, err
}

// checkProvision checks a provision, a new one or one that had the name, and what it refers
// to.
func checkProvision(tx store.Tx, p *directory.Provision, name string) error {
	p.Name = fold.Name(p.Name)
	if err := invalid.Except(p.Validate(), map[string]bool{"name": p.ID != 0 && p.Name == name}); err != nil {
		return err
	}
	if err := usersExist(tx, p.UserIDs); err != nil {
		return err
	}
	if err := knownGroups(tx, p.GroupIDs); err != nil {
		return err
	}
	return methodsExist(tx, p.DeliveryMethodIDs)
}

// CreateProvision stores a new provision and sets its id.
func (c *Control) CreateProvision(ctx context.Context, who Who, p *directory.Provision) error {
	return c.admin(ctx, who, "provision.create", "", func(tx store.Tx) (string, string, error) {
		if err := checkProvision(tx, p, ""); err != nil {
			return "", "", err
		}
		p.CreatedAt = tx.WallNow()
		err := taken("name", tx.CreateProvision(p))
		if err == nil {
			// It may bring back what was no longer needed.
			err = c.left(tx, who, Ending{}, store.OfMethod, p.DeliveryMethodIDs...)
		}
		return fmt.Sprintf("provision %d", p.ID), p.Name, err
	})
}

// UpdateProvision lets change alter a provision and stores it.
func (c *Control) UpdateProvision(ctx context.Context, who Who, id int64, end Ending, change func(*directory.Provision) error) (p *directory.Provision, err error) {
	err = c.admin(ctx, who, "provision.update", end.Reason, func(tx store.Tx) (string, string, error) {
		if p, err = tx.Provision(id); err != nil {
			return "", "", err
		}
		was, name := slices.Clone(p.DeliveryMethodIDs), fold.Name(p.Name)
		if err := change(p); err != nil {
			return "", "", err
		}
		if err := checkProvision(tx, p, name); err != nil {
			return "", "", err
		}
		methods := append(was, p.DeliveryMethodIDs...)
		slices.Sort(methods)
		if err := c.left(tx, who, end, store.OfMethod, slices.Compact(methods)...); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("provision %d", id), p.Name, taken("name", tx.SaveProvision(p))
	})
	return p, err
}

// DeleteProvision deletes a provision: what it entitled people to is over.
func (c *Control) DeleteProvision(ctx context.Context, who Who, id int64, end Ending) error {
	return c.admin(ctx, who, "provision.delete", end.Reason, func(tx store.Tx) (string, string, error) {
		p, err := tx.Provision(id)
		if err != nil {
			return "", "", err
		}
		if err := c.left(tx, who, end, store.OfMethod, p.DeliveryMethodIDs...); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("provision %d", id), p.Name, tx.DeleteProvision(id)
	})
}
