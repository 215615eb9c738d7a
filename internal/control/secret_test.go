package control

import (
	"regexp"
	"testing"
)

func TestSecretIsNoFlag(t *testing.T) {
	word := regexp.MustCompile(`^[0-9a-f]{64}$`)
	seen := map[string]bool{}
	for range 500 {
		s, h := secret()
		if !word.MatchString(s) || seen[s] || len(h) != 32 {
			t.Fatalf("secret %q, hash of %d bytes", s, len(h))
		}
		seen[s] = true
	}
}
