package control

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// Whoever guesses is slowed down, by the account and where they are, so that nobody else is:
// a stranger cannot lock an account for its owner, who is somewhere else or has signed in
// with the same browser before. The counts are in the database, for all nodes, and go by
// lease time, which nobody can set. See docs/operations.md, "Signing in".
var (
	// perAccount is for one account from one source.
	perAccount = auth.Backoff{Free: 5, First: time.Second, Most: 15 * time.Minute}
	// perNetwork is for all accounts from one network, by how many of them were tried in vain
	// within networkWindow. A campus behind one address has as many people who mistype.
	perNetwork = auth.Backoff{Free: 50, First: time.Second, Most: time.Minute}
)

const (
	networkWindow = time.Hour
	// BrowserLife is for how long after a sign-in its browser is remembered.
	BrowserLife = 180 * 24 * time.Hour
	// Longer user names and passwords than these, in bytes, are not even looked at.
	maxUsername = 400
	maxPassword = 4000
)

// How many passwords are hashed at once, each in 64 MiB, and how many sign-ins of each sort
// wait for it: less than a second.
const (
	hashers     = 2
	hashWaiting = 16
)

// TooManyError is returned where somebody tries or has more than they may: What says of
// what, and what to do. After is how long until it may be tried again, 0 if only they can
// change that.
type TooManyError struct {
	What  string
	After time.Duration
}

func (e *TooManyError) Error() string { return e.What }

// Credentials is what somebody signs in with.
type Credentials struct {
	Username, Password string
	From               string // the address it came from
	// Browser is the secret of a browser that has signed in before, by [Control.RememberBrowser];
	// "" for any other.
	Browser string
}

// dummyHash is checked when there is no such account, so that the time taken does not
// tell which user names exist. Hashing costs too much to be done in every command.
var dummyHash = sync.OnceValue(func() string { return auth.HashPassword("no account has this password") })

// SignIn checks a user name and password. It returns ErrSignIn for every reason to say no, and
// a [*TooManyError] if that was not even looked at. The audit log has either.
func (c *Control) SignIn(ctx context.Context, in Credentials) (*directory.User, error) {
	u, user, err := c.signIn(ctx, in)
	var tooMany *TooManyError
	switch {
	case errors.Is(err, ErrSignIn):
		c.refusedSignIn(ctx, in, user, "refused")
	case errors.As(err, &tooMany):
		c.refusedSignIn(ctx, in, user, "refused: too many tries")
	}
	return u, err
}

// signIn is SignIn; tried is whose account it is, whether they are let in or not, 0 if nobody's.
func (c *Control) signIn(ctx context.Context, in Credentials) (_ *directory.User, tried int64, _ error) {
	if len(in.Username) > maxUsername || len(in.Password) > maxPassword {
		c.Log.Info("sign-in refused: longer than any user name or password", "from", in.From)
		return nil, 0, ErrSignIn
	}
	source, known := "network "+networkOf(in.From), false
	var u *directory.User
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		if u, err = orNil(tx.UserByName(in.Username)); err != nil || u == nil || in.Browser == "" {
			return err
		}
		known, err = tx.KnownBrowser(hash(in.Browser), u.ID)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if u != nil {
		tried = u.ID
	}
	if known {
		// It has tries of its own, so that nobody beside it can use them up.
		source = "browser " + digest(in.Browser)
	}
	leave, err := c.hashing(ctx, known)
	if err != nil {
		return nil, tried, err
	}
	defer leave()
	account := digest(fold.Fold(in.Username))
	if err := c.countTry(ctx, source, account, known); err != nil {
		return nil, tried, err
	}
	phc := dummyHash() // whoever signs in, so that the first sign-in tells nothing either
	if u != nil && u.PasswordHash != "" {
		phc = u.PasswordHash
	}
	ok, err := auth.CheckPassword(phc, in.Password)
	if err != nil {
		return nil, tried, fmt.Errorf("control: sign in %q: %w", in.Username, err)
	}
	if !ok || u == nil || u.PasswordHash == "" || u.Status != directory.Active {
		c.Log.Info("sign-in refused", "username", in.Username, "from", in.From)
		return nil, tried, ErrSignIn
	}
	err = c.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.ForgetSignIn(source, account); err != nil {
			return err
		}
		who := WhoIs(u, in.From)
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: in.From, Action: ActionSignIn,
			Target: fmt.Sprintf("user %d", u.ID), Name: u.Username, Outcome: "done"})
	})
	return u, tried, err
}

