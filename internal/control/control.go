// Package control holds the use cases, a file each: launch, check-in, act, list, enrol,
// sign in, administer. It is the only caller of the store, and decides nothing that the
// pure packages decide: it loads what a rule needs, applies the rule, and stores what
// came out in one transaction.
package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Config is what a Control needs. Zero durations mean their defaults.
type Config struct {
	Store     store.Store
	PublicURL string // as people and agents reach the server, without a final slash
	// NodeURL is how stream hosts reach this very node; PublicURL if empty, which does while
	// there is one node or a proxy that keeps to it.
	NodeURL   string
	Log       *slog.Logger  // nil: discarded
	Force     time.Duration // from the polite close to the end by force, default 10 s
	Wait      time.Duration // the authorisation wait, default 30 s
	Heartbeat time.Duration // of an agent with no live session, default 5 min
	Limits    Limits        // of a user, where the settings say nothing
	// AuditLog is handed each entry of the audit log once it is committed, and must not wait;
	// nil: nobody is.
	AuditLog func(store.AuditEntry)
	// Elapsed is a clock that only goes forward, for tests that step the store's; nil
	// is the process's own.
	Elapsed func() time.Duration
}

// Control is the use cases over one store. Its methods are safe for concurrent use.
type Control struct {
	Config
	keys  atomic.Pointer[keyring]
	Hub   *Hub
	cache atomic.Pointer[entitlements]
	turns struct {
		sync.Mutex
		begun bool
		last  time.Duration // reading of Elapsed
	}
	node string // this process, among those that share the database
	// housekept is the last day for which this node knows that the housekeeping ran.
	housekept atomic.Pointer[string]
	seen      seenBuffer
	hashes    *auth.Queue // bounds password hashing
	sweeps    sweeper
	locked    locked
	opened    opened
	answered  answeredNumbers
	refused   refusals
}

// Errors of the use cases, besides those of store, session and invalid.
var (
	// ErrDenied: the caller may not do this.
	ErrDenied = errors.New("you may not do this")
	// ErrSignIn: no such account, wrong password, or suspended; which is not said.
	ErrSignIn = errors.New("the user name or the password is not right")
	// ErrBadCredential: not a credential of an agent, or one that was taken away.
	ErrBadCredential = errors.New("not a valid agent credential")
	// ErrBadKey: not an enrolment key for agents of the kind, or one that is over, used up,
	// revoked, or not good from there.
	ErrBadKey = errors.New("the enrolment key is wrong, used up, revoked or expired, or is for another kind of agent or another network; an administrator can make a new one")
	// ErrLastAdmin: nobody could administer any more.
	ErrLastAdmin = errors.New("the last active administrator cannot be deleted; make another one first")
	// ErrTicketUsed: the launch link was redeemed by another device.
	ErrTicketUsed = errors.New("this launch link was used on another device; launch the app again from the portal")
	// ErrTicketOver: the launch link is too old, or its session is over.
	ErrTicketOver = errors.New("this launch link is no longer good; launch the app again from the portal")
)

// Who is the person on whose behalf a use case runs.
type Who struct {
	UserID   int64
	Username string
	Admin    bool
	From     string // the address it came from
}

// Actor is who as the history names them.
func (w Who) Actor() session.Actor {
	if w.Admin {
		return session.Actor{Role: session.Admin, Name: w.Username}
	}
	return session.Actor{Role: session.User, Name: w.Username}
}

// New returns a Control, and makes the first signing key if there is none.
func New(ctx context.Context, cfg Config) (*Control, error) {
	if cfg.Force == 0 {
		cfg.Force = 10 * time.Second
	}
	if cfg.Wait == 0 {
		cfg.Wait = 30 * time.Second
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 5 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Store = &auditedStore{Store: cfg.Store, log: cfg.AuditLog}
	c := &Control{Config: cfg, node: rand.Text(), Hub: newHub(), hashes: auth.NewQueue(hashers, hashWaiting)}
	c.seen.at, c.opened.all = map[int64]store.Seen{}, map[*open]bool{}
	if c.Elapsed == nil {
		start := time.Now()
		c.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if err := cfg.Store.Tick(ctx); err != nil {
		return nil, fmt.Errorf("control: start the lease clock: %w", err)
	}
	if err := c.loadKeys(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// secret returns a new secret of 256 bits and its hash as it is stored. Secrets are typed
// on command lines, so none may look like a flag, as base64 with its minus can.
func secret() (string, []byte) {
	b := make([]byte, 32)
	rand.Read(b)
	s := hex.EncodeToString(b)
	return s, hash(s)
}

func hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}
