package lease

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrForged: a lease or ticket is not signed by a key that the verifier knows, or is for
// somebody else.
var ErrForged = errors.New("lease: not signed by a known key, or for somebody else")

// Claims are what a signed lease says: who may run what where, and for how long. The
// length counts, from the agent's sending of the request; the times in it are for people.
type Claims struct {
	jwt.RegisteredClaims
	Session        int64  `json:"session"`
	Agent          int64  `json:"agent"`
	DeliveryMethod int64  `json:"dm"`
	Generation     uint64 `json:"gen"`
	Run            uint32 `json:"run,omitempty"`
	LengthSeconds  int64  `json:"len"`
	// Challenge is what the guard of the run gave out when it was asked for; it tells by it
	// when that was. "" in leases for agents of the version before.
	Challenge string `json:"chal,omitempty"`
}

// longest bounds what is believed of a lease's length, so that no sum of times overflows.
const longest = 10 * 365 * 24 * time.Hour

// Length is how long the lease is, from the moment in which it was asked for; at most ten
// years.
func (c *Claims) Length() time.Duration {
	return time.Duration(min(c.LengthSeconds, int64(longest/time.Second))) * time.Second
}

// Audiences keep a token of one purpose from being taken for another.
const (
	audLease  = "lease"
	audTicket = "ticket"
)

// Key is a signing key of the servers.
type Key struct {
	ID      string
	Private ed25519.PrivateKey
}

// NewKey makes a signing key.
func NewKey() (Key, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("lease: new key: %w", err)
	}
	id := make([]byte, 8)
	rand.Read(id)
	return Key{ID: base64.RawURLEncoding.EncodeToString(id), Private: priv}, nil
}

// Sign signs a grant for the agent, with the challenge that its check-in showed. issued is
// the wall time of the grant, for people.
func (k Key) Sign(g *Grant, agent int64, length time.Duration, challenge string, issued time.Time) (string, error) {
	return k.sign(Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Audience: jwt.ClaimStrings{audLease},
			IssuedAt: jwt.NewNumericDate(issued),
		},
		Session: g.Session, Agent: agent, DeliveryMethod: g.DeliveryMethod,
		Generation: g.Generation, Run: g.Run, LengthSeconds: int64(length / time.Second), Challenge: challenge,
	})
}

func (k Key) sign(c jwt.Claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["kid"] = k.ID
	s, err := t.SignedString(k.Private)
	if err != nil {
		return "", fmt.Errorf("lease: sign: %w", err)
	}
	return s, nil
}

// Keys are the public keys that a verifier knows, by id.
type Keys map[string]ed25519.PublicKey

func (ks Keys) find(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	k, ok := ks[id]
	if !ok {
		return nil, fmt.Errorf("unknown key %q", id)
	}
	return k, nil
}

// Verify checks a signed lease without the network: EdDSA by a known key, for this agent.
// Every failure is [ErrForged].
func (ks Keys) Verify(token string, agent int64) (*Claims, error) {
	var c Claims
	_, err := jwt.ParseWithClaims(token, &c, ks.find, jwt.WithValidMethods([]string{"EdDSA"}),
		jwt.WithAudience(audLease), jwt.WithoutClaimsValidation())
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrForged, err)
	}
	if len(c.Audience) != 1 || c.Audience[0] != audLease || c.Agent != agent || c.LengthSeconds <= 0 {
		return nil, ErrForged
	}
	return &c, nil
}

// TicketLife is how long a launch ticket can first be redeemed.
const TicketLife = 10 * time.Minute

// ErrTicketOver: the launch ticket's time is over.
var ErrTicketOver = errors.New("lease: the launch link is too old")

// SignTicket signs a launch ticket for a session, good from now for TicketLife.
func (k Key) SignTicket(session int64, now time.Time) (string, error) {
	return k.sign(jwt.RegisteredClaims{
		Audience:  jwt.ClaimStrings{audTicket},
		Subject:   strconv.FormatInt(session, 10),
		ExpiresAt: jwt.NewNumericDate(now.Add(TicketLife)),
	})
}

// VerifyTicket returns the session that a launch ticket is for, and whether its time is
// over by now: the device that redeemed it before may redeem it again even then.
// It returns [ErrForged] for anything but a ticket that was signed here.
func (ks Keys) VerifyTicket(token string, now time.Time) (session int64, over bool, err error) {
	var c jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(token, &c, ks.find, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithoutClaimsValidation())
	if err != nil {
		return 0, false, fmt.Errorf("%w: %v", ErrForged, err)
	}
	session, err = strconv.ParseInt(c.Subject, 10, 64)
	if err != nil || len(c.Audience) != 1 || c.Audience[0] != audTicket || c.ExpiresAt == nil {
		return 0, false, ErrForged
	}
	return session, !now.Before(c.ExpiresAt.Time), nil
}

type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	// Endorsement is a member of our own; others pass over it (RFC 7517, 4).
	Endorsement string `json:"leasehold_endorsement,omitempty"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// MarshalJSON writes the keys as a JWK set (RFC 7517, RFC 8037).
func (ks Keys) MarshalJSON() ([]byte, error) { return json.Marshal(ks.set()) }

func (ks Keys) set() jwks {
	set := jwks{Keys: []jwk{}}
	for _, id := range slices.Sorted(maps.Keys(ks)) {
		set.Keys = append(set.Keys, jwk{Kty: "OKP", Crv: "Ed25519", X: base64.RawURLEncoding.EncodeToString(ks[id]), Kid: id, Use: "sig", Alg: "EdDSA"})
	}
	return set
}

// UnmarshalJSON reads a JWK set; keys of other kinds are passed over.
func (ks *Keys) UnmarshalJSON(b []byte) error {
	var set jwks
	if err := json.Unmarshal(b, &set); err != nil {
		return err
	}
	*ks = Keys{}
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if k.Kty != "OKP" || k.Crv != "Ed25519" {
			continue
		}
		if err != nil || len(x) != ed25519.PublicKeySize {
			return fmt.Errorf("lease: key %q is not an Ed25519 key", k.Kid)
		}
		(*ks)[k.Kid] = x
	}
	return nil
}
