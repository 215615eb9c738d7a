package main

import (
	"testing"

	"leasehold/internal/passwords"
)

// TestDemoPassword: each demo has a password of its own, which passes for one.
func TestDemoPassword(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := newDemoPassword()
		if seen[p] || len(p) != 12 || passwords.Check(p) != nil {
			t.Fatalf("%q", p)
		}
		seen[p] = true
	}
}
