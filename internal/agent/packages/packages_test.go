package packages

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"leasehold/internal/catalog"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		os.Exit(code)
	}))
}

// entry is one of an archive.
type entry struct {
	name, body string
	mode       fs.FileMode
	link       string // target of a symbolic link
	typ        byte   // of a tar entry that is neither
}

func zipped(t *testing.T, list ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range list {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		body := e.body
		if e.link != "" {
			e.mode, body = fs.ModeSymlink|0o777, e.link
		}
		h.SetMode(e.mode)
		w, err := z.CreateHeader(h)
		if err == nil && !strings.HasSuffix(e.name, "/") {
			_, err = io.WriteString(w, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, list ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, e := range list {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Size: int64(len(e.body)), Typeflag: tar.TypeReg}
		switch {
		case e.link != "" && e.typ == 0:
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		case e.typ != 0:
			h.Typeflag, h.Linkname = e.typ, e.link
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// serve serves an archive and returns its package.
func serve(t *testing.T, archive []byte) (*catalog.Package, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write(archive)
	}))
	t.Cleanup(s.Close)
	sum := sha256.Sum256(archive)
	return &catalog.Package{Type: catalog.Archive, URL: s.URL + "/app", SHA256: hex.EncodeToString(sum[:]), Command: []string{"bin/app", "--flag"}}, &asked
}

func empty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range list {
		t.Errorf("left behind: %s", e.Name())
	}
}

var app = entry{name: "bin/app", body: "#!/bin/sh\n", mode: 0o755}

func TestArchive(t *testing.T) {
	for name, archive := range map[string][]byte{
		"zip":        zipped(t, entry{name: "bin/", mode: fs.ModeDir | 0o755}, app, entry{name: "lib/data", body: "x", mode: 0o644}, entry{name: "lib/link", link: "../bin/app"}),
		"tar.gz":     tarred(t, entry{name: "./"}, entry{name: "bin/", mode: 0o755}, app, entry{name: "lib/data", body: "x", mode: 0o644}, entry{name: "lib/link", link: "../bin/app"}),
		"no modes":   zipped(t, entry{name: "bin/app", body: "#!/bin/sh\n", mode: 0o644}),
		"no folders": tarred(t, app),
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "packages")
			s := New(dir, nil)
			p, asked := serve(t, archive)
			var percent atomic.Int32
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := s.Add(t.Context(), p, func(n int) { percent.Store(int32(n)) }); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if asked.Load() != 1 || percent.Load() != 100 {
				t.Errorf("downloaded %d times, %d %%", asked.Load(), percent.Load())
			}
			argv, in, err := s.Command(p)
			if err != nil || len(argv) != 2 || argv[0] != filepath.Join(in, "bin", "app") {
				t.Fatalf("%q in %q, %v", argv, in, err)
			}
			if info, err := os.Stat(argv[0]); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
				t.Errorf("%v, %v", info, err)
			}
			if err := s.Remove(p, func() []*catalog.Package { return []*catalog.Package{{Type: catalog.Archive, SHA256: p.SHA256}} }); err != nil {
				t.Error(err)
			}
			if _, _, err := s.Command(p); err != nil {
				t.Errorf("removed though another needs it: %v", err)
			}
			if err := s.Remove(p, func() []*catalog.Package { return nil }); err != nil {
				t.Error(err)
			}
			empty(t, dir)
			if _, _, err := s.Command(p); !errors.Is(err, ErrNoProgram) {
				t.Errorf("after the removal: %v", err)
			}
		})
	}
}

