package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

const (
	// TokenLife is how long an API token is good that signing in has made.
	TokenLife = 12 * time.Hour
	// NamedTokenLife is how long one with a name is good unless it is told otherwise.
	NamedTokenLife = 90 * 24 * time.Hour
	maxTokenLife   = 366 * 24 * time.Hour
	// MaxTokens is how many API tokens with a name a user has at the most.
	MaxTokens = 50
	// maxSignInTokens is how many a user has that signing in has made: the oldest make room.
	maxSignInTokens = 200
)

// ErrTokenByToken is returned if an API token with a name is to make another one: one that was
// taken from a program would never end.
var ErrTokenByToken = errors.New("a token that was made for a program cannot make another one; sign in with the user name and the password")

// TokenTerms are those of an API token with a name.
type TokenTerms struct {
	Name      string
	ExpiresAt time.Time        // in NamedTokenLife if zero
	Scopes    directory.Scopes // to read only if empty
}

// NewToken signs in and returns an API token, shown once, and when it expires.
func (c *Control) NewToken(ctx context.Context, in Credentials) (string, time.Time, error) {
	u, err := c.SignIn(ctx, in)
	if err != nil {
		return "", time.Time{}, err
	}
	if u.MustChangePassword {
		return "", time.Time{}, ErrMustChange
	}
	token, h := secret()
	var expires time.Time
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		if err := unchanged(tx, u); err != nil {
			return err
		}
		all, err := tx.TokensOf(u.ID)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(t *store.Token) bool { return t.Name != "" })
		for _, old := range all[min(len(all), maxSignInTokens-1):] {
			if err := tx.DeleteToken(u.ID, old.ID); err != nil {
				return err
			}
		}
		expires = tx.WallNow().Add(TokenLife).Truncate(time.Second)
		t := &store.Token{Hash: h, UserID: u.ID, Scopes: directory.AllScopes(), CreatedAt: tx.WallNow(), ExpiresAt: expires}
		if err := tx.CreateToken(t); err != nil {
			return err
		}
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: WhoIs(u, in.From).Actor().String(), From: in.From, Action: "token.create",
			Target: fmt.Sprintf("token %d", t.ID), Name: "Sign-in without a browser", Outcome: "done"})
	})
	return token, expires, err
}

// NewNamedToken makes an API token of the caller's own for a program, and returns it with its
// text, which is shown once. It returns an [invalid.Error] that names each field which is not
// right, and a [*TooManyError] for more than [MaxTokens].
func (c *Control) NewNamedToken(ctx context.Context, who Who, terms TokenTerms) (string, *store.Token, error) {
	terms.Name = fold.Name(terms.Name)
	if len(terms.Scopes) == 0 {
		terms.Scopes = directory.Scopes{directory.ScopeRead}
	}
	var bad invalid.Error
	bad.Name("name", terms.Name, 1, 100)
	for i, s := range terms.Scopes {
		bad.OneOf(fmt.Sprintf("scopes.%d", i), string(s), string(directory.ScopeRead), string(directory.ScopeWrite))
	}
	text, h := secret()
	t := &store.Token{Hash: h, UserID: who.UserID, Name: terms.Name, Scopes: terms.Scopes}
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		e, now := slices.Clone(bad), tx.WallNow()
		t.CreatedAt, t.ExpiresAt = now, terms.ExpiresAt.UTC().Truncate(time.Second)
		if terms.ExpiresAt.IsZero() {
			t.ExpiresAt = now.Add(NamedTokenLife).Truncate(time.Second)
		} else if !t.ExpiresAt.After(now) || t.ExpiresAt.After(now.Add(maxTokenLife)) {
			e.Add("expires_at", "must be within the next 366 days")
		}
		if err := e.Err(); err != nil {
			return err
		}
		u, err := tx.LockUser(who.UserID) // so that two at once count each other
		if err != nil {
			return err
		}
		if !mayCome(u) {
			return ErrSignIn
		}
		if u.MustChangePassword {
			return ErrMustChange
		}
		all, err := tx.TokensOf(u.ID)
		if err != nil {
			return err
		}
		if len(slices.DeleteFunc(all, func(t *store.Token) bool { return t.Name == "" })) >= MaxTokens {
			return &TooManyError{What: fmt.Sprintf("You have %d API tokens, as many as one may have. Delete one first.", MaxTokens)}
		}
		if err := tx.CreateToken(t); err != nil {
			return err
		}
		return tx.AddAudit(&store.AuditEntry{At: now, Actor: who.Actor().String(), From: who.From, Action: "token.create",
			Target: fmt.Sprintf("token %d", t.ID), Name: t.Name, Outcome: "done"})
	})
	if err != nil {
		return "", nil, err
	}
	return text, t, nil
}

// Tokens lists a user's own API tokens that have not expired, newest first.
func (c *Control) Tokens(ctx context.Context, who Who) (list []*store.Token, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, err = tx.TokensOf(who.UserID)
		return err
	})
	return list, err
}

// DeleteToken deletes one of a user's own API tokens, and ends what is open by it. It returns store.ErrNotFound for one that
// is not theirs.
func (c *Control) DeleteToken(ctx context.Context, who Who, id int64) error {
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.DeleteToken(who.UserID, id); err != nil {
			return err
		}
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: who.From, Action: "token.delete",
			Target: fmt.Sprintf("token %d", id), Name: fmt.Sprintf("Token %d", id), Outcome: "done"})
	})
	c.endOpenNow(ctx)
	return err
}

// Bearer returns an API token by its text, with its active user, or ErrSignIn.
func (c *Control) Bearer(ctx context.Context, text string) (*directory.User, *store.Token, error) {
	var u *directory.User
	var t *store.Token
	use := false
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		if t, err = tx.Token(hash(text)); err != nil {
			return err
		}
		use = tx.WallNow().Sub(t.UsedAt) >= seeEvery
		u, err = tx.User(t.UserID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && !mayCome(u) {
		return nil, nil, ErrSignIn
	}
	if err == nil && use {
		err = c.Store.Update(ctx, func(tx store.Tx) error { return tx.UseToken(t.ID) })
	}
	return u, t, err
}
