package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"leasehold/internal/catalog"
)

// Media types of what [Push] makes. A device takes artefacts of any type, made by any
// tool, if their layers are gzipped tars: of the type
// application/vnd.oci.image.layer.v1.tar+gzip, which is also what Push makes, or Docker's
// application/vnd.docker.image.rootfs.diff.tar.gzip. The layers are unpacked into one
// folder, one after the other; no file may be in two of them.
const (
	// ArtefactType is the type of the artefact, and of the index over platforms.
	ArtefactType = "application/vnd.leasehold.package.v1"
	// ConfigType is the type of the artefact's config, which names its platform with the
	// fields of an image's config: {"architecture": …, "os": …, "variant": …}.
	ConfigType = "application/vnd.leasehold.package.config.v1+json"

	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// Limits on documents of a registry.
const (
	maxDocument = 4 << 20 // the size that registries have to take
	maxLayers   = 1000
	maxDepth    = 4 // of indexes in an index
)

// document is a manifest or an index. Which of them, its content says: what a server
// or a field calls it is not what the digest was looked up for.
type document struct {
	Manifests []ocispec.Descriptor `json:"manifests"` // of an index
	Config    ocispec.Descriptor   `json:"config"`    // of a manifest
	Layers    []ocispec.Descriptor `json:"layers"`
}

// source is a repository of a registry.
type source struct {
	base   string // address of the repository
	ref    registry.Reference
	client *auth.Client
}

// newSource returns the repository of a reference. Registries on this machine are spoken
// to by plain HTTP, all others by HTTPS.
func newSource(ref registry.Reference, client *http.Client) (*source, error) {
	c, err := authClient(client)
	if err != nil {
		return nil, err
	}
	scheme := "https"
	if plain(ref) {
		scheme = "http"
	}
	return &source{base: scheme + "://" + ref.Host() + "/v2/" + ref.Repository, ref: ref, client: c}, nil
}

func plain(ref registry.Reference) bool {
	u, err := url.Parse("http://" + ref.Registry)
	return err == nil && loopback(u.Hostname())
}

// authClient signs in to registries with what Docker's configuration of the current user
// has for them, helper programs included, and otherwise anonymously.
func authClient(client *http.Client) (*auth.Client, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("packages: credentials for registries: %w", err)
	}
	return &auth.Client{Client: client, Cache: auth.NewCache(), Credential: credentials.Credential(store)}, nil
}

// do sends a request to the repository.
func (s *source) do(req *http.Request) (*http.Response, error) {
	resp, err := s.client.Do(req.WithContext(auth.AppendRepositoryScope(req.Context(), s.ref, auth.ActionPull)))
	return resp, registryError(err)
}

// registryError marks what trying again does not heal.
func registryError(err error) error {
	var r *errcode.ErrorResponse
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return fmt.Errorf("%w: the registry wants credentials, and this user has none for it: %w", ErrRefused, err)
	case errors.Is(err, errdef.ErrNotFound), errors.As(err, &r) && !passing(r.StatusCode):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// bringOCI downloads the layers that this device needs into a folder, in order.
func (s *Store) bringOCI(ctx context.Context, p *catalog.Package, dir string, progress func(int)) ([]string, error) {
	ref, err := catalog.PinnedReference(p.Reference)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	src, err := newSource(ref, s.client)
	if err != nil {
		return nil, err
	}
	layers, total, err := s.resolve(ctx, src, strings.TrimPrefix(ref.Reference, "sha256:"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("packages: %w", err)
	}
	m := &meter{total: total, progress: progress}
	var files []string
	for _, l := range layers {
		file := filepath.Join(dir, l.Digest.Encoded())
		b := blob{url: src.base + "/blobs/" + l.Digest.String(), digest: l.Digest.Encoded(), size: l.Size, limit: s.Download, do: src.do}
		if err := s.download(ctx, b, file, m); err != nil {
			return nil, err
		}
		m.next()
		files = append(files, file)
	}
	return files, nil
}

// resolve finds the layers of what a digest names, and how many bytes they are.
func (s *Store) resolve(ctx context.Context, src *source, digest string) (layers []ocispec.Descriptor, total int64, err error) {
	chosen := false // by platform, from an index
	for range maxDepth {
		b, err := s.document(ctx, src, "manifests", digest)
		if err != nil {
			return nil, 0, err
		}
		var d document
		if err := json.Unmarshal(b, &d); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrBadArtefact, err)
		}
		switch {
		case len(d.Layers) > 0 && len(d.Manifests) > 0:
			return nil, 0, fmt.Errorf("%w: it is a manifest and an index at once", ErrBadArtefact)
		case len(d.Layers) > 0:
			if !chosen {
				if err := s.checkConfig(ctx, src, &d.Config); err != nil {
					return nil, 0, err
				}
			}
			total, err := s.checkLayers(d.Layers)
			return d.Layers, total, err
		case len(d.Manifests) == 0:
			return nil, 0, fmt.Errorf("%w: it has no layers", ErrBadArtefact)
		}
		next, err := s.platform.choose(d.Manifests)
		if err != nil {
			return nil, 0, err
		}
		if err := checkDigest(next); err != nil {
			return nil, 0, err
		}
		chosen, digest = true, next.Digest.Encoded()
	}
	return nil, 0, fmt.Errorf("%w: its indexes are nested too deep", ErrBadArtefact)
}

