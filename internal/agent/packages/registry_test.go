package packages

import (
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// hub is a registry in this process, which notes what is asked of it and can misbehave.
type hub struct {
	t    testing.TB
	host string

	mu     sync.Mutex
	sent   int64    // bytes of answered blobs
	blobs  []string // GETs of blobs: digest and Range
	cut    int64    // the next blob's connection breaks after so many bytes
	broken bool     // every blob has its first byte changed
	whole  bool     // Range is not known
	odd    bool     // parts begin elsewhere than was asked
	status int      // every answer, if not 0
	user   string   // and the password is "secret"; "" for none
}

func newHub(t testing.TB) *hub {
	h := &hub{t: t}
	real := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.status != 0 {
			w.WriteHeader(h.status)
			return
		}
		if user, password, _ := r.BasicAuth(); h.user != "" && (user != h.user || password != "secret") {
			w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
			real.ServeHTTP(w, r)
			return
		}
		h.blobs = append(h.blobs, filepath.Base(r.URL.Path)+" "+r.Header.Get("Range"))
		if h.whole {
			r.Header.Del("Range")
		}
		if h.odd && r.Header.Get("Range") != "" {
			w.Header().Set("Content-Range", "bytes 0-1/2")
			w.WriteHeader(http.StatusPartialContent)
			return
		}
		left := int64(-1)
		if h.cut > 0 {
			left, h.cut = h.cut, 0
		}
		real.ServeHTTP(&cutter{ResponseWriter: w, h: h, left: left}, r)
	}))
	t.Cleanup(s.Close)
	h.host = strings.TrimPrefix(s.URL, "http://")
	return h
}

// cutter counts what is sent, and breaks the connection when nothing is left.
type cutter struct {
	http.ResponseWriter
	h       *hub
	left    int64
	changed bool
}

func (c *cutter) Write(b []byte) (int, error) {
	if c.h.broken && !c.changed && len(b) > 0 {
		c.changed = true
		b = append([]byte{b[0] ^ 1}, b[1:]...)
	}
	if c.left >= 0 && int64(len(b)) > c.left {
		n, _ := c.ResponseWriter.Write(b[:c.left])
		c.h.sent += int64(n)
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(b)
	if c.left -= int64(n); c.left < 0 {
		c.left = -1
	}
	c.h.sent += int64(n)
	return n, err
}

// change sets how the registry behaves, and forgets what was asked.
func (h *hub) change(f func(h *hub)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blobs, h.sent = nil, 0
	f(h)
}

func (h *hub) asked() (sent int64, blobs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent, h.blobs
}

// ours is where this test's user keeps credentials: nowhere, unless a test writes it.
func ours(t *testing.T) (config string) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	return filepath.Join(dir, "config.json")
}

func signIn(t *testing.T, config, host, user string) {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":secret"))
	if err := os.WriteFile(config, []byte(`{"auths":{"`+host+`":{"auth":"`+auth+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

// folder makes one with a program and data that do not compress.
func folder(t testing.TB, bulk int) string {
	t.Helper()
	dir := t.TempDir()
	data := make([]byte, bulk)
	seed := uint32(2463534242)
	for i := range data {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		data[i] = byte(seed)
	}
	for name, f := range map[string]struct {
		body []byte
		mode os.FileMode
	}{
		"bin/app":     {[]byte("#!/bin/sh\ncat \"$(dirname \"$0\")/../share/greeting\"\n"), 0o755},
		"bin/app.exe": {[]byte("MZ"), 0o644},
		"share/greeting": {
			[]byte("hello from the package\n"), 0o644},
		"share/bulk": {data, 0o644},
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.body, f.mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
