package control

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

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
		if a.Kind != wire.Host && !a.Approved {
			e.Add("approved", "applies to stream hosts only")
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
	err := c.admin(ctx, who, "agent.delete", "", func(tx store.Tx) (string, string, error) {
		a, err := tx.Agent(id)
		if err != nil {
			return "", "", err
		}
		return fmt.Sprintf("%s %d", a.Kind, id), a.Name, tx.DeleteAgent(id)
	})
	if err == nil {
		c.Hub.Wake(id) // its event stream finds out that it is no agent any more
	}
	return err
}