// countTry counts a try before it is made, so that many at once are many. It returns a
// [*TooManyError] if it may not be made yet.
func (c *Control) countTry(ctx context.Context, source, account string, known bool) error {
	return c.Store.Update(ctx, func(tx store.Tx) error {
		now := tx.LeaseNow().Earliest
		try, err := tx.LockSignIn(source, account)
		if err != nil {
			return err
		}
		if left := remaining(perAccount.Wait(try.Tries), try.Last, now); left > 0 {
			return &TooManyError{"Too many wrong passwords for this account from here. Try again in " + inWords(left) + ".", left}
		}
		if !known {
			if err := countNetwork(tx, source, now); err != nil {
				return err
			}
		}
		try.Tries, try.Last = try.Tries+1, now
		return tx.SaveSignIn(try)
	})
}

// countNetwork lets a source that has tried many accounts in vain try another one only now
// and then.
func countNetwork(tx store.Tx, source string, now lease.Time) error {
	n, err := tx.AccountsTried(source, now.Add(-networkWindow), perNetwork.Free+20)
	if err != nil || perNetwork.Wait(n) == 0 {
		return err
	}
	all, err := tx.LockSignIn(source, "")
	if err != nil {
		return err
	}
	if left := remaining(perNetwork.Wait(n), all.Last, now); left > 0 {
		return &TooManyError{"Too many accounts were tried from this network. Try again in " + inWords(left) + ", or use a browser that you have signed in with before.", left}
	}
	all.Last = now
	return tx.SaveSignIn(all)
}

// remaining is what is left of a wait since last.
func remaining(wait time.Duration, last, now lease.Time) time.Duration {
	return min(wait, wait-now.Sub(last))
}

// hashing waits for its turn to hash a password. known says that whoever it is for has signed
// in before.
func (c *Control) hashing(ctx context.Context, known bool) (leave func(), err error) {
	leave, err = c.hashes.Enter(ctx, known)
	if errors.Is(err, auth.ErrQueueFull) {
		return nil, &TooManyError{"Too many people are signing in at this moment. Try again in a few seconds.", 2 * time.Second}
	}
	return leave, err
}

// hashPassword hashes the new password of somebody who is signed in, or whom an administrator
// gives one.
func (c *Control) hashPassword(ctx context.Context, password string) (string, error) {
	leave, err := c.hashing(ctx, true)
	if err != nil {
		return "", err
	}
	defer leave()
	return auth.HashPassword(password), nil
}

// RememberBrowser remembers a browser with which a user has just signed in, and returns the
// secret that it is to show at the next sign-in, good for [BrowserLife]. old is what it has
// shown at this one.
func (c *Control) RememberBrowser(ctx context.Context, user int64, old string) (string, error) {
	s, h := secret()
	var was []byte
	if old != "" {
		was = hash(old)
	}
	return s, c.Store.Update(ctx, func(tx store.Tx) error {
		return tx.RememberBrowser(was, h, user, tx.WallNow().Add(BrowserLife))
	})
}

// networkOf is where an address is: itself, or the /64 that a host with IPv6 has to itself.
func networkOf(from string) string {
	a, err := netip.ParseAddr(from)
	if err != nil {
		return "unknown"
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // 64 is a length of an IPv6 prefix
	return p.String()
}

// digest is a text as a key that does not tell it.
func digest(s string) string { return hex.EncodeToString(hash(s)[:16]) }

// inWords is a wait as people read it, rounded up.
func inWords(d time.Duration) string {
	unit, name := time.Second, "second"
	if d > 90*time.Second {
		unit, name = time.Minute, "minute"
	}
	n := int((d + unit - 1) / unit)
	if n != 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", n, name)
}
