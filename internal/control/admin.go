package control

import (
	"context"
	"fmt"
	"slices"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/passwords"
	"leasehold/internal/store"
)

// admin runs an administrator's change and its audit entry, with the fields that changed, in
// one transaction. do returns the target, as "app 12", and what people call it.
func (c *Control) admin(ctx context.Context, who Who, action, reason string, do func(store.Tx) (target, name string, err error)) error {
	if !who.Admin {
		return ErrDenied
	}
	var e invalid.Error
	e.Text("reason", reason, 0, maxReason)
	if err := e.Err(); err != nil {
		return err
	}
	return c.Store.Update(ctx, func(tx store.Tx) error {
		rec := c.recording(tx)
		target, name, err := do(rec)
		if err != nil {
			return err
		}
		return rec.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: who.From,
			Action: action, Target: target, Name: name, Reason: reason, Outcome: "done"})
	})
}

// Apps

// ListApps lists apps whose name contains q, by name.
func (c *Control) ListApps(ctx context.Context, q string, page store.Page) (list []*catalog.App, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListApps(q, page)
		return err
	})
	return list, next, err
}

// App returns an app that is not deleted, or store.ErrNotFound.
func (c *Control) App(ctx context.Context, id int64) (a *catalog.App, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		a, err = liveApp(tx, id)
		return err
	})
	return a, err
}

func liveApp(tx store.Tx, id int64) (*catalog.App, error) {
	a, err := tx.App(id)
	if err == nil && !a.DeletedAt.IsZero() {
		return nil, store.ErrNotFound
	}
	return a, err
}

// CreateApp stores a new app and sets its id.
func (c *Control) CreateApp(ctx context.Context, who Who, a *catalog.App) error {
	a.Name, a.Status = fold.Name(a.Name), catalog.Active
	if err := a.Validate(); err != nil {
		return err
	}
	return c.admin(ctx, who, "app.create", "", func(tx store.Tx) (string, string, error) {
		a.CreatedAt = tx.WallNow()
		err := taken("name", tx.CreateApp(a))
		return fmt.Sprintf("app %d", a.ID), a.Name, err
	})
}

// UpdateApp lets change alter an app and stores it. change may return an error to stop.
func (c *Control) UpdateApp(ctx context.Context, who Who, id int64, end Ending, change func(*catalog.App) error) (a *catalog.App, err error) {
	err = c.admin(ctx, who, "app.update", end.Reason, func(tx store.Tx) (string, string, error) {
		if a, err = liveApp(tx, id); err != nil {
			return "", "", err
		}
		was, name := a.Status, fold.Name(a.Name)
		if err := change(a); err != nil {
			return "", "", err
		}
		a.Name = fold.Name(a.Name)
		if err := invalid.Except(a.Validate(), map[string]bool{"name": a.Name == name}); err != nil {
			return "", "", err
		}
		if a.Status != was {
			if err := c.left(tx, who, end, store.OfApp, id); err != nil {
				return "", "", err
			}
		}
		return fmt.Sprintf("app %d", id), a.Name, taken("name", tx.SaveApp(a))
	})
	return a, err
}

// DeleteApp deletes an app: nobody can launch it, renewals are refused. Its sessions keep
// its name.
func (c *Control) DeleteApp(ctx context.Context, who Who, id int64, end Ending) error {
	return c.admin(ctx, who, "app.delete", end.Reason, func(tx store.Tx) (string, string, error) {
		a, err := liveApp(tx, id)
		if err != nil {
			return "", "", err
		}
		a.DeletedAt = tx.WallNow()
		if err := c.left(tx, who, end, store.OfApp, id); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("app %d", id), a.Name, tx.SaveApp(a)
	})
}

// Delivery methods

// ListDeliveryMethods lists those of an app, or of all with 0, whose name contains q.
func (c *Control) ListDeliveryMethods(ctx context.Context, app int64, q string, page store.Page) (list []*catalog.DeliveryMethod, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListDeliveryMethods(app, q, page)
		return err
	})
	return list, next, err
}

