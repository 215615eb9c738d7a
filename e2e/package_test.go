//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// halfway is a registry that stops in the middle of the first large blob that is asked of
// it, until the one who asked is gone, and notes who asked for which part.
type halfway struct {
	http.Handler

	mu     sync.Mutex
	ranges []string
	sent   int64
	held   bool
}

// large is the size from which a blob is held.
const large = 100_000

func (h *halfway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") {
		h.Handler.ServeHTTP(w, r)
		return
	}
	h.mu.Lock()
	h.ranges = append(h.ranges, r.Header.Get("Range"))
	hold := !h.held
	h.mu.Unlock()
	h.Handler.ServeHTTP(&half{w, h, r, hold}, r)
}

type half struct {
	http.ResponseWriter
	h    *halfway
	r    *http.Request
	hold bool
}

func (w *half) Write(b []byte) (int, error) {
	if !w.hold || len(b) < large {
		n, err := w.ResponseWriter.Write(b)
		w.count(n)
		return n, err
	}
	n, _ := w.ResponseWriter.Write(b[:len(b)/2])
	w.count(n)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	w.h.mu.Lock()
	w.h.held = true
	w.h.mu.Unlock()
	<-w.r.Context().Done()
	panic(http.ErrAbortHandler)
}

func (w *half) count(n int) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	w.h.sent += int64(n)
}

// copySample puts the sample app into a folder.
func copySample(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestPackage goes from a folder to an app that runs, by way of a registry: pushed by the
// command line for two platforms, pasted into a delivery method, fetched by a player that
// is killed in the middle, run, evicted and removed.
func TestPackage(t *testing.T) {
	hub := &halfway{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	rs := httptest.NewServer(hub)
	defer rs.Close()
	tag := strings.TrimPrefix(rs.URL, "http://") + "/chemistry/titration:1.2"
	env := []string{"DOCKER_CONFIG=" + t.TempDir()}

	file := filepath.Join(t.TempDir(), "pids")
	folder := t.TempDir()
	copySample(t, filepath.Join(folder, "bin", "titration"))
	push := func(args ...string) (out string, p object) {
		t.Helper()
		out, err := command(t, env, append([]string{"package", "push", tag, folder}, args...)...)
		if err != nil {
			t.Fatalf("package push %v: %v: %s", args, err, out)
		}
		// The package is the JSON at the end, or all of it.
		if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &p); err != nil {
			t.Fatalf("package push %v wrote no JSON: %v: %s", args, err, out)
		}
		return out, p
	}
	out, first := push("--command", "bin/titration")
	if !strings.Contains(out, "\n"+first["reference"].(string)+"\n") || !strings.Contains(out, "now has: linux/"+runtime.GOARCH) {
		t.Errorf("package push wrote %s", out)
	}
	if _, again := push("--command", "bin/titration", "--json"); again["reference"] != first["reference"] {
		t.Errorf("pushed again it is %v, was %v", again["reference"], first["reference"])
	}
	out, other := push("--os", "windows", "--arch", "amd64", "--command", "bin/titration")
	if other["reference"] == first["reference"] || !strings.Contains(out, "now has: linux/"+runtime.GOARCH+", windows/amd64.") {
		t.Errorf("with another platform: %s", out)
	}
	out, p := push("--command", "bin/titration", "--command=--terminal", "--command=--pid-file", "--command", file, "--json")
	if !strings.HasPrefix(out, "{") || p["reference"] != other["reference"] {
		t.Errorf("both platforms: %s", out)
	}
	if out, err := command(t, env, "package", "push", tag, folder, "--command", "bin/nope"); err == nil || !strings.Contains(out, "there is no file bin/nope; there is bin/titration") {
		t.Errorf("a program that is not there: %v: %s", err, out)
	}

	s := newServer(t)
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	app := org.create("apps", object{"name": "Titration"})
	method := object{"app_id": app, "name": "Titration from the registry", "kind": "device", "licence": object{"type": "floating"}, "heartbeat_seconds": 1, "warnings_seconds": []int{2, 1}}
	tagged := object{"type": "oci", "reference": tag, "command": p["command"]}
	method["packages"] = []object{tagged}
	err := root.try("POST", "/delivery-methods", method, nil)
	if err == nil || !strings.Contains(err.Error(), "packages.0.reference") || !strings.Contains(err.Error(), "must name a digest instead of the tag 1.2") {
		t.Errorf("a tag in a delivery method: %v", err)
	}
	method["packages"] = []object{p}
	id := org.create("delivery-methods", method)
	org.create("provisions", object{"name": "Titration for chemists", "group_ids": []int64{org.group}, "delivery_method_ids": []int64{id}, "enabled": true})

	d := enrol(t, root, s.url, "LAB-204", env...)
	d.up()
	l := s.signIn("ann", userPassword).mustLaunch(app, 0)
	d.do("launch", l.Link)
	var have int64
	eventually(t, 20*time.Second, "half of the package is on the device", func() bool {
		files, _ := filepath.Glob(filepath.Join(d.dir, "packages", "*.part", "*"))
		if len(files) != 1 {
			return false
		}
		info, err := os.Stat(files[0])
		if err != nil {
			return false
		}
		have = info.Size()
		return have > large
	})
	d.stop(syscall.SIGKILL)
	if list := alive(pids(file)); len(list) > 0 {
		t.Fatalf("half of it runs: %v", list)
	}
	d.up()
	root.awaitStatus(l.Session.ID, "running")
	eventually(t, 20*time.Second, "the app runs", func() bool { return complete(file, 0) })
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pids(file)[0]))
	if err != nil || !strings.HasPrefix(exe, filepath.Join(d.dir, "packages")) || filepath.Base(exe) != "titration" {
		t.Errorf("what runs is %s, %v", exe, err)
	}
	hub.mu.Lock()
	ranges, sent := hub.ranges, hub.sent
	hub.mu.Unlock()
	var from, to int64
	if len(ranges) != 2 || ranges[0] != "" {
		t.Fatalf("asked for the parts %q", ranges)
	}
	if _, err := fmt.Sscanf(ranges[1], "bytes=%d-%d", &from, &to); err != nil || from < have || from > to {
		t.Errorf("with %d bytes on the disk asked for %q", have, ranges[1])
	}
	t.Logf("of %d bytes, %d were there when the player came back; %d were sent in all", to+1, from, sent)
	if sent > to+1+(to+1)/2-from {
		t.Errorf("%d bytes were sent in all, of %d", sent, to+1)
	}

	root.call("POST", fmt.Sprintf("/sessions/%d/evict", l.Session.ID), object{"reason": "Fire drill"}, nil)
	root.awaitClosed(l.Session.ID)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	d.do("remove", fmt.Sprint(l.Session.ID))
	root.awaitStatus(l.Session.ID, "removed")
	left, err := os.ReadDir(filepath.Join(d.dir, "packages"))
	if err != nil || len(left) != 0 {
		t.Errorf("after the removal there is %v, %v", left, err)
	}
}
