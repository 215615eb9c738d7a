package lease

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Signing keys take turns. A guard that was started before a key was made knows it by the
// endorsement of one that it knows: nobody else could tell it, because any process of the
// user can speak to it.

// audKey is the audience of an endorsement.
const audKey = "key"

type endorsement struct {
	jwt.RegisteredClaims
	Kid string `json:"kid"`
	X   string `json:"x"` // as in a JWK (RFC 8037)
}

// Endorse signs another key's public half, so that whoever knows k can know it.
func (k Key) Endorse(id string, key ed25519.PublicKey) (string, error) {
	return k.sign(endorsement{jwt.RegisteredClaims{Audience: jwt.ClaimStrings{audKey}}, id, base64.RawURLEncoding.EncodeToString(key)})
}

// Set returns the JWK set of the keys (RFC 7517), each with its endorsement, if it has one,
// in a member of our own.
func (ks Keys) Set(endorsements map[string]string) (json.RawMessage, error) {
	set := ks.set()
	for i := range set.Keys {
		set.Keys[i].Endorsement = endorsements[set.Keys[i].Kid]
	}
	return json.Marshal(set)
}

// Adopt returns the keys with those of a JWK set beside them which one that is known
// endorses, directly or through others of the set. What is not endorsed is passed over.
// It returns an error for what is no JWK set.
func (ks Keys) Adopt(set json.RawMessage) (Keys, error) {
	var in jwks
	if err := json.Unmarshal(set, &in); err != nil {
		return nil, fmt.Errorf("lease: keys: %w", err)
	}
	out := make(Keys, len(ks))
	for id, k := range ks {
		out[id] = k
	}
	for more := true; more; {
		more = false
		for _, k := range in.Keys {
			if _, known := out[k.Kid]; known || k.Endorsement == "" {
				continue
			}
			if id, key, err := out.endorsed(k.Endorsement); err == nil && id == k.Kid {
				out[id], more = key, true
			}
		}
	}
	return out, nil
}

// endorsed reads an endorsement by a known key.
func (ks Keys) endorsed(token string) (id string, key ed25519.PublicKey, err error) {
	var c endorsement
	if _, err := jwt.ParseWithClaims(token, &c, ks.find, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithoutClaimsValidation()); err != nil {
		return "", nil, fmt.Errorf("%w: %v", ErrForged, err)
	}
	x, err := base64.RawURLEncoding.DecodeString(c.X)
	if err != nil || len(x) != ed25519.PublicKeySize || len(c.Audience) != 1 || c.Audience[0] != audKey || c.Kid == "" {
		return "", nil, ErrForged
	}
	return c.Kid, x, nil
}