// DeliveryMethod returns one that is not deleted, or store.ErrNotFound.
func (c *Control) DeliveryMethod(ctx context.Context, id int64) (d *catalog.DeliveryMethod, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		d, err = liveMethod(tx, id)
		return err
	})
	return d, err
}

func liveMethod(tx store.Tx, id int64) (*catalog.DeliveryMethod, error) {
	d, err := tx.DeliveryMethod(id)
	if err == nil && !d.DeletedAt.IsZero() {
		return nil, store.ErrNotFound
	}
	return d, err
}

// checkMethod checks a delivery method, a new one or one that had the name and the pool.
func (c *Control) checkMethod(tx store.Tx, d *catalog.DeliveryMethod, name, pool string) error {
	d.Name = fold.Name(d.Name)
	if d.Stream != nil {
		d.Stream.Pool = fold.Name(d.Stream.Pool)
	}
	old := d.ID != 0
	if err := invalid.Except(d.Validate(), map[string]bool{"name": old && d.Name == name, "stream.pool": old && poolOf(d) == pool}); err != nil {
		return err
	}
	if a, err := orNil(tx.App(d.AppID)); err != nil {
		return err
	} else if a == nil || !a.DeletedAt.IsZero() {
		return invalid.Of("app_id", "is not an app")
	}
	// A chain of successors that leads back would upgrade for ever.
	for id, n := d.SuccessorID, 0; id != 0; n++ {
		next, err := orNil(tx.DeliveryMethod(id))
		switch {
		case err != nil:
			return err
		case next == nil || !next.DeletedAt.IsZero():
			return invalid.Of("successor_id", "is not a delivery method")
		case next.AppID != d.AppID || next.Kind != d.Kind:
			return invalid.Of("successor_id", "must be a delivery method of the same app and kind")
		case d.ID != 0 && id == d.ID || n > 100:
			return invalid.Of("successor_id", "leads back to this delivery method")
		}
		id = next.SuccessorID
	}
	return nil
}

func poolOf(d *catalog.DeliveryMethod) string {
	if d.Stream == nil {
		return ""
	}
	return fold.Name(d.Stream.Pool)
}

// CreateDeliveryMethod stores a new one and sets its id.
func (c *Control) CreateDeliveryMethod(ctx context.Context, who Who, d *catalog.DeliveryMethod) error {
	d.SetDefaults()
	return c.admin(ctx, who, "delivery-method.create", "", func(tx store.Tx) (string, string, error) {
		if err := c.checkMethod(tx, d, "", ""); err != nil {
			return "", "", err
		}
		d.CreatedAt = tx.WallNow()
		err := tx.CreateDeliveryMethod(d)
		return fmt.Sprintf("delivery method %d", d.ID), d.Name, err
	})
}

// UpdateDeliveryMethod lets change alter one and stores it. Leases out keep their ends.
func (c *Control) UpdateDeliveryMethod(ctx context.Context, who Who, id int64, change func(*catalog.DeliveryMethod) error) (d *catalog.DeliveryMethod, err error) {
	err = c.admin(ctx, who, "delivery-method.update", "", func(tx store.Tx) (string, string, error) {
		if d, err = liveMethod(tx, id); err != nil {
			return "", "", err
		}
		app, kind, name, pool := d.AppID, d.Kind, fold.Name(d.Name), poolOf(d)
		if err := change(d); err != nil {
			return "", "", err
		}
		if d.AppID != app {
			return "", "", invalid.Of("app_id", "cannot change")
		}
		if d.Kind != kind {
			return "", "", invalid.Of("kind", "cannot change")
		}
		if err := c.checkMethod(tx, d, name, pool); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("delivery method %d", id), d.Name, tx.SaveDeliveryMethod(d)
	})
	return d, err
}