func TestBadArchives(t *testing.T) {
	many := []entry{app}
	for range 200 {
		many = append(many, entry{name: strings.Repeat("d", len(many)%50+1) + "/" + strings.Repeat("f", len(many)), mode: 0o644})
	}
	bomb := entry{name: "bomb", body: strings.Repeat("\x00", 2<<20), mode: 0o644}
	for _, c := range []struct {
		name    string
		archive []byte
		want    error
	}{
		{"zip climbs out", zipped(t, app, entry{name: "../../evil", body: "x"}), ErrUnsafe},
		{"zip climbs out within", zipped(t, app, entry{name: "bin/../../evil", body: "x"}), ErrUnsafe},
		{"zip climbs out by backslash", zipped(t, app, entry{name: `..\..\evil`, body: "x"}), ErrUnsafe},
		{"zip with an absolute name", zipped(t, app, entry{name: "/etc/evil", body: "x"}), ErrUnsafe},
		{"zip with a drive", zipped(t, app, entry{name: "C:/evil", body: "x"}), ErrUnsafe},
		{"zip link out", zipped(t, app, entry{name: "out", link: "../../etc"}), ErrUnsafe},
		{"zip absolute link", zipped(t, app, entry{name: "out", link: "/etc/passwd"}), ErrUnsafe},
		{"zip device", zipped(t, app, entry{name: "null", mode: fs.ModeDevice | 0o666}), ErrUnsafe},
		{"zip with a name twice", zipped(t, app, app), ErrUnsafe},
		{"zip bomb", zipped(t, app, bomb), ErrTooLarge},
		{"zip with many files", zipped(t, many...), ErrTooLarge},
		{"zip without the program", zipped(t, entry{name: "readme", body: "x", mode: 0o644}), ErrNoProgram},
		{"half a zip", zipped(t, app)[:60], ErrBadArchive},
		{"tar climbs out", tarred(t, app, entry{name: "../evil", body: "x"}), ErrUnsafe},
		{"tar with an absolute name", tarred(t, app, entry{name: "/etc/evil", body: "x"}), ErrUnsafe},
		{"tar link out", tarred(t, app, entry{name: "out", link: "../.."}), ErrUnsafe},
		{"tar absolute link", tarred(t, app, entry{name: "out", link: "/etc"}), ErrUnsafe},
		{"tar hard link", tarred(t, app, entry{name: "hard", link: "bin/app", typ: tar.TypeLink}), ErrUnsafe},
		{"tar device", tarred(t, app, entry{name: "null", typ: tar.TypeChar}), ErrUnsafe},
		{"tar fifo", tarred(t, app, entry{name: "pipe", typ: tar.TypeFifo}), ErrUnsafe},
		{"tar through a link", tarred(t, app, entry{name: "a", link: "bin"}, entry{name: "a/evil", body: "x"}), ErrUnsafe},
		{"links that lead out together", tarred(t, app, entry{name: "bin/up", link: ".."}, entry{name: "out", link: "bin/up/../.."}), ErrUnsafe},
		{"tar bomb", tarred(t, app, bomb), ErrTooLarge},
		{"tar with many files", tarred(t, many...), ErrTooLarge},
		{"tar that loops", tarred(t, app, entry{name: "bin/a", link: "b"}, entry{name: "bin/b", link: "a"}), ErrUnsafe},
		{"half a tar", tarred(t, app, entry{name: "x", body: strings.Repeat("abc", 9999)})[:40], ErrBadArchive},
		{"rubble", []byte("this is no archive"), ErrBadArchive},
		{"nothing", nil, ErrBadArchive},
		{"too large to download", bytes.Repeat([]byte("x"), 3<<20), ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			outside := t.TempDir()
			dir := filepath.Join(outside, "a", "packages")
			s := New(dir, nil)
			s.Limits = Limits{Download: 2 << 20, Bytes: 1 << 20, Files: 100}
			p, _ := serve(t, c.archive)
			err := s.Add(t.Context(), p, nil)
			if !errors.Is(err, c.want) || !Final(err) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			empty(t, dir)
			if list, _ := os.ReadDir(outside); len(list) > 1 {
				t.Errorf("outside: %v", list)
			}
		})
	}
}

func TestWrongDigest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "packages")
	s := New(dir, nil)
	p, _ := serve(t, zipped(t, app))
	for _, digest := range []string{strings.Repeat("ab", 32), "", "../../etc", strings.ToUpper(p.SHA256)} {
		q := *p
		q.SHA256 = digest
		if err := s.Add(t.Context(), &q, nil); !errors.Is(err, ErrDigest) {
			t.Errorf("digest %q: %v", digest, err)
		}
	}
	empty(t, dir)
}

func TestAddress(t *testing.T) {
	s := New(t.TempDir(), nil)
	digest := strings.Repeat("ab", 32)
	for _, u := range []string{"http://example.org/app.zip", "ftp://example.org/app.zip", "file:///etc/passwd", "app.zip", "https://", "http://127.0.0.1.example.org/x"} {
		err := s.Add(t.Context(), &catalog.Package{Type: catalog.Archive, URL: u, SHA256: digest, Command: []string{"app"}}, nil)
		if !errors.Is(err, ErrBadAddress) {
			t.Errorf("%s: %v", u, err)
		}
	}
	away := httptest.NewServer(http.RedirectHandler("http://example.org/app.zip", http.StatusFound))
	defer away.Close()
	err := s.Add(t.Context(), &catalog.Package{Type: catalog.Archive, URL: away.URL, SHA256: digest, Command: []string{"app"}}, nil)
	if !errors.Is(err, ErrBadAddress) {
		t.Errorf("redirected: %v", err)
	}
}

// What a busy server answers is worth another try; what is not there is not.
func TestServerErrors(t *testing.T) {
	s := New(t.TempDir(), nil)
	for status, final := range map[int]bool{404: true, 403: true, 500: false, 503: false, 429: false} {
		hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		err := s.Add(t.Context(), &catalog.Package{Type: catalog.Archive, URL: hs.URL, SHA256: strings.Repeat("ab", 32), Command: []string{"app"}}, nil)
		if err == nil || Final(err) != final {
			t.Errorf("%d: %v, final %v", status, err, Final(err))
		}
		hs.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, _ := serve(t, zipped(t, app))
	if err := s.Add(ctx, p, nil); !errors.Is(err, context.Canceled) || Final(err) {
		t.Errorf("ended: %v", err)
	}
}

func TestOtherTypes(t *testing.T) {
	s := New(t.TempDir(), nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		p    *catalog.Package
		want error
	}{
		{"none for this platform", nil, ErrNone},
		{"absolute", &catalog.Package{Type: catalog.Command, Command: []string{self, "-x"}}, nil},
		{"on PATH", &catalog.Package{Type: catalog.Command, Command: []string{"go"}}, nil},
		{"nowhere", &catalog.Package{Type: catalog.Command, Command: []string{"no-such-program-here"}}, ErrNoProgram},
		{"relative", &catalog.Package{Type: catalog.Command, Command: []string{"./go"}}, ErrNoProgram},
		{"no command", &catalog.Package{Type: catalog.Command}, ErrNoProgram},
		{"oci", &catalog.Package{Type: catalog.OCI, Reference: "example.org/app@sha256:0"}, ErrBadAddress},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.Add(t.Context(), c.p, nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			argv, dir, err := s.Command(c.p)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && (!filepath.IsAbs(argv[0]) || dir != "") {
				t.Errorf("%q in %q", argv, dir)
			}
		})
	}
}
