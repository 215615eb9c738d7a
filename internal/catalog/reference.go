package catalog

import (
	"errors"
	"fmt"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// ErrReference marks a reference that is not one to a digest in an OCI registry.
var ErrReference = errors.New("not a pinned reference")

// PinnedReference reads the reference of an OCI package: registry/repository@sha256:….
// A tag alone is none, because what it names can change after somebody has looked at it.
// The error wraps ErrReference and says what would be right.
func PinnedReference(s string) (registry.Reference, error) {
	bad := func(format string, args ...any) (registry.Reference, error) {
		return registry.Reference{}, fmt.Errorf("%w: it "+format, append([]any{ErrReference}, args...)...)
	}
	if s == "" || len(s) > 1000 {
		return bad("must be registry/repository@sha256:…, of at most 1000 characters")
	}
	if strings.Contains(s, "://") {
		return bad("must be registry/repository@sha256:…, without %s://", s[:strings.Index(s, "://")])
	}
	if tag, _, found := strings.Cut(s, "@"); found {
		// The parser drops a tag before a digest unseen. Whatever it is, it must be a tag.
		if _, err := registry.ParseReference(tag); err != nil {
			return bad("must be registry/repository@sha256:…: %w", err)
		}
	}
	ref, err := registry.ParseReference(s)
	if err != nil {
		return bad("must be registry/repository@sha256:…: %w", err)
	}
	// As everywhere with such references; library/app would be a machine named library.
	if !strings.ContainsAny(ref.Registry, ".:") && ref.Registry != "localhost" {
		return bad("must begin with the registry's host name, as in registry.example.org/%s/%s@sha256:…", ref.Registry, ref.Repository)
	}
	sum, found := strings.CutPrefix(ref.Reference, "sha256:")
	switch {
	case ref.Reference == "":
		return bad("must name a digest: %s/%s@sha256:…, as “leasehold package push” prints it", ref.Registry, ref.Repository)
	case !strings.Contains(ref.Reference, ":"):
		return bad("must name a digest instead of the tag %s, which can change: %s/%s@sha256:…, as “leasehold package push” prints it", ref.Reference, ref.Registry, ref.Repository)
	case !found || !digest.MatchString(sum):
		return bad("must name a SHA-256 digest, in lower-case hex: %s/%s@sha256:…", ref.Registry, ref.Repository)
	}
	return ref, nil
}
