package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const (
	// EnrolmentKeyLife is how long an enrolment key is good unless it is told otherwise.
	EnrolmentKeyLife = 30 * 24 * time.Hour
	// MaxKeyUses is the most machines that an enrolment key can let in.
	MaxKeyUses = 1_000_000

	maxKeyLife  = 366 * 24 * time.Hour
	maxNetworks = 100
)

// KeyTerms are those of an enrolment key.
type KeyTerms struct {
	Kind      wire.AgentKind
	Uses      int                 // how many machines it lets in, 1 if 0
	ExpiresAt time.Time           // in EnrolmentKeyLife if zero
	Ownership directory.Ownership // whose the machines are, the organisation's if ""
	Pool      string              // of the hosts
	Networks  []netip.Prefix      // from which it is good, any if none
	Approved  bool                // the hosts need no approval
	Simulated bool                // what enrols is labelled as simulated wherever it is shown
}

// NewEnrolmentKey makes a key with which machines become agents of the kind, and returns it
// with its text, which is shown once. It returns an [invalid.Error] that names each field
// which is not right.
func (c *Control) NewEnrolmentKey(ctx context.Context, who Who, terms KeyTerms) (string, *store.EnrolmentKey, error) {
	terms.Uses, terms.Ownership = cmp.Or(terms.Uses, 1), cmp.Or(terms.Ownership, directory.Organisation)
	terms.Pool = catalog.Pool(fold.Name(terms.Pool))
	var e invalid.Error
	e.OneOf("kind", string(terms.Kind), string(wire.Player), string(wire.Host))
	e.Range("uses", terms.Uses, 1, MaxKeyUses)
	e.OneOf("ownership", string(terms.Ownership), string(directory.Organisation), string(directory.Own))
	e.Name("pool", terms.Pool, 0, 100)
	if len(terms.Networks) > maxNetworks {
		e.Add("networks", "must have at most %d networks", maxNetworks)
	}
	if terms.Kind != wire.Host && terms.Pool != "" {
		e.Add("pool", "applies to stream hosts only")
	}
	key, h := secret()
	k := &store.EnrolmentKey{Kind: terms.Kind, Hash: h, CreatedBy: who.Username, UsesLeft: terms.Uses, Simulated: terms.Simulated,
		Ownership: terms.Ownership, Pool: terms.Pool, Networks: terms.Networks, Approved: terms.Approved || terms.Kind != wire.Host}
	err := c.admin(ctx, who, "enrolment-key.create", "", func(tx store.Tx) (string, string, error) {
		e := slices.Clone(e)
		now := tx.WallNow()
		k.CreatedAt, k.ExpiresAt = now, terms.ExpiresAt.UTC().Truncate(time.Microsecond)
		if terms.ExpiresAt.IsZero() {
			k.ExpiresAt = now.Add(EnrolmentKeyLife)
		} else if !k.ExpiresAt.After(now) || k.ExpiresAt.After(now.Add(maxKeyLife)) {
			e.Add("expires_at", "must be within the next 366 days")
		}
		if err := e.Err(); err != nil {
			return "", "", err
		}
		err := tx.CreateEnrolmentKey(k)
		return fmt.Sprintf("enrolment key %d", k.ID), string(k.Kind), err
	})
	if err != nil {
		return "", nil, err
	}
	return key, k, nil
}

// EnrolmentKeys lists keys, also those that are not good any more, newest first.
func (c *Control) EnrolmentKeys(ctx context.Context, page store.Page) (list []*store.EnrolmentKey, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListEnrolmentKeys(page)
		return err
	})
	return list, next, err
}

// EnrolmentKey returns a key, or store.ErrNotFound.
func (c *Control) EnrolmentKey(ctx context.Context, id int64) (k *store.EnrolmentKey, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		k, err = tx.EnrolmentKeyByID(id)
		return err
	})
	return k, err
}

// RevokeEnrolmentKey takes a key back: no machine enrols with it any more. Those that have
// stay. It returns store.ErrNotFound.
func (c *Control) RevokeEnrolmentKey(ctx context.Context, who Who, id int64) error {
	return c.admin(ctx, who, "enrolment-key.revoke", "", func(tx store.Tx) (string, string, error) {
		k, err := tx.EnrolmentKeyByID(id)
		if err != nil {
			return "", "", err
		}
		return fmt.Sprintf("enrolment key %d", id), string(k.Kind), tx.RevokeEnrolmentKey(id)
	})
}

// Enrol makes a machine an agent. It returns ErrBadKey for a key that is not good, or not
// from there.
func (c *Control) Enrol(ctx context.Context, m *wire.Enrol, from string) (*wire.Enrolled, error) {
	m.Name = fold.Name(m.Name)
	if err := m.Validate(); err != nil {
		return nil, err
	}
	cred, h := secret()
	a := &store.Agent{Kind: m.Kind, Name: m.Name, OS: m.OS, Arch: m.Arch, Version: m.Version, Credential: h}
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		k, err := tx.EnrolmentKey(hash(m.Key))
		if errors.Is(err, store.ErrNotFound) {
			return ErrBadKey
		}
		if err != nil {
			return err
		}
		if k.Kind != m.Kind || !covers(k.Networks, from) {
			return ErrBadKey
		}
		if used, err := tx.UseEnrolmentKey(k.ID); err != nil {
			return err
		} else if !used {
			return ErrBadKey
		}
		a.CreatedAt, a.Simulated, a.Ownership, a.Pool, a.Approved = tx.WallNow(), k.Simulated, k.Ownership, k.Pool, k.Approved
		a.Seen = store.Seen{At: tx.WallNow(), Lease: tx.LeaseNow().Earliest}
		rec := c.recording(tx)
		if err := rec.CreateAgent(a); err != nil {
			return err
		}
		if k.Simulated {
			return nil // thousands of them are no news
		}
		reason := ""
		if !a.Approved {
			reason = "waits for approval"
		}
		return rec.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: "agent " + a.Name, From: from, Action: "agent.enrol",
			Target: fmt.Sprintf("%s %d", a.Kind, a.ID), Name: a.Name, Reason: reason, Outcome: "done"})
	})
	if err != nil {
		return nil, err
	}
	return &wire.Enrolled{V: wire.Version, AgentID: a.ID, Credential: fmt.Sprintf("%d.%s", a.ID, cred), Keys: c.JWKS()}, nil
}

// covers reports whether an address is in one of the networks, or may be anywhere.
func covers(networks []netip.Prefix, from string) bool {
	if len(networks) == 0 {
		return true
	}
	addr, err := netip.ParseAddr(from)
	return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr.Unmap().WithZone("")) })
}
