package control

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// Signing keys take turns: each is used for as long as a setting says, and is known for as
// long as a lease that it signed may last. All of it is judged by lease time, so that a wall
// clock that jumps forgets no key.
const (
	// keysEvery is how often a node looks for new keys.
	keysEvery = time.Minute
	// announced is how long a key is known before it signs, so that every node knows it.
	announced = 5 * time.Minute
	// retired is how long the key before keeps its private half after another one signs: what
	// a node that is behind signs with it is good.
	retired = time.Hour
)

// keyKept is for how long a key that signs no more is known: longer than any lease may be
// (catalog: offline_seconds), its margins included.
var keyKept = calendar.Days(400)

// keyring is the keys as a node uses them.
type keyring struct {
	sign   lease.Key
	verify lease.Keys
	jwks   json.RawMessage
}

// JWKS is the set of public keys that verify leases (RFC 7517).
func (c *Control) JWKS() json.RawMessage { return c.keys.Load().jwks }

// loadKeys reads the keys, and makes the first one if there is none.
func (c *Control) loadKeys(ctx context.Context) error {
	var keys []store.SigningKey
	var now lease.Time
	err := c.Store.Update(ctx, func(tx store.Tx) (err error) {
		now = tx.LeaseNow().Earliest
		if keys, err = tx.LockSigningKeys(); err != nil || len(keys) > 0 {
			return err
		}
		first, err := newSigningKey(tx, nil)
		if err != nil {
			return err
		}
		keys = []store.SigningKey{*first}
		return tx.AddSigningKey(*first)
	})
	if err != nil {
		return fmt.Errorf("control: signing keys: %w", err)
	}
	return c.useKeys(keys, now)
}

// newSigningKey makes a key, which by endorses.
func newSigningKey(tx store.Tx, by *lease.Key) (*store.SigningKey, error) {
	k, err := lease.NewKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, fmt.Errorf("control: signing key: %w", err)
	}
	out := &store.SigningKey{ID: k.ID, PKCS8: der, Public: k.Private.Public().(ed25519.PublicKey), CreatedAt: tx.WallNow(), LeaseAt: tx.LeaseNow().Latest}
	if by != nil {
		out.Endorsement, err = by.Endorse(out.ID, out.Public)
	}
	return out, err
}

// private is a key's private half; nil once it is retired.
func private(k *store.SigningKey) (*lease.Key, error) {
	if len(k.PKCS8) == 0 {
		return nil, nil
	}
	p, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	priv, ok := p.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("control: signing key %s is not an Ed25519 key", k.ID)
	}
	return &lease.Key{ID: k.ID, Private: priv}, nil
}

// signing is which of the keys, newest first, signs at now: the newest that every node
// knows, or else the oldest.
func signing(keys []store.SigningKey, now lease.Time) int {
	for i := range keys {
		if len(keys[i].PKCS8) > 0 && keys[i].LeaseAt.Add(announced) <= now {
			return i
		}
	}
	for i := len(keys) - 1; i > 0; i-- {
		if len(keys[i].PKCS8) > 0 {
			return i
		}
	}
	return 0
}

// useKeys has this node use the keys.
func (c *Control) useKeys(keys []store.SigningKey, now lease.Time) error {
	ring := &keyring{verify: lease.Keys{}}
	endorsements := map[string]string{}
	active := signing(keys, now)
	for i := range keys {
		k := &keys[i]
		own, err := private(k)
		if err != nil {
			return err
		}
		public := ed25519.PublicKey(k.Public)
		if len(public) == 0 && own != nil {
			public = own.Private.Public().(ed25519.PublicKey)
		}
		if len(public) != ed25519.PublicKeySize || i == active && own == nil {
			return fmt.Errorf("control: signing key %s cannot be used", k.ID)
		}
		if i == active {
			ring.sign = *own
		}
		ring.verify[k.ID], endorsements[k.ID] = public, k.Endorsement
	}
	var err error
	if ring.jwks, err = ring.verify.Set(endorsements); err != nil {
		return err
	}
	c.keys.Store(ring)
	return nil
}

// RotateKeys makes the next signing key when its time has come, retires and forgets old
// ones, and has this node use what there is.
func (c *Control) RotateKeys(ctx context.Context) error {
	var keys []store.SigningKey
	var now lease.Now
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		set, err := c.settings(tx)
		if err != nil {
			return err
		}
		now = tx.LeaseNow()
		if keys, err = tx.LockSigningKeys(); err != nil || len(keys) == 0 || !now.Signs {
			return err
		}
		turn := calendar.Days(set.SigningKeyDays)
		if now.Earliest >= keys[0].LeaseAt.Add(turn) && signing(keys, now.Earliest) == 0 {
			by, err := private(&keys[0])
			if err != nil {
				return err
			}
			next, err := newSigningKey(tx, by)
			if err != nil {
				return err
			}
			if err := tx.AddSigningKey(*next); err != nil {
				return err
			}
			if err := tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: "server", Action: "signing_key.rotate", Target: "server", Name: next.ID, Outcome: "done"}); err != nil {
				return err
			}
			c.Log.Info("the next signing key is made; it signs once every node knows it", "key", next.ID, "in", announced)
		}
		active := signing(keys, now.Earliest)
		for i := active + 1; i < len(keys); i++ {
			since := keys[i-1].LeaseAt.Add(announced) // when the next one began to sign
			switch {
			case now.Earliest >= since.Add(keyKept):
				err = tx.DeleteSigningKey(keys[i].ID)
			case now.Earliest >= since.Add(retired) && len(keys[i].PKCS8) > 0:
				err = tx.RetireSigningKey(keys[i].ID)
			}
			if err != nil {
				return err
			}
		}
		keys, err = tx.SigningKeys()
		return err
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	return c.useKeys(keys, now.Earliest)
}