// checkConfig looks whether an artefact that was not chosen by its platform is for it.
func (s *Store) checkConfig(ctx context.Context, src *source, config *ocispec.Descriptor) error {
	switch config.MediaType {
	case ConfigType, ocispec.MediaTypeImageConfig, dockerConfig:
	default:
		return nil // of another tool, that says nothing of platforms
	}
	if err := checkDigest(config); err != nil {
		return err
	}
	b, err := s.document(ctx, src, "blobs", config.Digest.Encoded())
	if err != nil {
		return err
	}
	var p ocispec.Platform
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("%w: its config: %w", ErrBadArtefact, err)
	}
	return s.platform.check(&p)
}

// checkLayers refuses layers that could not be unpacked before any is downloaded.
func (s *Store) checkLayers(layers []ocispec.Descriptor) (total int64, err error) {
	if len(layers) > maxLayers {
		return 0, fmt.Errorf("%w: it has more than %d layers", ErrTooLarge, maxLayers)
	}
	for i := range layers {
		l := &layers[i]
		if l.MediaType != ocispec.MediaTypeImageLayerGzip && l.MediaType != dockerLayer {
			return 0, fmt.Errorf("%w: it has a layer of type %q; it must be %s", ErrBadArtefact, l.MediaType, ocispec.MediaTypeImageLayerGzip)
		}
		if err := checkDigest(l); err != nil {
			return 0, err
		}
		if l.Size < 0 || l.Size > s.Download-total {
			return 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, s.Download)
		}
		total += l.Size
	}
	return total, nil
}

func checkDigest(d *ocispec.Descriptor) error {
	if hex, found := strings.CutPrefix(string(d.Digest), "sha256:"); !found || !digestLike(hex) {
		return fmt.Errorf("%w: it names something by %q, which is not a SHA-256 digest", ErrBadArtefact, d.Digest)
	}
	return nil
}

// document fetches a small document and checks its digest.
func (s *Store) document(ctx context.Context, src *source, kind, digest string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, max(s.stall, time.Second), errStalled)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src.base+"/"+kind+"/sha256:"+digest, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	if kind == "manifests" {
		// Registries keep what they are not asked for to themselves.
		req.Header.Set("Accept", strings.Join([]string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, dockerList, dockerManifest}, ", "))
	}
	resp, err := src.do(req)
	if err != nil {
		return nil, stalled(ctx, fmt.Errorf("ask the registry for the package: %w", err))
	}
	defer resp.Body.Close()
	if err := checkStatus(resp); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, stalled(ctx, fmt.Errorf("ask the registry for the package: %w", err))
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%w: a document of the registry has more than %d bytes", ErrTooLarge, maxDocument)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%w: a document of the registry is %x, and %s was expected", ErrDigest, sum, digest)
	}
	return b, nil
}
