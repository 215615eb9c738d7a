package packages

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"leasehold/internal/catalog"
	"leasehold/internal/invalid"
)

// Build says what a folder is to become.
type Build struct {
	OS, Arch string // as GOOS and GOARCH; "" for those of this machine
	Variant  string // of the architecture, as v7 of arm; "" for any
	// Command is the program, relative to the folder, and its arguments. It may be left
	// out if there is just one program in the folder.
	Command []string
	Client  *http.Client // nil for a plain one
}

// Pushed is what became of a folder.
type Pushed struct {
	Package   catalog.Package // for a delivery method, with the pinned reference
	Platforms []string        // that the tag has now, as os/arch
}

var (
	systems       = []string{"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd"}
	architectures = []string{"amd64", "arm64", "386", "arm", "loong64", "ppc64le", "riscv64", "s390x"}
)

// Push makes an artefact from a folder and puts it into a registry, under a tag whose index
// has one artefact for each platform: a platform that the tag has already is replaced, and
// the others stay. Two pushes to one tag must not be made at once, because registries
// cannot say that an index has changed since it was read.
//
// The same folder has the same digest every time. An [invalid.Error] names the input that
// is not right: reference, folder, os, arch, variant or command.
func Push(ctx context.Context, reference, folder string, b Build) (*Pushed, error) {
	ref, err := tagged(reference)
	if err != nil {
		return nil, err
	}
	b.OS, b.Arch = cmp.Or(b.OS, runtime.GOOS), cmp.Or(b.Arch, runtime.GOARCH)
	var e invalid.Error
	e.OneOf("os", b.OS, systems...)
	e.OneOf("arch", b.Arch, architectures...)
	if b.Variant != "" && (len(b.Variant) > 10 || !strings.HasPrefix(b.Variant, "v")) {
		e.Add("variant", "must be one of the architecture, as v7 of arm or v3 of amd64")
	}
	if err := e.Err(); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "leasehold-package-")
	if err != nil {
		return nil, fmt.Errorf("make a package: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	sum := sha256.New()
	l, err := writeLayer(ctx, io.MultiWriter(file, sum), folder, DefaultLimits)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("make a package: %w", err)
	}
	if size > DefaultLimits.Download {
		return nil, fmt.Errorf("%w: %d bytes, and a device takes at most %d", ErrTooLarge, size, DefaultLimits.Download)
	}
	if b.Command, err = l.command(b); err != nil {
		return nil, err
	}
	repo, err := repository(ref, b.Client)
	if err != nil {
		return nil, err
	}
	blob := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.NewDigest(digest.SHA256, sum), Size: size}
	p := &ocispec.Platform{OS: b.OS, Architecture: b.Arch, Variant: b.Variant}
	index, err := push(ctx, repo, ref.Reference, p, blob, file)
	if err != nil {
		return nil, fmt.Errorf("push to %s: %w", ref, err)
	}
	pinned := ref
	pinned.Reference = index.digest
	out := &Pushed{Package: catalog.Package{OS: b.OS, Arch: b.Arch, Type: catalog.OCI, Reference: pinned.String(), Command: b.Command}}
	for _, m := range index.Manifests {
		out.Platforms = append(out.Platforms, name(m.Platform))
	}
	return out, nil
}

// tagged reads the reference of a tag.
func tagged(s string) (registry.Reference, error) {
	const right = "must be registry/repository:tag, as ghcr.io/example/app:1.2"
	ref, err := registry.ParseReference(s)
	switch {
	case strings.Contains(s, "://"):
		return ref, invalid.Of("reference", right+", without https://")
	case err != nil:
		return ref, invalid.Of("reference", right+": %v", err)
	case strings.Contains(s, "@"):
		return ref, invalid.Of("reference", right+": the digest is what comes of it")
	case ref.Reference == "":
		return ref, invalid.Of("reference", right+": it names no tag")
	case !strings.ContainsAny(ref.Registry, ".:") && ref.Registry != "localhost":
		return ref, invalid.Of("reference", right+": %s is no host name of a registry", ref.Registry)
	}
	return ref, nil
}

