package store

import (
	"time"

	"leasehold/internal/lease"
)

// SignInTries counts the sign-ins to an account from somewhere that were not right, since
// the last one that was.
type SignInTries struct {
	// Source is where they came from: a network, or a browser that has signed in before.
	Source string
	// Account is what was tried, as a digest; "" for what concerns the source as a whole.
	Account string
	Tries   int
	Last    lease.Time // 0: never
}

// SignIns keeps what tells a sign-in from a guess.
type SignIns interface {
	// LockSignIn returns the tries of an account from a source, no tries if there were none;
	// others who try the same wait until the transaction ends.
	LockSignIn(source, account string) (*SignInTries, error)
	// SaveSignIn stores what LockSignIn returned.
	SaveSignIn(*SignInTries) error
	// ForgetSignIn clears the tries of an account from a source: it has signed in.
	ForgetSignIn(source, account string) error
	// AccountsTried counts the accounts that a source has tried since then in vain, up to bound.
	AccountsTried(source string, since lease.Time, bound int) (int, error)
	// KnownBrowser reports whether a user has signed in with a browser that shows a secret of
	// this hash, and is still remembered there.
	KnownBrowser(hash []byte, user int64) (bool, error)
	// RememberBrowser remembers until expires that a user has signed in with a browser, under a
	// new hash; with it go the users who were remembered under the old one, which may be nil.
	// Of a user at most [MaxBrowsers] are remembered, those that expire last.
	RememberBrowser(old, new []byte, user int64, expires time.Time) error
}

// MaxBrowsers is how many browsers of a user are remembered.
const MaxBrowsers = 20

// ForgetTries is how long after the last one tries to sign in are kept.
const ForgetTries = 24 * time.Hour
