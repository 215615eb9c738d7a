package web

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// A secret that is shown once, a new key or token, is shown by the page that a form's answer
// leads to, so that loading that page again makes no second one. Meanwhile it is in the
// browser session, and so in the database, under a key that only the browser's cookie has:
// the database knows no more than the cookie's hash.

// sealer is the cipher for a browser session's secrets of a kind.
func (s *Server) sealer(ctx context.Context, kind string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(s.sessions.Token(ctx)), nil, "leasehold sealed "+kind, 32)
	if err != nil {
		return nil, fmt.Errorf("web: seal: %w", err)
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("web: seal: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(b)
}

// putSecret keeps a secret of a kind for the next page that takes it.
func (c *call) putSecret(kind, secret string) error {
	a, err := c.sealer(c.r.Context(), kind)
	if err != nil {
		return err
	}
	c.sessions.Put(c.r.Context(), keySealed+kind, base64.StdEncoding.EncodeToString(a.Seal(nil, nil, []byte(secret), nil)))
	return nil
}

// takeSecret returns the secret of a kind that was kept, once; "" if none was. The answer must
// not be stored anywhere then.
func (c *call) takeSecret(kind string) string {
	text := c.sessions.PopString(c.r.Context(), keySealed+kind)
	if text == "" {
		return ""
	}
	c.w.Header().Set("Cache-Control", "no-store")
	a, err := c.sealer(c.r.Context(), kind)
	if err != nil {
		return ""
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	secret, err := a.Open(nil, nil, b, nil)
	if err != nil {
		return "" // it was sealed for another cookie
	}
	return string(secret)
}
