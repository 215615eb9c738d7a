package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

const settingSetup = "setup_hash"

func mayCome(u *directory.User) bool { return u.Status == directory.Active && u.DeletedAt.IsZero() }

// WebSession returns the data of a browser session; ok is false if there is none any more.
func (c *Control) WebSession(ctx context.Context, token string) (data []byte, ok bool, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) (err error) {
		data, ok, err = tx.WebSession(token)
		return err
	})
	return data, ok, err
}

// SaveWebSession keeps a browser session until it expires.
func (c *Control) SaveWebSession(ctx context.Context, token string, data []byte, expires time.Time) error {
	return c.Store.Update(ctx, func(tx store.Tx) error { return tx.SaveWebSession(token, data, expires) })
}

// DeleteWebSession ends a browser session.
func (c *Control) DeleteWebSession(ctx context.Context, token string) error {
	return c.Store.Update(ctx, func(tx store.Tx) error { return tx.DeleteWebSession(token) })
}

// clearExpired clears tokens and browser sessions that have expired.
func (c *Control) clearExpired(ctx context.Context) error {
	return c.Store.Update(ctx, func(tx store.Tx) error { return tx.DeleteExpired() })
}

// WhoIs is the user as the use cases know callers.
func WhoIs(u *directory.User, from string) Who {
	return Who{UserID: u.ID, Username: u.Username, Admin: u.Role == directory.RoleAdmin, From: from}
}

// EnsureAdmin makes the first administrator if there is none: from the given name and
// password, or else by a one-time set-up secret, which it returns for the set-up link.
func (c *Control) EnsureAdmin(ctx context.Context, username, password string) (setup string, err error) {
	var have int
	err = c.Store.View(ctx, func(tx store.Tx) (err error) {
		have, err = tx.CountAdmins()
		return err
	})
	if err != nil || have > 0 {
		return "", err
	}
	if username != "" {
		_, err = c.createAdmin(ctx, username, username, password, "start", func(tx store.Tx) error {
			// Nodes that start at once wait here for each other; the later ones see the first one's.
			if err := tx.SetSetting(settingSetup, ""); err != nil {
				return err
			}
			n, err := tx.CountAdmins()
			if err == nil && n > 0 {
				err = errHaveAdmin
			}
			return err
		})
		if errors.Is(err, errHaveAdmin) {
			err = nil
		}
		return "", err
	}
	setup, h := secret()
	return setup, c.Store.Update(ctx, func(tx store.Tx) error { return tx.SetSetting(settingSetup, fmt.Sprintf("%x", h)) })
}

var errHaveAdmin = errors.New("there is an administrator")

// NeedsSetup reports whether the set-up link with this secret is still good.
func (c *Control) NeedsSetup(ctx context.Context, setup string) (bool, error) {
	var want string
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		want, err = tx.Setting(settingSetup)
		return err
	})
	return err == nil && want != "" && want == fmt.Sprintf("%x", hash(setup)), err
}

// Setup makes the first administrator by the one-time set-up link: one, however many use it
// at once. It returns ErrDenied if the link is not good any more.
func (c *Control) Setup(ctx context.Context, setup, username, name, password, from string) (*directory.User, error) {
	ok, err := c.NeedsSetup(ctx, setup)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrDenied
	}
	return c.createAdmin(ctx, username, name, password, from, func(tx store.Tx) error {
		mine, err := tx.SwapSetting(settingSetup, fmt.Sprintf("%x", hash(setup)), "")
		if err == nil && !mine {
			err = ErrDenied
		}
		return err
	})
}

// createAdmin makes an administrator in the same transaction in which may lets it.
func (c *Control) createAdmin(ctx context.Context, username, name, password, from string, may func(store.Tx) error) (*directory.User, error) {
	u := &directory.User{Username: fold.Name(username), Name: fold.Name(name), Role: directory.RoleAdmin, Status: directory.Active, Source: "local"}
	if err := errors.Join(u.Validate(), checkNew(password, u)); err != nil {
		return nil, flatten(err)
	}
	var err error
	if u.PasswordHash, err = c.hashPassword(ctx, password); err != nil {
		return nil, err
	}
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		u.CreatedAt = tx.WallNow()
		rec := c.recording(tx)
		if err := rec.CreateUser(u); err != nil {
			return taken("username", err)
		}
		return rec.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: "server", From: from, Action: "user.create",
			Target: fmt.Sprintf("user %d", u.ID), Name: u.Username, Outcome: "done", Reason: "the first administrator"})
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// flatten joins several invalid.Errors into one.
func flatten(err error) error {
	var all invalid.Error
	var walk func(error)
	walk = func(err error) {
		switch x := err.(type) {
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				walk(e)
			}
		case invalid.Error:
			all = append(all, x...)
		}
	}
	walk(err)
	return all.Err()
}

// taken turns store.ErrNameTaken into an error at the field.
func taken(field string, err error) error {
	if errors.Is(err, store.ErrNameTaken) {
		return invalid.Of(field, "is taken")
	}
	return err
}