// DeleteDeliveryMethod deletes one: nobody can launch by it, renewals are refused.
func (c *Control) DeleteDeliveryMethod(ctx context.Context, who Who, id int64, end Ending) error {
	return c.admin(ctx, who, "delivery-method.delete", end.Reason, func(tx store.Tx) (string, string, error) {
		d, err := liveMethod(tx, id)
		if err != nil {
			return "", "", err
		}
		d.DeletedAt = tx.WallNow()
		if err := c.left(tx, who, end, store.OfMethod, id); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("delivery method %d", id), d.Name, tx.SaveDeliveryMethod(d)
	})
}

// SeatsTaken counts the seats of a delivery method that are taken now.
func (c *Control) SeatsTaken(ctx context.Context, id int64) (n int, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		n, err = tx.SeatsTaken(id)
		return err
	})
	return n, err
}

// Users

// ListUsers lists users whose user name, name or email contains q, by user name.
func (c *Control) ListUsers(ctx context.Context, q string, page store.Page) (list []*directory.User, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListUsers(q, page)
		return err
	})
	return list, next, err
}

// User returns a user who is not deleted, or store.ErrNotFound.
func (c *Control) User(ctx context.Context, id int64) (u *directory.User, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		u, err = liveUser(tx, id)
		return err
	})
	return u, err
}

func liveUser(tx store.Tx, id int64) (*directory.User, error) {
	u, err := tx.User(id)
	if err == nil && !u.DeletedAt.IsZero() {
		return nil, store.ErrNotFound
	}
	return u, err
}

// lockLiveUser is liveUser, locked. Administrators are locked together and in one order, so
// that two of them who change each other do not wait for one another.
func lockLiveUser(tx store.Tx, id int64) (*directory.User, error) {
	u, err := liveUser(tx, id)
	if err != nil {
		return nil, err
	}
	if u.Role == directory.RoleAdmin {
		if _, err := tx.LockAdmins(); err != nil {
			return nil, err
		}
	}
	if u, err = tx.LockUser(id); err == nil && !u.DeletedAt.IsZero() {
		return nil, store.ErrNotFound
	}
	return u, err
}

// CreateUser stores a new local user, with a password or without, and sets its id.
func (c *Control) CreateUser(ctx context.Context, who Who, u *directory.User, password string) error {
	u.Username, u.Name = fold.Name(u.Username), fold.Name(u.Name)
	if u.Role == "" {
		u.Role = directory.RoleUser
	}
	u.Status, u.Source = directory.Active, "local"
	if u.Name == "" {
		u.Name = u.Username
	}
	if err := u.Validate(); err != nil {
		return err
	}
	if password != "" {
		if err := checkNew(password, u); err != nil {
			return err
		}
		var err error
		if u.PasswordHash, err = c.hashPassword(ctx, password); err != nil {
			return err
		}
	}
	return c.admin(ctx, who, "user.create", "", func(tx store.Tx) (string, string, error) {
		u.CreatedAt = tx.WallNow()
		if err := knownGroups(tx, u.GroupIDs); err != nil {
			return "", "", err
		}
		err := taken("username", tx.CreateUser(u))
		return fmt.Sprintf("user %d", u.ID), u.Username, err
	})
}

