package guard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/lease"
)

// Authority is whose leases extend a run: those that the servers whose public keys these are
// have signed for this agent.
type Authority struct {
	Agent int64      `json:"agent"`
	Keys  lease.Keys `json:"keys"`
}

// Lease is what a guard is told of a lease. The signed one is what counts; whoever speaks
// to a guard, and any process of the user can, can only shorten that.
type Lease struct {
	Deadline   boottime.Stamp `json:"deadline,omitzero"`
	Generation uint64         `json:"generation,omitempty"`
	// Token is the lease as the server signed it, with a challenge of this guard.
	Token string `json:"token,omitempty"`
	// Keys is the servers' JWK set, for a token by a key that was made after the run began. A
	// guard takes of it what keys that it knows have endorsed.
	Keys json.RawMessage `json:"keys,omitempty"`
}

// Errors of a lease that a guard does not believe.
var (
	errNotSigned = errors.New("the lease is not signed, so it cannot put the deadline off")
	errOtherRun  = errors.New("the lease is not for this run")
	errChallenge = errors.New("the lease does not answer a challenge of this guard, so nobody can tell when it began")
)

// challenger gives out challenges, and tells of each that comes back when that was. A lease
// counts from the moment in which its challenge was given out: that is before the request
// was sent, and nobody can make it later, by keeping a lease back or showing it twice. It
// keeps nothing but its key, so that asking again and again spends nothing.
type challenger struct{ key [32]byte }

func newChallenger() *challenger {
	c := &challenger{}
	rand.Read(c.key[:])
	return c
}

const macSize = 16

func (c *challenger) mac(moment []byte) []byte {
	h := hmac.New(sha256.New, c.key[:])
	h.Write(moment)
	return h.Sum(nil)[:macSize]
}

// give gives out the challenge of a moment of the boot clock.
func (c *challenger) give(at time.Duration) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(at))
	return base64.RawURLEncoding.EncodeToString(append(b, c.mac(b)...))
}

// when returns the moment in which a challenge was given out; ok is false for what is not
// one of c.
func (c *challenger) when(challenge string) (at time.Duration, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(b) != 8+macSize || !hmac.Equal(b[8:], c.mac(b[:8])) {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint64(b)), true
}

// verify checks a signed lease for a run of the spec, of whatever time.
func (s *Spec) verify(token string) (*lease.Claims, error) {
	if s.Authority == nil {
		return nil, errNotSigned
	}
	c, err := s.Authority.Keys.Verify(token, s.Authority.Agent)
	if err != nil {
		return nil, err
	}
	// A fixed lease is for every run of its session.
	if c.Session != s.Session || c.Run != 0 && int64(c.Run) != s.Run {
		return nil, errOtherRun
	}
	return c, nil
}

// firstDeadline is when the run ends without a further lease. One that begins under a lease
// which its agent held before, as a fixed one, does not go on beyond that lease's length.
func (s *Spec) firstDeadline(now boottime.Stamp) (time.Duration, error) {
	if s.Lease == "" {
		return s.Deadline.At, nil
	}
	c, err := s.verify(s.Lease)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return min(s.Deadline.At, now.At+c.Length()), nil
}

// extend moves the deadline as a lease says.
func (g *guard) extend(l *Lease, now boottime.Stamp) (changed bool, err error) {
	deadline, generation := l.Deadline.At, l.Generation
	if deadline <= g.plan.Deadline() {
		// What is not signed shortens, and no more: a generation that it made up would put the
		// leases that follow behind.
		if c, err := g.spec.verify(l.Token); err != nil || c.Generation != generation {
			generation = g.plan.Generation()
		}
	} else {
		if l.Token == "" {
			return false, errNotSigned
		}
		if a := g.spec.Authority; a != nil && len(l.Keys) > 0 {
			keys, err := a.Keys.Adopt(l.Keys)
			if err != nil {
				return false, err
			}
			a.Keys = keys
		}
		c, err := g.spec.verify(l.Token)
		if err != nil {
			return false, err
		}
		at, ok := g.challenger.when(c.Challenge)
		if !ok {
			return false, errChallenge
		}
		if c.Generation != l.Generation {
			return false, fmt.Errorf("the lease is of generation %d", c.Generation)
		}
		deadline = min(deadline, at+c.Length())
	}
	changed = g.plan.Extend(now.At, deadline, generation)
	if changed {
		g.latest = max(g.latest, deadline)
		g.record(Event{Type: Extended, Deadline: g.deadline(), Generation: generation})
		g.notify.dismiss()
	}
	return changed, nil
}
