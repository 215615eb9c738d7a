// Package packages adds apps to a device: programs that are there already, archives, and
// artefacts of OCI registries. The last two are downloaded, checked against their digest
// before anything of them is unpacked, and unpacked into a folder of their own. A download
// that was cut short, also by the end of the agent, goes on where it was.
//
// A package is what somebody else wrote. Nothing in it may end up outside its folder, be
// anything but a plain file, a folder or a link that stays inside, or grow beyond limits;
// one that tries is refused as a whole, and nothing of it is left.
//
// [Push] makes an artefact from a folder.
package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"leasehold/internal/catalog"
)

// Errors of this package; compare with errors.Is. None of them is healed by trying again.
var (
	ErrNone        = errors.New("there is no package of this app for this platform")
	ErrPlatform    = errors.New("the artefact has nothing for this platform")
	ErrNoProgram   = errors.New("the program is not on this device")
	ErrDigest      = errors.New("the package's digest is not the right one")
	ErrTooLarge    = errors.New("the package is too large")
	ErrUnsafe      = errors.New("the package holds what it must not")
	ErrBadArchive  = errors.New("the package cannot be unpacked")
	ErrBadArtefact = errors.New("this is no package: it must be an OCI artefact of tar+gzip layers")
	ErrBadAddress  = errors.New("the package's address is not right: it must be https:// (http:// for loopback only), or registry/repository@sha256:…")
	ErrRefused     = errors.New("the package is not to be had")
)

// finals are all of them.
var finals = []error{ErrNone, ErrPlatform, ErrNoProgram, ErrDigest, ErrTooLarge, ErrUnsafe, ErrBadArchive, ErrBadArtefact, ErrBadAddress, ErrRefused}

// Limits on a package.
type Limits struct {
	Download int64 // bytes of the archive, or of the artefact's layers
	Bytes    int64 // of all that is in it
	Files    int   // entries, folders included
}

// DefaultLimits fit the largest desktop apps.
var DefaultLimits = Limits{Download: 8 << 30, Bytes: 32 << 30, Files: 500_000}

// Store is the packages of a device, in one folder.
type Store struct {
	Limits
	dir      string
	client   *http.Client
	platform platform
	stall    time.Duration // a server may be silent for so long

	mu   sync.Mutex
	busy map[string]chan struct{} // digests that are being added
}

// New returns the store of a folder, which it makes when it is needed. The zero client
// means a plain one.
func New(dir string, client *http.Client) *Store {
	if client == nil {
		client = &http.Client{}
	}
	return &Store{Limits: DefaultLimits, dir: dir, client: secured(client), platform: here(), stall: time.Minute, busy: map[string]chan struct{}{}}
}

// secured returns a client that sends nothing over plain HTTP, whoever redirects it there
// or names the address: a registry, say, of where to sign in.
func secured(client *http.Client) *http.Client {
	c := *client
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	c.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if err := checkURL(r.URL); err != nil {
			return nil, err
		}
		return base.RoundTrip(r)
	})
	return &c
}

type transport func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func checkURL(u *url.URL) error {
	if u.Scheme == "https" && u.Host != "" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBadAddress, u.Redacted())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Add adds a package, once for each digest. progress is told how much of it is there, in
// percent.
func (s *Store) Add(ctx context.Context, p *catalog.Package, progress func(percent int)) error {
	if p == nil {
		return ErrNone
	}
	switch p.Type {
	case catalog.Command:
		_, err := program(p)
		return err
	case catalog.Archive, catalog.OCI:
		return s.add(ctx, p, progress)
	}
	return fmt.Errorf("%w: of type %q", ErrNone, p.Type)
}

// program finds the program of a command package: by its absolute path or on PATH.
func program(p *catalog.Package) (string, error) {
	if len(p.Command) == 0 {
		return "", fmt.Errorf("%w: no command", ErrNoProgram)
	}
	name := p.Command[0]
	if !filepath.IsAbs(name) && name != filepath.Base(name) {
		return "", fmt.Errorf("%w: %s is neither an absolute path nor a name on PATH", ErrNoProgram, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoProgram, err)
	}
	return path, nil
}

// Command returns what is run of a package that was added, and in which folder: "" is the
// caller's choice.
func (s *Store) Command(p *catalog.Package) (argv []string, dir string, err error) {
	if p == nil {
		return nil, "", ErrNone
	}
	switch p.Type {
	case catalog.Command:
		path, err := program(p)
		if err != nil {
			return nil, "", err
		}
		return append([]string{path}, p.Command[1:]...), "", nil
	case catalog.Archive, catalog.OCI:
		key, err := keyOf(p)
		if err != nil {
			return nil, "", err
		}
		dir := s.folder(key)
		path, err := inside(dir, p)
		if err != nil {
			return nil, "", err
		}
		return append([]string{path}, p.Command[1:]...), dir, nil
	}
	return nil, "", fmt.Errorf("%w: of type %q", ErrNone, p.Type)
}

