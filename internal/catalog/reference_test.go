package catalog

import (
	"errors"
	"strings"
	"testing"

	"leasehold/internal/invalid"
)

var someDigest = "sha256:" + strings.Repeat("0a", 32)

func TestPinnedReference(t *testing.T) {
	for _, tt := range []struct {
		reference string
		want      string // part of the message; "" for a right one
	}{
		{"ghcr.io/org/app@" + someDigest, ""},
		{"ghcr.io/org/app:1.2@" + someDigest, ""},
		{"127.0.0.1:5000/app@" + someDigest, ""},
		{"localhost/app@" + someDigest, ""},
		{"[::1]:5000/app@" + someDigest, ""},
		{"", "registry/repository@sha256:…"},
		{"ghcr.io/org/app", "must name a digest: ghcr.io/org/app@sha256:…"},
		{"ghcr.io/org/app:1.2", "instead of the tag 1.2, which can change: ghcr.io/org/app@sha256:…"},
		{"ghcr.io/org/app@sha512:" + strings.Repeat("0a", 64), "must name a SHA-256 digest"},
		{"ghcr.io/org/app@sha256:abc", "must be registry/repository@sha256:…"},
		{"ghcr.io/org/app@sha256:" + strings.Repeat("0A", 32), "must be registry/repository@sha256:…"},
		{"ghcr.io/org/app:not a tag@" + someDigest, "must be registry/repository@sha256:…"},
		{"ghcr.io/Org/app@" + someDigest, "must be registry/repository@sha256:…"},
		{"ghcr.io/../app@" + someDigest, "must be registry/repository@sha256:…"},
		{"user@ghcr.io/app@" + someDigest, "must be registry/repository@sha256:…"},
		{"app@" + someDigest, "must be registry/repository@sha256:…"},
		{"library/app@" + someDigest, "must begin with the registry's host name, as in registry.example.org/library/app@"},
		{"https://ghcr.io/org/app@" + someDigest, "without https://"},
		{"ghcr.io/" + strings.Repeat("a", 1000) + "@" + someDigest, "at most 1000"},
	} {
		ref, err := PinnedReference(tt.reference)
		switch {
		case tt.want == "" && (err != nil || ref.Reference != someDigest):
			t.Errorf("%q: %v, %v", tt.reference, ref, err)
		case tt.want != "" && (!errors.Is(err, ErrReference) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: %v, want %q", tt.reference, err, tt.want)
		}
	}
}

// The field's message is one for people, and a tag is told what would be right.
func TestReferenceField(t *testing.T) {
	d := method(func(d *DeliveryMethod) {
		d.Packages = []Package{{Type: OCI, Reference: "ghcr.io/org/app:1.2", Command: []string{"bin/app"}}}
	})
	var list invalid.Error
	if err := d.Validate(); !errors.As(err, &list) || len(list) != 1 || list[0].Name != "packages.0.reference" {
		t.Fatal(err)
	}
	want := "must name a digest instead of the tag 1.2, which can change: ghcr.io/org/app@sha256:…, as “leasehold package push” prints it"
	if list[0].Message != want {
		t.Errorf("%s", list[0].Message)
	}
	d.Packages[0].Reference = "ghcr.io/org/app@" + someDigest
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

// What is taken can be put into an address of the registry as it is.
func FuzzPinnedReference(f *testing.F) {
	for _, s := range []string{"ghcr.io/org/app@" + someDigest, "ghcr.io/org/app:1.2@" + someDigest, "[::1]:5000/a@" + someDigest, "a.b/c:d", "a.b/../c@" + someDigest, "a.b?/c@" + someDigest} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := PinnedReference(s)
		if err != nil {
			if !errors.Is(err, ErrReference) {
				t.Error(err)
			}
			return
		}
		again, err := PinnedReference(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q is read as %v, and that as %v, %v", s, ref, again, err)
		}
		if strings.ContainsAny(ref.Registry, "/@?#% \\") || strings.ContainsAny(ref.Repository, "@?#% \\:") || strings.Contains(ref.Repository, "..") || strings.HasPrefix(ref.Repository, "/") {
			t.Errorf("%q is read as %+v", s, ref)
		}
	})
}
