package store

import (
	"time"

	"leasehold/internal/directory"
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

// SignIns keeps who is signed in, and what tells a sign-in from a guess.
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

	CreateSignIn(*SignIn) error
	// SignIn returns one that has neither ended nor expired.
	SignIn(id int64) (*SignIn, error)
	// SignInsOf lists a user's that have neither ended nor expired, the latest used first.
	SignInsOf(user int64) ([]*SignIn, error)
	// SignInsAmong returns those of ids that have neither ended nor expired and were used at seen
	// or later, by id.
	SignInsAmong(ids []int64, seen time.Time) ([]int64, error)
	// SeeSignIns records that sign-ins are used now.
	SeeSignIns(ids []int64) error
	// EndSignIn ends one of a user's. It returns ErrNotFound.
	EndSignIn(user, id int64) error
	// EndSignIns ends all of a user's but one, or all with 0.
	EndSignIns(user, but int64) error

	CreateToken(*Token) error
	Token(hash []byte) (*Token, error) // not one that has expired
	// TokensOf lists a user's that have not expired, newest first.
	TokensOf(user int64) ([]*Token, error)
	// TokensAmong returns those of ids that have neither been deleted nor expired, by id.
	TokensAmong(ids []int64) ([]int64, error)
	// UseToken records that a token is used now.
	UseToken(id int64) error
	// DeleteToken deletes one of a user's. It returns ErrNotFound.
	DeleteToken(user, id int64) error
	// DeleteTokens deletes all of a user's.
	DeleteTokens(user int64) error
}

// SignIn is a browser with which a user is signed in.
type SignIn struct {
	ID        int64
	UserID    int64
	CreatedAt time.Time
	SeenAt    time.Time // when it was last used, to a minute
	ExpiresAt time.Time
	From      string // the address that it came from
	Browser   string // as it calls itself
}

// Token is an API token: the bearer acts as its user.
type Token struct {
	ID        int64
	Hash      []byte // SHA-256
	UserID    int64
	Name      string // "" for one that signing in has made
	Scopes    directory.Scopes
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // to a minute; zero: never
}

// MaxBrowsers is how many browsers of a user are remembered.
const MaxBrowsers = 20

// ForgetTries is how long after the last one tries to sign in are kept.
const ForgetTries = 24 * time.Hour

// LaunchLoad is what a user has and does, for the limits.
type LaunchLoad struct {
	Live       int       // sessions that are not over
	Unredeemed int       // of them, those that were launched and have no device yet
	Recent     int       // launches since the moment
	First      time.Time // when the first of those was; zero if there was none
}
