// Package packages adds apps to a device: programs that are there already, and archives
// that are downloaded, checked against their digest before anything of them is unpacked,
// and unpacked into a folder of their own.
//
// An archive is what somebody else wrote. Nothing in it may end up outside its folder, be
// anything but a plain file, a folder or a link that stays inside, or grow beyond limits;
// one that tries is refused as a whole, and nothing of it is left.
package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"leasehold/internal/catalog"
)

// Errors of this package; compare with errors.Is. None of them is healed by trying again.
var (
	ErrNone         = errors.New("there is no package of this app for this platform")
	ErrNotSupported = errors.New("packages from an OCI registry are not supported yet")
	ErrNoProgram    = errors.New("the program is not on this device")
	ErrDigest       = errors.New("the archive's digest is not the right one")
	ErrTooLarge     = errors.New("the archive is too large")
	ErrUnsafe       = errors.New("the archive holds what it must not")
	ErrBadArchive   = errors.New("the archive cannot be read")
	ErrBadAddress   = errors.New("the archive's address must be https:// (http:// for loopback only)")
	ErrRefused      = errors.New("the archive is not to be had")
)

// Limits on an archive.
type Limits struct {
	Download int64 // bytes of the archive
	Bytes    int64 // of all that is in it
	Files    int   // entries, folders included
}

// DefaultLimits fit the largest desktop apps.
var DefaultLimits = Limits{Download: 8 << 30, Bytes: 32 << 30, Files: 500_000}

// Store is the packages of a device, in one folder.
type Store struct {
	Limits
	dir    string
	client *http.Client

	mu   sync.Mutex
	busy map[string]chan struct{} // digests that are being added
}

// New returns the store of a folder, which it makes when it is needed. The zero client
// means a plain one.
func New(dir string, client *http.Client) *Store {
	if client == nil {
		client = &http.Client{}
	}
	c := *client
	// What was asked for by https is not to come over http.
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 10 {
			return errors.New("too many redirects")
		}
		return checkURL(r.URL)
	}
	return &Store{Limits: DefaultLimits, dir: dir, client: &c, busy: map[string]chan struct{}{}}
}

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
	case catalog.Archive:
		return s.addArchive(ctx, p, progress)
	case catalog.OCI:
		return ErrNotSupported
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
	case catalog.Archive:
		dir := s.folder(p)
		path, err := inside(dir, p)
		if err != nil {
			return nil, "", err
		}
		return append([]string{path}, p.Command[1:]...), dir, nil
	}
	return nil, "", ErrNotSupported
}

// inside finds the program of an archive that was unpacked.
func inside(dir string, p *catalog.Package) (string, error) {
	if len(p.Command) == 0 || !filepath.IsLocal(filepath.FromSlash(p.Command[0])) {
		return "", fmt.Errorf("%w: the command must name a file in the archive", ErrNoProgram)
	}
	path := filepath.Join(dir, filepath.FromSlash(p.Command[0]))
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: there is no file %s in the archive", ErrNoProgram, p.Command[0])
	}
	return path, nil
}

func (s *Store) folder(p *catalog.Package) string { return filepath.Join(s.dir, p.SHA256) }

// Remove removes a package from the device, unless one of others needs it too. others is
// asked while nobody adds this package, so that none is removed that has just been added.
func (s *Store) Remove(p *catalog.Package, others func() []*catalog.Package) error {
	if p == nil || p.Type != catalog.Archive || !digestLike(p.SHA256) {
		return nil
	}
	defer s.take(p.SHA256)()
	for _, o := range others() {
		if o != nil && o.Type == catalog.Archive && o.SHA256 == p.SHA256 {
			return nil
		}
	}
	return os.RemoveAll(s.folder(p))
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

// addArchive downloads, checks and unpacks an archive, each into a temporary place, so
// that its folder is there whole or not at all.
func (s *Store) addArchive(ctx context.Context, p *catalog.Package, progress func(int)) (err error) {
	if !digestLike(p.SHA256) {
		return fmt.Errorf("%w: %q is not a SHA-256 in lower-case hex", ErrDigest, p.SHA256)
	}
	defer s.take(p.SHA256)()
	if _, err := os.Stat(s.folder(p)); err == nil {
		_, err := inside(s.folder(p), p)
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	// Only we work on this digest: what is there is left from a crash.
	file, unpacked := filepath.Join(s.dir, p.SHA256+".part"), filepath.Join(s.dir, p.SHA256+".new")
	if err := os.RemoveAll(unpacked); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(unpacked), os.RemoveAll(file)) }()
	if err := s.download(ctx, p, file, progress); err != nil {
		return err
	}
	if err := unpack(ctx, file, unpacked, s.Limits); err != nil {
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
	if err := os.Rename(unpacked, s.folder(p)); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	return nil
}

// download fetches the archive and checks its digest.
func (s *Store) download(ctx context.Context, p *catalog.Package, file string, progress func(int)) error {
	u, err := url.Parse(p.URL)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	if err := checkURL(u); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("download the archive: %w", err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("download the archive: the server answered %s", resp.Status)
	default:
		return fmt.Errorf("%w: the server answered %s", ErrRefused, resp.Status)
	}
	if resp.ContentLength > s.Download {
		return fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, resp.ContentLength, s.Download)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	sum := sha256.New()
	meter := &meter{total: resp.ContentLength, progress: progress}
	n, err := io.Copy(io.MultiWriter(f, sum, meter), io.LimitReader(resp.Body, s.Download+1))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("download the archive: %w", err)
	}
	if n > s.Download {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, s.Download)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%w: it is %s, and %s was expected", ErrDigest, got, p.SHA256)
	}
	return nil
}

// meter tells how much of a download is there, each percent once.
type meter struct {
	total, n int64
	percent  int
	progress func(int)
}

func (m *meter) Write(b []byte) (int, error) {
	m.n += int64(len(b))
	if m.total > 0 && m.progress != nil {
		if p := int(m.n * 100 / m.total); p != m.percent {
			m.percent = p
			m.progress(min(p, 100))
		}
	}
	return len(b), nil
}

// Final reports whether an error of this package is not healed by trying again.
func Final(err error) bool {
	for _, e := range []error{ErrNone, ErrNotSupported, ErrNoProgram, ErrDigest, ErrTooLarge, ErrUnsafe, ErrBadArchive, ErrBadAddress, ErrRefused} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
