package directory

import "slices"

// Scope is what the bearer of an API token may do of what its user may.
type Scope string

const (
	ScopeRead  Scope = "read"  // look
	ScopeWrite Scope = "write" // look and change
)

// Scopes are those of a token.
type Scopes []Scope

// AllScopes is every scope.
func AllScopes() Scopes { return Scopes{ScopeRead, ScopeWrite} }

// Allow reports whether the scopes let an HTTP request of a method pass: one that changes
// nothing (RFC 9110, section 9.2.1) with any of them, all others with ScopeWrite. It is the
// one rule of scopes.
func (s Scopes) Allow(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS":
		return len(s) > 0
	}
	return slices.Contains(s, ScopeWrite)
}