// UpdateUser lets change alter a user and stores it, with a new password unless that is
// "". A new password, role or status ends all their sign-ins and tokens, and what is open by
// them; a new password of somebody else is theirs to change first. The last active administrator
// stays one.
func (c *Control) UpdateUser(ctx context.Context, who Who, id int64, password string, end Ending, change func(*directory.User) error) (u *directory.User, err error) {
	var hashed string
	ends := false
	if password != "" {
		if err := passwords.Check(password); err != nil {
			return nil, err
		}
		if !who.Admin {
			return nil, ErrDenied
		}
		// Before the transaction, which others wait for.
		if hashed, err = c.hashPassword(ctx, password); err != nil {
			return nil, err
		}
	}
	err = c.admin(ctx, who, "user.update", end.Reason, func(tx store.Tx) (string, string, error) {
		if u, err = lockLiveUser(tx, id); err != nil {
			return "", "", err
		}
		username, name, email := fold.Name(u.Username), fold.Name(u.Name), u.Email
		was, role, groups := u.Status, u.Role, slices.Clone(u.GroupIDs)
		wasAdmin := u.Role == directory.RoleAdmin && u.Status == directory.Active
		if err := change(u); err != nil {
			return "", "", err
		}
		u.Username, u.Name = fold.Name(u.Username), fold.Name(u.Name)
		if err := invalid.Except(u.Validate(), map[string]bool{"username": u.Username == username, "name": u.Name == name, "email": u.Email == email}); err != nil {
			return "", "", err
		}
		if err := knownGroups(tx, u.GroupIDs); err != nil {
			return "", "", err
		}
		if password != "" {
			if err := checkNew(password, u); err != nil {
				return "", "", err
			}
			// Who knows it now is not only its user.
			u.PasswordHash, u.MustChangePassword = hashed, id != who.UserID
		}
		if wasAdmin && (u.Role != directory.RoleAdmin || u.Status != directory.Active) {
			if last, err := lastAdmin(tx); err != nil {
				return "", "", err
			} else if last && u.Role != directory.RoleAdmin {
				return "", "", invalid.Of("role", "must stay admin: this is the last active administrator")
			} else if last {
				return "", "", invalid.Of("status", "must stay active: this is the last active administrator")
			}
		}
		if ends = password != "" || u.Status != was || u.Role != role; ends {
			if err := endAll(tx, id); err != nil {
				return "", "", err
			}
		}
		if u.Status != was || len(changedIDs(groups, u.GroupIDs)) > 0 {
			if err := c.left(tx, who, end, store.OfUser, id); err != nil {
				return "", "", err
			}
		}
		return fmt.Sprintf("user %d", id), u.Username, taken("username", tx.SaveUser(u))
	})
	if err == nil && ends {
		c.endOpenNow(ctx)
	}
	return u, err
}

// lastAdmin reports whether no further active administrator is left. Until the transaction
// ends nobody else takes one away.
func lastAdmin(tx store.Tx) (bool, error) {
	n, err := tx.LockAdmins()
	return n <= 1, err
}

func knownGroups(tx store.Tx, ids []int64) error {
	for _, id := range ids {
		if g, err := orNil(tx.Group(id)); err != nil {
			return err
		} else if g == nil {
			return invalid.Of("group_ids", "%d is not a group", id)
		}
	}
	return nil
}

// DeleteUser deletes a user: they cannot sign in, launch or renew. It returns ErrLastAdmin
// for the last active administrator.
func (c *Control) DeleteUser(ctx context.Context, who Who, id int64, end Ending) error {
	err := c.admin(ctx, who, "user.delete", end.Reason, func(tx store.Tx) (string, string, error) {
		u, err := lockLiveUser(tx, id)
		if err != nil {
			return "", "", err
		}
		if u.Role == directory.RoleAdmin && u.Status == directory.Active {
			if last, err := lastAdmin(tx); err != nil {
				return "", "", err
			} else if last {
				return "", "", ErrLastAdmin
			}
		}
		u.DeletedAt = tx.WallNow()
		if err := c.left(tx, who, end, store.OfUser, id); err != nil {
			return "", "", err
		}
		if err := endAll(tx, id); err != nil {
			return "", "", err
		}
		return fmt.Sprintf("user %d", id), u.Username, tx.SaveUser(u)
	})
	if err == nil {
		c.endOpenNow(ctx)
	}
	return err
}

// methodsExist checks the delivery methods that a provision names.
func methodsExist(tx store.Tx, ids []int64) error {
	for _, id := range ids {
		d, err := orNil(tx.DeliveryMethod(id))
		if err != nil {
			return err
		}
		if d == nil || !d.DeletedAt.IsZero() {
			return invalid.Of("delivery_method_ids", "%d is not a delivery method", id)
		}
	}
	return nil
}

func usersExist(tx store.Tx, ids []int64) error {
	for _, id := range ids {
		u, err := orNil(tx.User(id))
		if err != nil {
			return err
		}
		if u == nil || !u.DeletedAt.IsZero() {
			return invalid.Of("user_ids", "%d is not a user", id)
		}
	}
	return nil
}