// command checks what is to be run, or finds it.
func (l *layer) command(b Build) ([]string, error) {
	programs := l.programs
	if b.OS == "windows" {
		programs = nil
		for f := range l.files {
			if strings.EqualFold(path.Ext(f), ".exe") {
				programs = append(programs, f)
			}
		}
		slices.Sort(programs)
	}
	const right = "must name the program in the folder, as bin/app"
	switch {
	case len(b.Command) > 0 && l.files[path.Clean(b.Command[0])]:
		return b.Command, nil
	case len(b.Command) > 0:
		return nil, invalid.Of("command", right+"; there is no file %s%s", b.Command[0], some(programs))
	case len(programs) == 1:
		return programs, nil
	}
	return nil, invalid.Of("command", right+"%s", some(programs))
}

// some names the first programs that are there, for a message.
func some(programs []string) string {
	if len(programs) == 0 {
		return ""
	}
	s := "; there is " + strings.Join(programs[:min(len(programs), 5)], ", ")
	if len(programs) > 5 {
		s += fmt.Sprintf(" and %d more", len(programs)-5)
	}
	return s
}

// repository is where artefacts are pushed to.
func repository(ref registry.Reference, client *http.Client) (*remote.Repository, error) {
	if client == nil {
		client = &http.Client{}
	}
	c, err := authClient(secured(client))
	if err != nil {
		return nil, err
	}
	return &remote.Repository{Client: c, Reference: ref, PlainHTTP: plain(ref)}, nil
}

// index is an index and its digest.
type index struct {
	ocispec.Index
	digest string
}

// push puts a layer, its manifest and the tag's new index into the repository, in this
// order, so that the tag never names what is not there.
func push(ctx context.Context, repo *remote.Repository, tag string, p *ocispec.Platform, layer ocispec.Descriptor, file io.ReadSeeker) (*index, error) {
	list, err := tagIndex(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	there, err := repo.Blobs().Exists(ctx, layer)
	if err != nil {
		return nil, err
	}
	if !there {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		if err := repo.Blobs().Push(ctx, layer, file); err != nil {
			return nil, err
		}
	}
	config, b, err := describe(ConfigType, p)
	if err != nil {
		return nil, err
	}
	if err := repo.Blobs().Push(ctx, config, bytes.NewReader(b)); err != nil {
		return nil, err
	}
	manifest, b, err := describe(ocispec.MediaTypeImageManifest, &ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: ArtefactType, Config: config, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return nil, err
	}
	if err := repo.Manifests().Push(ctx, manifest, bytes.NewReader(b)); err != nil {
		return nil, err
	}
	manifest.ArtifactType, manifest.Platform = ArtefactType, p
	list = slices.DeleteFunc(list, func(d ocispec.Descriptor) bool { return name(d.Platform) == name(p) })
	list = append(list, manifest)
	// In whichever order platforms were pushed, the index is the same.
	slices.SortFunc(list, func(a, b ocispec.Descriptor) int { return cmp.Compare(name(a.Platform), name(b.Platform)) })
	out := &index{Index: ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, ArtifactType: ArtefactType, Manifests: list,
	}}
	d, b, err := describe(ocispec.MediaTypeImageIndex, &out.Index)
	if err != nil {
		return nil, err
	}
	out.digest = d.Digest.String()
	return out, repo.PushReference(ctx, d, bytes.NewReader(b), tag)
}

// tagIndex returns what a tag has. One that holds anything else than our index is left alone.
func tagIndex(ctx context.Context, repo *remote.Repository, tag string) ([]ocispec.Descriptor, error) {
	d, r, err := repo.Manifests().FetchReference(ctx, tag)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%w: what the tag names has %d bytes", ErrTooLarge, d.Size)
	}
	b, err := content.ReadAll(r, d)
	if err != nil {
		return nil, err
	}
	var i ocispec.Index
	if err := json.Unmarshal(b, &i); err != nil {
		return nil, fmt.Errorf("what the tag names cannot be read: %w", err)
	}
	if i.ArtifactType != ArtefactType || slices.ContainsFunc(i.Manifests, func(d ocispec.Descriptor) bool { return d.Platform == nil }) {
		return nil, invalid.Of("reference", "must name a tag that is new or holds a package; %s holds something else (%s)", tag, cmp.Or(i.ArtifactType, d.MediaType))
	}
	return i.Manifests, nil
}

// describe encodes a document.
func describe(mediaType string, v any) (ocispec.Descriptor, []byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return content.NewDescriptorFromBytes(mediaType, b), b, nil
}
