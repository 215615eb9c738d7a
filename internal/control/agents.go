package control

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// EnrolmentKeyLife is how long an enrolment key is good.
const EnrolmentKeyLife = 30 * 24 * time.Hour

// NewEnrolmentKey makes a key with which machines become agents of the kind. It is shown
// once and good for any number of machines until EnrolmentKeyLife is over. What enrols
// with a simulated one is labelled as simulated wherever it is shown. ownership is whose
// the machines are, the organisation's if it is "".
func (c *Control) NewEnrolmentKey(ctx context.Context, who Who, kind wire.AgentKind, ownership directory.Ownership, simulated bool) (string, error) {
	ownership = cmp.Or(ownership, directory.Organisation)
	var e invalid.Error
	e.OneOf("kind", string(kind), string(wire.Player), string(wire.Host))
	e.OneOf("ownership", string(ownership), string(directory.Organisation), string(directory.Own))
	if err := e.Err(); err != nil {
		return "", err
	}
	key, h := secret()
	err := c.admin(ctx, who, "enrolment-key.create", "", func(tx store.Tx) (string, string, error) {
		k := &store.EnrolmentKey{Kind: kind, Hash: h, CreatedAt: tx.WallNow(), ExpiresAt: tx.WallNow().Add(EnrolmentKeyLife), CreatedBy: who.Username, Simulated: simulated, Ownership: ownership}
		err := tx.CreateEnrolmentKey(k)
		return fmt.Sprintf("enrolment key %d", k.ID), string(kind), err
	})
	if err != nil {
		return "", err
	}
	return key, nil
}

// Enrol makes a machine an agent. It returns ErrBadKey for a key that is not good.
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
		if k.Kind != m.Kind || !tx.WallNow().Before(k.ExpiresAt) {
			return ErrBadKey
		}
		a.CreatedAt, a.Simulated, a.Ownership = tx.WallNow(), k.Simulated, k.Ownership
		a.Seen = store.Seen{At: tx.WallNow(), Lease: tx.LeaseNow().Earliest}
		if err := tx.CreateAgent(a); err != nil {
			return err
		}
		if k.Simulated {
			return nil // thousands of them are no news
		}
		return tx.AddAudit(store.AuditEntry{At: tx.WallNow(), Actor: "agent " + a.Name, From: from, Action: "agent.enrol",
			Target: fmt.Sprintf("%s %d", a.Kind, a.ID), Name: a.Name, Outcome: "done"})
	})
	if err != nil {
		return nil, err
	}
	return &wire.Enrolled{V: wire.Version, AgentID: a.ID, Credential: fmt.Sprintf("%d.%s", a.ID, cred), Keys: c.JWKS()}, nil
}

// Authenticate returns the agent of a credential, or ErrBadCredential.
func (c *Control) Authenticate(ctx context.Context, credential string) (int64, error) {
	id, cred, _ := strings.Cut(credential, ".")
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return 0, ErrBadCredential
	}
	var a *store.Agent
	err = c.Store.View(ctx, func(tx store.Tx) (err error) {
		a, err = orNil(tx.Agent(n))
		return err
	})
	if err != nil {
		return 0, err
	}
	if a == nil || !a.DeletedAt.IsZero() || subtle.ConstantTimeCompare(a.Credential, hash(cred)) != 1 {
		return 0, ErrBadCredential
	}
	return n, nil
}

// ListAgents lists players or hosts whose name contains q.
func (c *Control) ListAgents(ctx context.Context, kind wire.AgentKind, q string, page store.Page) (list []*store.Agent, next string, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListAgents(kind, q, page)
		return err
	})
	return list, next, err
}

// Agent returns a player or host, or store.ErrNotFound.
func (c *Control) Agent(ctx context.Context, id int64) (a *store.Agent, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		a, err = tx.Agent(id)
		return err
	})
	if err == nil && !a.DeletedAt.IsZero() {
		return nil, store.ErrNotFound
	}
	return a, err
}

// UpdateAgent lets change alter a machine's name or ownership and stores it.
func (c *Control) UpdateAgent(ctx context.Context, who Who, id int64, end Ending, change func(*store.Agent) error) (a *store.Agent, err error) {
	err = c.admin(ctx, who, "agent.update", end.Reason, func(tx store.Tx) (string, string, error) {
		if a, err = tx.LockAgent(id); err == nil && !a.DeletedAt.IsZero() {
			err = store.ErrNotFound
		}
		if err != nil {
			return "", "", err
		}
		was, name, pool := a.Ownership, fold.Name(a.Name), fold.Name(a.Pool)
		if err := change(a); err != nil {
			return "", "", err
		}
		var e invalid.Error
		a.Name, a.Pool = fold.Name(a.Name), catalog.Pool(fold.Name(a.Pool))
		e.Name("name", a.Name, 1, 200)
		e.Name("pool", a.Pool, 0, 100)
		if a.Kind != wire.Host && a.Pool != "" {
			e.Add("pool", "applies to stream hosts only")
		}
		e.OneOf("ownership", string(a.Ownership), string(directory.Organisation), string(directory.Own))
		if err := invalid.Except(e.Err(), map[string]bool{"name": a.Name == name, "pool": a.Pool == pool}); err != nil {
			return "", "", err
		}
		if a.Ownership != was {
			if err := c.left(tx, who, end, store.OfAgent, id); err != nil {
				return "", "", err
			}
		}
		return fmt.Sprintf("%s %d", a.Kind, id), a.Name, tx.SaveAgent(a)
	})
	return a, err
}

// DeleteAgent takes a machine's credential away: it cannot check in any more, and its
// apps end with their leases.
func (c *Control) DeleteAgent(ctx context.Context, who Who, id int64) error {
	return c.admin(ctx, who, "agent.delete", "", func(tx store.Tx) (string, string, error) {
		a, err := tx.Agent(id)
		if err != nil {
			return "", "", err
		}
		return fmt.Sprintf("%s %d", a.Kind, id), a.Name, tx.DeleteAgent(id)
	})
}
