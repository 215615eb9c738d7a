package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"leasehold/internal/catalog"
	"leasehold/internal/invalid"
)

func mustPush(t testing.TB, reference, dir string, b Build) *catalog.Package {
	t.Helper()
	p, err := Push(t.Context(), reference, dir, b)
	if err != nil {
		t.Fatal(err)
	}
	return &p.Package
}

// held is what a store keeps on the disk.
func held(t *testing.T, s *Store) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func none() []*catalog.Package { return nil }

func TestPushAndRun(t *testing.T) {
	ours(t)
	h := newHub(t)
	ref := h.host + "/tools/app:1.2"
	dir := folder(t, 200_000)
	if err := os.Symlink("greeting", filepath.Join(dir, "share", "link")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	p := mustPush(t, ref, dir, Build{})
	if p.OS != runtime.GOOS || p.Arch != runtime.GOARCH || !slices.Equal(p.Command, []string{"bin/app"}) {
		t.Errorf("%+v", p)
	}
	d := &catalog.DeliveryMethod{AppID: 1, Name: "M", Packages: []catalog.Package{*p}}
	d.SetDefaults()
	if err := d.Validate(); err != nil {
		t.Errorf("what is printed is refused: %v", err)
	}

	s := New(filepath.Join(t.TempDir(), "packages"), nil)
	var seen []int
	for range 2 { // once for each digest
		if err := s.Add(t.Context(), p, func(n int) { seen = append(seen, n) }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSorted(seen) || len(seen) == 0 || seen[len(seen)-1] != 100 {
		t.Errorf("progress %v", seen)
	}
	if _, blobs := h.asked(); len(blobs) != 1 {
		t.Errorf("blobs %v", blobs)
	}
	if runtime.GOOS != "windows" {
		argv, _, err := s.Command(p)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err != nil || string(out) != "hello from the package\n" {
			t.Errorf("it says %q, %v", out, err)
		}
	}

	// Another session needs the same digest, under another name.
	other := *p
	other.Reference = strings.Replace(p.Reference, "/app@", "/other@", 1)
	if err := s.Remove(p, func() []*catalog.Package { return []*catalog.Package{nil, {Type: catalog.Command}, &other} }); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Command(p); err != nil {
		t.Errorf("removed though another needs it: %v", err)
	}
	if err := s.Remove(p, none); err != nil {
		t.Error(err)
	}
	empty(t, s.dir)
	if _, _, err := s.Command(p); !errors.Is(err, ErrNoProgram) {
		t.Errorf("after the removal: %v", err)
	}
}

func TestPushIsDeterministic(t *testing.T) {
	ours(t)
	h := newHub(t)
	one, two := folder(t, 100), folder(t, 100)
	if err := os.Chtimes(filepath.Join(two, "bin", "app"), time.Unix(1, 0), time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	linux := Build{OS: "linux", Arch: "amd64", Command: []string{"bin/app"}}
	windows := Build{OS: "windows", Arch: "amd64"}
	a := mustPush(t, h.host+"/app:a", one, linux)
	b := mustPush(t, h.host+"/app:b", two, linux)
	if a.Reference != b.Reference {
		t.Errorf("%s and %s", a.Reference, b.Reference)
	}
	a = mustPush(t, h.host+"/app:a", one, windows)
	mustPush(t, h.host+"/app:c", one, windows)
	c := mustPush(t, h.host+"/app:c", two, linux)
	if a.Reference != c.Reference || a.Reference == b.Reference {
		t.Errorf("in another order: %s and %s", a.Reference, c.Reference)
	}
}

func TestPlatforms(t *testing.T) {
	ours(t)
	h := newHub(t)
	ref := h.host + "/app:1"
	mark := func(text string) string {
		dir := folder(t, 10)
		if err := os.WriteFile(filepath.Join(dir, "mark"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	var p *catalog.Package
	for _, b := range []Build{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "amd64", Variant: "v3"}, {OS: "linux", Arch: "arm", Variant: "v6"}, {OS: "linux", Arch: "arm", Variant: "v7"}, {OS: "windows", Arch: "amd64"}} {
		b.Command = []string{"bin/app"}
		p = mustPush(t, ref, mark(b.OS+b.Arch+b.Variant), b)
	}
	// Pushed again, a platform is replaced.
	last, err := Push(t.Context(), ref, mark("linuxamd64 again"), Build{OS: "linux", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"linux/amd64", "linux/amd64/v3", "linux/arm/v6", "linux/arm/v7", "windows/amd64"}; !slices.Equal(last.Platforms, want) {
		t.Errorf("the tag has %v", last.Platforms)
	}
	for _, tt := range []struct {
		p    *catalog.Package
		on   platform
		want string // "" for ErrPlatform
	}{
		{p, platform{"linux", "amd64", []string{""}}, "linuxamd64"},
		{&last.Package, platform{"linux", "amd64", []string{""}}, "linuxamd64 again"},
		{p, platform{"linux", "amd64", []string{"v3", "v2", ""}}, "linuxamd64v3"},
		{p, platform{"linux", "arm", []string{"", "v6", "v5"}}, "linuxarmv7"},
		{p, platform{"linux", "arm", []string{"v6", "v5"}}, "linuxarmv6"},
		{p, platform{"windows", "amd64", []string{"v3", ""}}, "windowsamd64"},
		{p, platform{"linux", "arm", []string{"v5"}}, ""},
		{p, platform{"windows", "arm64", []string{""}}, ""},
		{p, platform{"darwin", "amd64", []string{""}}, ""},
	} {
		s := New(t.TempDir(), nil)
		s.platform = tt.on
		err := s.Add(t.Context(), tt.p, nil)
		if tt.want == "" {
			if !errors.Is(err, ErrPlatform) || !Final(err) || !strings.Contains(err.Error(), tt.on.os+"/"+tt.on.arch+", and there is linux/amd64, linux/amd64/v3, ") {
				t.Errorf("%v: %v", tt.on, err)
			}
			empty(t, s.dir)
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", tt.on, err)
			continue
		}
		_, dir, err := s.Command(tt.p)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "mark")); string(b) != tt.want {
			t.Errorf("%v: took %q, %v", tt.on, b, err)
		}
	}
	if v := variants(runtime.GOARCH); len(v) == 0 {
		t.Error("this machine runs nothing")
	}
}

func TestInterrupted(t *testing.T) {
	ours(t)
	h := newHub(t)
	p := mustPush(t, h.host+"/app:1", folder(t, 300_000), Build{})
	measure := New(t.TempDir(), nil)
	h.change(func(*hub) {})
	if err := measure.Add(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	size, _ := h.asked()
	const first = 100_000
	for _, tt := range []struct {
		name   string
		spoil  func(file string) error // what happens to what was downloaded
		server func(h *hub)
		sent   int64 // by the second attempt
		gets   int
	}{
		{"continued", nil, func(*hub) {}, size - first, 1},
		{"a registry without ranges", nil, func(h *hub) { h.whole = true }, size, 1},
		{"a registry that sends another part", nil, func(h *hub) { h.odd = true }, size, 2},
		{"what was there is spoilt", func(file string) error {
			return os.WriteFile(file, make([]byte, first), 0o600)
		}, func(*hub) {}, size - first + size, 2},
		{"what was there is too long", func(file string) error {
			return os.WriteFile(file, make([]byte, size+1), 0o600)
		}, func(*hub) {}, size, 1},
		{"what was there is nothing", func(file string) error { return os.Truncate(file, 0) }, func(*hub) {}, size, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			h.change(func(h *hub) { h.cut, h.whole, h.odd = first, false, false })
			err := New(dir, nil).Add(t.Context(), p, nil)
			if err == nil || Final(err) {
				t.Fatalf("cut short: %v", err)
			}
			if sent, _ := h.asked(); sent != first {
				t.Fatalf("%d bytes of %d were sent", sent, first)
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"+part, "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%v, %v", files, err)
			}
			if tt.spoil != nil {
				if err := tt.spoil(files[0]); err != nil {
					t.Fatal(err)
				}
			}
			h.change(tt.server)
			s := New(dir, nil) // the agent was killed
			var seen []int
			if err := s.Add(t.Context(), p, func(n int) { seen = append(seen, n) }); err != nil {
				t.Fatal(err)
			}
			sent, blobs := h.asked()
			if sent != tt.sent || len(blobs) != tt.gets {
				t.Errorf("sent %d bytes, want %d, for %v", sent, tt.sent, blobs)
			}
			if tt.name == "continued" {
				if want := fmt.Sprintf(" bytes=%d-%d", first, size-1); !strings.HasSuffix(blobs[0], want) {
					t.Errorf("asked for %q, want %q", blobs[0], want)
				}
				if want := int(first * 100 / size); seen[0] != want {
					t.Errorf("progress began at %d %%, want %d", seen[0], want)
				}
			}
			if list := held(t, s); len(list) != 1 {
				t.Errorf("left: %v", list)
			}
			if _, _, err := s.Command(p); err != nil {
				t.Error(err)
			}
		})
	}
}

// What was downloaded in vain is removed with the session.
func TestRemoveUnfinished(t *testing.T) {
	ours(t)
	h := newHub(t)
	p := mustPush(t, h.host+"/app:1", folder(t, 300_000), Build{})
	h.change(func(h *hub) { h.cut = 1000 })
	s := New(t.TempDir(), nil)
	if err := s.Add(t.Context(), p, nil); err == nil {
		t.Fatal("not cut short")
	}
	if len(held(t, s)) != 1 {
		t.Errorf("%v", held(t, s))
	}
	if err := s.Remove(p, none); err != nil {
		t.Error(err)
	}
	empty(t, s.dir)
}

// Archives go on as well, over any web server.
func TestArchiveInterrupted(t *testing.T) {
	body := tarred(t, app, entry{name: "bulk", body: string(bytes.Repeat([]byte("0123456789abcdef"), 4096)), mode: 0o600})
	var cut, silent atomic.Bool
	var sent atomic.Int64
	over := make(chan struct{})
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cut.CompareAndSwap(true, false) {
			n, _ := w.Write(body[:len(body)/2])
			_ = http.NewResponseController(w).Flush()
			sent.Add(int64(n))
			if silent.Load() {
				<-over
			}
			panic(http.ErrAbortHandler)
		}
		c := &counter{w, &sent}
		http.ServeContent(c, r, "app", time.Time{}, bytes.NewReader(body))
	}))
	defer hs.Close()
	defer close(over)
	p, _ := serve(t, body)
	p.URL = hs.URL
	for _, quiet := range []bool{false, true} {
		cut.Store(true)
		silent.Store(quiet)
		sent.Store(0)
		s := New(t.TempDir(), nil)
		if quiet {
			s.stall = 50 * time.Millisecond
		}
		err := s.Add(t.Context(), p, nil)
		if err == nil || Final(err) || errors.Is(err, errStalled) != quiet {
			t.Fatalf("cut short: %v", err)
		}
		if err := New(s.dir, nil).Add(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
		// httptest's counter sees the multipart of nothing else.
		if got := sent.Load(); got != int64(len(body)) {
			t.Errorf("%d bytes were sent in all, of %d", got, len(body))
		}
		if list := held(t, s); len(list) != 1 {
			t.Errorf("left: %v", list)
		}
	}
	// Killed between the last byte and the unpacking.
	sent.Store(0)
	s := New(t.TempDir(), nil)
	if err := os.WriteFile(s.folder(p.SHA256)+part, body, 0o600); err != nil {
		t.Fatal(err)
	}
	percent := 0
	if err := s.Add(t.Context(), p, func(n int) { percent = n }); err != nil || sent.Load() != 0 || percent != 100 {
		t.Errorf("%v, %d bytes sent, %d %%", err, sent.Load(), percent)
	}
}

type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func TestWrongBytes(t *testing.T) {
	ours(t)
	h := newHub(t)
	p := mustPush(t, h.host+"/app:1", folder(t, 1000), Build{})
	s := New(t.TempDir(), nil)
	h.change(func(h *hub) { h.broken = true })
	if err := s.Add(t.Context(), p, nil); !errors.Is(err, ErrDigest) || !Final(err) {
		t.Errorf("a changed layer: %v", err)
	}
	empty(t, s.dir)
	if _, _, err := s.Command(p); err == nil {
		t.Error("it could be run")
	}
	if _, blobs := h.asked(); len(blobs) != 1 {
		t.Errorf("asked again for what was wrong: %v", blobs)
	}

	// A registry that answers with another manifest than was asked for.
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_, _ = io.WriteString(w, `{"manifests":[{"digest":"sha256:0"}]}`)
	}))
	defer liar.Close()
	q := *p
	q.Reference = strings.Replace(p.Reference, h.host, strings.TrimPrefix(liar.URL, "http://"), 1)
	if err := s.Add(t.Context(), &q, nil); !errors.Is(err, ErrDigest) || !Final(err) {
		t.Errorf("another manifest: %v", err)
	}
	empty(t, s.dir)
}

