package control

import (
	"context"
	"errors"
	"fmt"

	"leasehold/internal/auth"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/passwords"
	"leasehold/internal/store"
)

var (
	// ErrMustChange: somebody else knows the password; it has to be changed before it is good
	// for anything else.
	ErrMustChange = errors.New("an administrator has set the password; sign in with a browser and choose one of your own first")
	// ErrNoPassword: the account signs in by other means, or not at all.
	ErrNoPassword = errors.New("the account has no password here")
)

// checkNew says what is wrong with a new password of a user, as an [invalid.Error] or nil.
func checkNew(password string, u *directory.User) error {
	return passwords.Check(password, u.Username, u.Name, u.Email)
}

// ChangePassword changes a user's own password, which they show once more, and ends all their
// other sign-ins and their API tokens. It returns an [invalid.Error] for the fields
// current_password and new_password, ErrNoPassword, and a [*TooManyError] where the current one
// is guessed.
func (c *Control) ChangePassword(ctx context.Context, who Who, signIn int64, current, password string) error {
	if len(current) > maxPassword || len(password) > maxPassword {
		return invalid.Of("new_password", "is too long")
	}
	var u *directory.User
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		u, err = liveUser(tx, who.UserID)
		return err
	})
	if err != nil {
		return err
	}
	if u.PasswordHash == "" {
		return ErrNoPassword
	}
	var e invalid.Error
	var bad invalid.Error
	if errors.As(checkNew(password, u), &bad) {
		e.Add("new_password", "%s", bad[0].Message)
	} else if password == current {
		e.Add("new_password", "must be another one")
	}
	if err := e.Err(); err != nil {
		return err
	}
	// Whoever finds a page open must not guess the password there either.
	source, account := "own account", digest(fmt.Sprint("user ", u.ID))
	leave, err := c.hashing(ctx, true)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.countTry(ctx, source, account, true); err != nil {
		return err
	}
	if ok, err := auth.CheckPassword(u.PasswordHash, current); err != nil {
		return fmt.Errorf("control: password of user %d: %w", u.ID, err)
	} else if !ok {
		c.refuse(store.AuditEntry{Actor: who.Actor().String(), From: who.From, RequestID: RequestOf(ctx).ID, Action: ActionRefusePassword,
			Target: fmt.Sprintf("user %d", u.ID), Name: u.Username, Outcome: "refused: the current password was not right"}, fmt.Sprint("user ", u.ID))
		return invalid.Of("current_password", "is not right")
	}
	hashed := auth.HashPassword(password)
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		if err := unchanged(tx, u); err != nil {
			return err
		}
		is, err := tx.User(u.ID)
		if err != nil {
			return err
		}
		is.PasswordHash, is.MustChangePassword = hashed, false
		if err := errors.Join(tx.ForgetSignIn(source, account), tx.EndSignIns(u.ID, signIn), tx.DeleteTokens(u.ID)); err != nil {
			return err
		}
		rec := c.recording(tx)
		if err := rec.SaveUser(is); err != nil {
			return err
		}
		return rec.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: who.From, Action: "user.password",
			Target: fmt.Sprintf("user %d", u.ID), Name: u.Username, Outcome: "done"})
	})
	if err == nil {
		c.endOpenNow(ctx)
	}
	return err
}
