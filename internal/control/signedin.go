package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// seeEvery is how often it is recorded that a sign-in or a token is used.
const seeEvery = time.Minute

// maxBrowserText is the most that is kept of what a browser calls itself, in bytes.
const maxBrowserText = 300

// BeginSignIn begins a sign-in of a user whose password was right just now, with a browser. It
// returns ErrSignIn if the account has changed since.
func (c *Control) BeginSignIn(ctx context.Context, u *directory.User, from, browser string) (*store.SignIn, error) {
	x := &store.SignIn{UserID: u.ID, From: from, Browser: browser[:min(len(browser), maxBrowserText)]}
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		if err := unchanged(tx, u); err != nil {
			return err
		}
		set, err := c.settings(tx)
		if err != nil {
			return err
		}
		x.CreatedAt, x.SeenAt = tx.WallNow(), tx.WallNow()
		x.ExpiresAt = tx.WallNow().Add(time.Duration(set.SignInSeconds) * time.Second)
		return tx.CreateSignIn(x)
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// unchanged locks a user, and returns ErrSignIn unless they may still come in as what was
// checked: else a sign-in that is under way would outlive what ends all others.
func unchanged(tx store.Tx, u *directory.User) error {
	is, err := orNil(tx.LockUser(u.ID))
	if err != nil {
		return err
	}
	if is == nil || !mayCome(is) || is.PasswordHash != u.PasswordHash || is.Role != u.Role {
		return ErrSignIn
	}
	return nil
}

// SignedIn returns the active user of a sign-in, or ErrSignIn if it has ended, by whatever
// ends one. used says that a person uses it now, which the idle limit counts from.
func (c *Control) SignedIn(ctx context.Context, id int64, used bool) (*directory.User, error) {
	var u *directory.User
	see := false
	err := c.Store.View(ctx, func(tx store.Tx) error {
		u = nil
		x, err := orNil(tx.SignIn(id))
		if err != nil || x == nil {
			return err
		}
		idle, err := c.idleSince(tx)
		if err != nil || x.SeenAt.Before(idle) {
			return err
		}
		see = used && tx.WallNow().Sub(x.SeenAt) >= seeEvery
		u, err = orNil(tx.User(x.UserID))
		return err
	})
	if err != nil {
		return nil, err
	}
	if u == nil || !mayCome(u) {
		return nil, ErrSignIn
	}
	if see {
		err = c.Store.Update(ctx, func(tx store.Tx) error { return tx.SeeSignIns([]int64{id}) })
	}
	return u, err
}

// idleSince is since when a sign-in must have been used not to have ended.
func (c *Control) idleSince(tx store.Tx) (time.Time, error) {
	v, err := c.view(tx)
	if err != nil {
		return time.Time{}, err
	}
	set, err := v.settings()
	if err != nil {
		return time.Time{}, err
	}
	return tx.WallNow().Add(-time.Duration(set.SignInIdleSeconds) * time.Second), nil
}

// SignIns lists a user's own sign-ins that have not ended, the latest used first.
func (c *Control) SignIns(ctx context.Context, who Who) (list []*store.SignIn, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		all, err := tx.SignInsOf(who.UserID)
		if err != nil {
			return err
		}
		idle, err := c.idleSince(tx)
		for _, x := range all {
			if !x.SeenAt.Before(idle) {
				list = append(list, x)
			}
		}
		return err
	})
	return list, err
}

// EndSignIn ends one of a user's own sign-ins, and all that is open by it. It returns
// store.ErrNotFound for one that is not theirs.
func (c *Control) EndSignIn(ctx context.Context, who Who, id int64) error {
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.EndSignIn(who.UserID, id); err != nil {
			return err
		}
		return tx.AddAudit(endedSignIn(tx, who, fmt.Sprintf("sign-in %d", id)))
	})
	c.endOpenNow(ctx)
	return err
}

// EndOtherSignIns ends all of a user's own sign-ins but one.
func (c *Control) EndOtherSignIns(ctx context.Context, who Who, but int64) error {
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.EndSignIns(who.UserID, but); err != nil {
			return err
		}
		return tx.AddAudit(endedSignIn(tx, who, "all others"))
	})
	c.endOpenNow(ctx)
	return err
}

func endedSignIn(tx store.Tx, who Who, which string) *store.AuditEntry {
	return &store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: who.From, Action: ActionEndSignIn,
		Target: fmt.Sprintf("user %d", who.UserID), Name: who.Username, Reason: which, Outcome: "done"}
}

// endAll ends a user's sign-ins and tokens, in the transaction that changes what they may do:
// nothing revives them. What is open by them ends when that is committed.
func endAll(tx store.Tx, user int64) error {
	return errors.Join(tx.EndSignIns(user, 0), tx.DeleteTokens(user))
}