// put puts documents and blobs of any kind into the registry, and returns a package.
func (h *hub) put(t *testing.T, kind, mediaType string, body []byte) ocispec.Descriptor {
	t.Helper()
	d, _, err := describe(mediaType, json.RawMessage(`0`))
	if err != nil {
		t.Fatal(err)
	}
	d.Digest, d.Size = d.Digest.Algorithm().FromBytes(body), int64(len(body))
	method, url := http.MethodPut, "http://"+h.host+"/v2/odd/manifests/"+d.Digest.String()
	if kind == "blobs" {
		method, url = http.MethodPost, "http://"+h.host+"/v2/odd/blobs/uploads/?digest="+d.Digest.String()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, b)
	}
	return d
}

func TestOddArtefacts(t *testing.T) {
	ours(t)
	h := newHub(t)
	layer := h.put(t, "blobs", ocispec.MediaTypeImageLayerGzip, tarred(t, app))
	second := h.put(t, "blobs", ocispec.MediaTypeImageLayerGzip, tarred(t, entry{name: "lib/data", body: "x", mode: 0o600}))
	evil := h.put(t, "blobs", ocispec.MediaTypeImageLayerGzip, tarred(t, app, entry{name: "../../evil", body: "x"}))
	gone := h.put(t, "blobs", ocispec.MediaTypeImageLayerGzip, tarred(t, entry{name: "bin/.wh.app"}))
	missing := layer
	missing.Digest = missing.Digest.Algorithm().FromString("nobody has this")
	docker, zstd, huge, negative, sha512 := layer, layer, layer, layer, layer
	docker.MediaType, zstd.MediaType = dockerLayer, ocispec.MediaTypeImageLayer+"+zstd"
	huge.Size, negative.Size, sha512.Digest = 1<<62, -1, "sha512:00"
	other := h.put(t, "blobs", ocispec.MediaTypeImageConfig, []byte(`{"os":"plan9","architecture":"mips"}`))
	fits := h.put(t, "blobs", ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"os":%q,"architecture":%q}`, runtime.GOOS, runtime.GOARCH))
	manifest := func(config ocispec.Descriptor, layers ...ocispec.Descriptor) map[string]any {
		return map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": layers}
	}
	for _, tt := range []struct {
		name string
		doc  any
		want error
	}{
		{"another tool's, without a platform", manifest(ocispec.DescriptorEmptyJSON, layer), nil},
		{"an image", manifest(fits, docker), nil},
		{"two layers", manifest(fits, layer, second), nil},
		{"an image for another platform", manifest(other, layer), ErrPlatform},
		{"no layers", manifest(fits), ErrBadArtefact},
		{"zstd", manifest(fits, zstd), ErrBadArtefact},
		{"a layer without a SHA-256", manifest(fits, sha512), ErrBadArtefact},
		{"a layer that is too large", manifest(fits, huge), ErrTooLarge},
		{"a layer of less than nothing", manifest(fits, negative), ErrTooLarge},
		{"layers that are too large together", manifest(fits, layer, huge, huge), ErrTooLarge},
		{"a layer that is not there", manifest(fits, layer, missing), ErrRefused},
		{"a layer that climbs out", manifest(fits, evil), ErrUnsafe},
		{"a file in two layers", manifest(fits, layer, layer), ErrUnsafe},
		{"a layer that removes", manifest(fits, layer, gone), ErrUnsafe},
		{"both at once", map[string]any{"layers": []any{layer}, "manifests": []any{layer}}, ErrBadArtefact},
		{"an index of nothing", map[string]any{"manifests": []any{map[string]any{"digest": layer.Digest}}}, ErrPlatform},
		{"no document", "words", ErrBadArtefact},
	} {
		b, err := json.Marshal(tt.doc)
		if err != nil {
			t.Fatal(err)
		}
		d := h.put(t, "manifests", "application/vnd.example.odd", b)
		outside := t.TempDir()
		s := New(filepath.Join(outside, "a", "packages"), nil)
		p := &catalog.Package{Type: catalog.OCI, Reference: h.host + "/odd@" + d.Digest.String(), Command: []string{"bin/app"}}
		err = s.Add(t.Context(), p, nil)
		if !errors.Is(err, tt.want) || tt.want != nil && !Final(err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if tt.want == nil {
			if _, _, err := s.Command(p); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		empty(t, s.dir)
		if list, _ := os.ReadDir(outside); len(list) > 1 {
			t.Errorf("%s: outside: %v", tt.name, list)
		}
	}
}

func TestRegistryAnswers(t *testing.T) {
	config := ours(t)
	h := newHub(t)
	dir := folder(t, 10)
	p := mustPush(t, h.host+"/app:1", dir, Build{})
	s := New(t.TempDir(), nil)
	for status, final := range map[int]bool{404: true, 403: true, 500: false, 503: false, 429: false} {
		h.change(func(h *hub) { h.status = status })
		if err := s.Add(t.Context(), p, nil); err == nil || Final(err) != final {
			t.Errorf("%d: %v, final %v", status, err, Final(err))
		}
	}
	h.change(func(h *hub) { h.status, h.user = 0, "ada" })
	err := s.Add(t.Context(), p, nil)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "wants credentials") {
		t.Errorf("without credentials: %v", err)
	}
	signIn(t, config, h.host, "eve")
	if err := s.Add(t.Context(), p, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "wants other credentials") {
		t.Errorf("with wrong credentials: %v", err)
	}
	if _, err := Push(t.Context(), h.host+"/app:2", dir, Build{}); err == nil {
		t.Error("pushed with wrong credentials")
	}
	signIn(t, config, h.host, "ada")
	if err := s.Add(t.Context(), p, nil); err != nil {
		t.Errorf("with the credentials of Docker's configuration: %v", err)
	}
	mustPush(t, h.host+"/app:2", dir, Build{})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(t.TempDir(), nil).Add(ctx, p, nil); !errors.Is(err, context.Canceled) || Final(err) {
		t.Errorf("ended: %v", err)
	}
	if err := os.WriteFile(config, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(t.TempDir(), nil).Add(t.Context(), p, nil); err == nil || Final(err) || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("with a spoilt configuration: %v", err)
	}
}

// Only loopback is spoken to by plain HTTP, whatever a registry says.
func TestNoPlainHTTP(t *testing.T) {
	ours(t)
	h := newHub(t)
	p := mustPush(t, h.host+"/app:1", folder(t, 10), Build{})
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/signin/") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://example.org/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "http://example.org"+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer away.Close()
	_, digest, _ := strings.Cut(p.Reference, "@")
	host := strings.TrimPrefix(away.URL, "http://")
	for _, repository := range []string{"app", "signin"} {
		q := *p
		q.Reference = host + "/" + repository + "@" + digest
		if err := New(t.TempDir(), nil).Add(t.Context(), &q, nil); !errors.Is(err, ErrBadAddress) {
			t.Errorf("%s: %v", repository, err)
		}
	}
	// What is asked of any other registry is asked by HTTPS.
	var asked string
	client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		asked = r.URL.String()
		return nil, errors.New("not from here")
	})}
	q := *p
	q.Reference = "docker.io/org/app@" + digest
	if err := New(t.TempDir(), client).Add(t.Context(), &q, nil); err == nil || asked != "https://registry-1.docker.io/v2/org/app/manifests/"+digest {
		t.Errorf("asked %s, %v", asked, err)
	}
}

func TestPushRefuses(t *testing.T) {
	ours(t)
	h := newHub(t)
	good, ref := folder(t, 10), h.host+"/app:1"
	two := folder(t, 10)
	if err := os.WriteFile(filepath.Join(two, "bin", "tool"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	out := folder(t, 10)
	if err := os.Symlink("../../etc", filepath.Join(out, "out")); err != nil {
		t.Fatal(err)
	}
	h.put(t, "manifests", ocispec.MediaTypeImageManifest, []byte(`{"layers":[]}`))
	foreign := h.put(t, "manifests", ocispec.MediaTypeImageIndex, []byte(`{"manifests":[]}`))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+h.host+"/v2/odd/manifests/image", strings.NewReader(`{"manifests":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", foreign.MediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, tt := range []struct {
		ref, dir string
		b        Build
		field    string // "" for ErrUnsafe
		says     string
	}{
		{"app", good, Build{}, "reference", "registry/repository:tag"},
		{h.host + "/app", good, Build{}, "reference", "it names no tag"},
		{h.host + "/app@sha256:" + strings.Repeat("0a", 32), good, Build{}, "reference", "the digest is what comes of it"},
		{"https://" + ref, good, Build{}, "reference", "without https://"},
		{"org/app:1", good, Build{}, "reference", "org is no host name"},
		{h.host + "/odd:image", good, Build{}, "reference", "holds something else"},
		{ref, filepath.Join(good, "no"), Build{}, "folder", "must be a folder"},
		{ref, filepath.Join(good, "bin", "app"), Build{}, "folder", "must be a folder"},
		{ref, t.TempDir(), Build{}, "folder", "there are none"},
		{ref, good, Build{OS: "macos"}, "os", "linux, windows, darwin"},
		{ref, good, Build{Arch: "x86_64"}, "arch", "amd64, arm64"},
		{ref, good, Build{Variant: "7"}, "variant", "as v7"},
		{ref, good, Build{Command: []string{"bin/nope"}}, "command", "there is no file bin/nope; there is bin/app"},
		{ref, two, Build{OS: "linux"}, "command", "there is bin/app, bin/tool"},
		{ref, out, Build{}, "", "out points outside"},
	} {
		_, err := Push(t.Context(), tt.ref, tt.dir, tt.b)
		var e invalid.Error
		ok := errors.As(err, &e) && e[0].Name == tt.field
		if tt.field == "" {
			ok = errors.Is(err, ErrUnsafe)
		}
		if !ok || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %s %+v: %v; want %s: %s", tt.ref, filepath.Base(tt.dir), tt.b, err, tt.field, tt.says)
		}
	}
}