// inside finds the program of a package that was unpacked.
func inside(dir string, p *catalog.Package) (string, error) {
	if len(p.Command) == 0 || !filepath.IsLocal(filepath.FromSlash(p.Command[0])) {
		return "", fmt.Errorf("%w: the command must name a file in the package", ErrNoProgram)
	}
	path := filepath.Join(dir, filepath.FromSlash(p.Command[0]))
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: there is no file %s in the package", ErrNoProgram, p.Command[0])
	}
	return path, nil
}

// keyOf is the digest that a package is kept under.
func keyOf(p *catalog.Package) (string, error) {
	switch p.Type {
	case catalog.Archive:
		if !digestLike(p.SHA256) {
			return "", fmt.Errorf("%w: %q is not a SHA-256 in lower-case hex", ErrDigest, p.SHA256)
		}
		return p.SHA256, nil
	case catalog.OCI:
		ref, err := catalog.PinnedReference(p.Reference)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrBadAddress, err)
		}
		return strings.TrimPrefix(ref.Reference, "sha256:"), nil
	}
	return "", fmt.Errorf("%w: of type %q", ErrNone, p.Type)
}

// Beside the folder of a package, while it is added: what was downloaded of it, and what
// was unpacked.
const (
	part  = ".part"
	fresh = ".new"
)

func (s *Store) folder(key string) string { return filepath.Join(s.dir, key) }

// Remove removes a package from the device, or what there is of it, unless one of others
// needs it too. others is asked while nobody adds this package, so that none is removed
// that has just been added.
func (s *Store) Remove(p *catalog.Package, others func() []*catalog.Package) error {
	if p == nil {
		return nil
	}
	key, err := keyOf(p)
	if err != nil {
		return nil // nothing was ever added
	}
	defer s.take(key)()
	for _, o := range others() {
		if o == nil {
			continue
		}
		if k, err := keyOf(o); err == nil && k == key {
			return nil
		}
	}
	return errors.Join(os.RemoveAll(s.folder(key)), os.RemoveAll(s.folder(key)+part), os.RemoveAll(s.folder(key)+fresh))
}

func digestLike(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// take makes the caller the only one at work on a digest, until it calls what is returned.
func (s *Store) take(digest string) (release func()) {
	for {
		s.mu.Lock()
		other := s.busy[digest]
		if other == nil {
			mine := make(chan struct{})
			s.busy[digest] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, digest)
				s.mu.Unlock()
				close(mine)
			}
		}
		s.mu.Unlock()
		<-other
	}
}

// add downloads, checks and unpacks a package, each into a temporary place, so that its
// folder is there whole or not at all.
func (s *Store) add(ctx context.Context, p *catalog.Package, progress func(int)) (err error) {
	key, err := keyOf(p)
	if err != nil {
		return err
	}
	defer s.take(key)()
	folder, parts, unpacked := s.folder(key), s.folder(key)+part, s.folder(key)+fresh
	if _, err := os.Stat(folder); err == nil {
		_, err := inside(folder, p)
		return errors.Join(err, os.RemoveAll(parts))
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	// Only we work on this digest: what is there is left from a crash.
	if err := os.RemoveAll(unpacked); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(unpacked))
		if err == nil || Final(err) {
			err = errors.Join(err, os.RemoveAll(parts))
		}
	}()
	bring := s.bringArchive
	if p.Type == catalog.OCI {
		bring = s.bringOCI
	}
	files, err := bring(ctx, p, parts, progress)
	if err != nil {
		return err
	}
	if err := unpack(ctx, files, unpacked, s.Limits); err != nil {
		return err
	}
	program, err := inside(unpacked, p)
	if err != nil {
		return err
	}
	// Zip archives made on Windows carry no modes.
	if err := os.Chmod(program, 0o700); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	if err := os.Rename(unpacked, folder); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	return nil
}

// bringArchive downloads an archive into a file.
func (s *Store) bringArchive(ctx context.Context, p *catalog.Package, file string, progress func(int)) ([]string, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	b := blob{url: u.String(), digest: p.SHA256, size: -1, limit: s.Download, do: s.client.Do}
	return []string{file}, s.download(ctx, b, file, &meter{progress: progress})
}

// Final reports whether an error of this package is not healed by trying again.
func Final(err error) bool {
	return slices.ContainsFunc(finals, func(e error) bool { return errors.Is(err, e) })
}
