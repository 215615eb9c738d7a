package runnertest

import (
	"crypto/ed25519"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/lease"
)

// Agent is the number of the agent that [Sign] signs for.
const Agent = 7

var key = func() lease.Key {
	return lease.Key{ID: "test", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
}()

// Key is the key that [Sign] signs with.
func Key() lease.Key { return key }

// Authority is whose leases [Sign] makes.
func Authority() *guard.Authority {
	return &guard.Authority{Agent: Agent, Keys: lease.Keys{key.ID: key.Private.Public().(ed25519.PublicKey)}}
}

// Lease returns a signed lease for a run that goes on at least until a deadline.
func Lease(t testing.TB, s guard.Spec, challenge string, deadline boottime.Stamp, generation uint64) guard.Lease {
	t.Helper()
	length := deadline.Sub(boottime.Now()).Truncate(time.Second) + 2*time.Second
	return Sign(t, &lease.Grant{Session: s.Session, Generation: generation, Run: uint32(s.Run)}, length, challenge, deadline)
}

// Sign signs a lease.
func Sign(t testing.TB, g *lease.Grant, length time.Duration, challenge string, deadline boottime.Stamp) guard.Lease {
	t.Helper()
	token, err := key.Sign(g, Agent, length, challenge, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return guard.Lease{Deadline: deadline, Generation: g.Generation, Token: token}
}
