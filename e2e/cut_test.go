//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/browsertest"
)

// proxy stands between a player and the server, as networks do: it never lets a stream of
// hints through, and while it is cut, nothing.
type proxy struct {
	url     string
	cut     atomic.Bool
	refused atomic.Int64 // streams
	checked atomic.Int64 // check-ins that went through
}

func newProxy(t *testing.T, backend string) *proxy {
	t.Helper()
	to, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "http://" + l.Addr().String()}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/agent/v1/events":
			p.refused.Add(1)
			panic(http.ErrAbortHandler) // the connection breaks off
		case p.cut.Load():
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/agent/v1/check-in":
			p.checked.Add(1)
		}
		forward.ServeHTTP(w, r)
	})}
	go hs.Serve(l)
	t.Cleanup(func() { hs.Close() })
	return p
}

// TestWithoutPush is the life of a session whose device never hears a hint: everything
// happens at the next check-in. It also loses the network altogether for a while.
func TestWithoutPush(t *testing.T) {
	const heartbeat = 3
	addr := freePort(t)
	p := newProxy(t, "http://"+addr)
	// Links name the address by which devices reach the server.
	s := newServer(t, "--listen", addr, "--public-url", p.url)
	s.addr, s.url = addr, "http://"+addr
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	file := filepath.Join(t.TempDir(), "pids")
	org.app("Titration", heartbeat, []int{3, 1}, "--children", "1", "--pid-file", file)
	d := enrol(t, root, p.url, "LAB-204")
	d.up()

	b := browsertest.New(t)
	admin := signedIn(b, s.url, adminName, adminPassword)
	ann := signedIn(b, s.url, "ann", userPassword)
	admin.Open("/admin/sessions")
	admin.watch()

	// The network is lost while the app runs. Its user closes it and starts it again. When the
	// network is back, that is told in one report.
	id := launchInPortal(ann, "Titration")
	admin.awaitRow(id, "launched")
	d.do("launch", ann.Text(`document.querySelector('[data-app-link]').href`))
	admin.awaitRow(id, "running")
	eventually(t, 20*time.Second, "the app runs", func() bool { return complete(file, 1) })
	before := p.checked.Load()
	p.cut.Store(true)
	closeApp(t, file)
	closed := time.Now()
	d.do("start", fmt.Sprint(id))
	eventually(t, 20*time.Second, "it runs again, offline", func() bool { return complete(file, 1) })
	p.cut.Store(false)
	eventually(t, 20*time.Second, "the device checks in again", func() bool { return p.checked.Load() > before+1 })
	admin.awaitRow(id, "running")
	// The history has the real times, not those of the report.
	eventually(t, 20*time.Second, "the exit is told", func() bool { return history(root, id) == "launched added running stopped running" })
	for _, tr := range root.transitions(id) {
		if gap := tr.At.Sub(closed); tr.To == "stopped" && (gap > time.Second || gap < -time.Second) {
			t.Errorf("it stopped at %v, and the history says %v", closed, tr.At)
		}
	}

	// Evict: at once in the table, and on the device at its next check-in.
	admin.act(id, "evict", "Fire drill")
	admin.awaitRow(id, "evicted")
	o := root.awaitClosed(id)
	if took := o.DeliveredAt.Sub(o.RequestedAt); took > heartbeat*time.Second*11/10+time.Second {
		t.Errorf("the order took %v to the device, whose heartbeat is %d s", took, heartbeat)
	}
	checkWarnings(t, d, id, o, "Fire drill", 3, 1)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}

	// A launch from the portal to the device arrives by the next check-in too.
	ann = &window{ann.Tab()}
	ann.Open("/")
	again := launchInPortal(ann, "Titration")
	admin.awaitRow(again, "running")
	eventually(t, 20*time.Second, "the app runs", func() bool { return complete(file, 1) })
	closeApp(t, file)
	admin.awaitRow(again, "stopped")
	admin.act(again, "expire", "End of term")
	admin.awaitRow(again, "expired")
	admin.seen(again) // and all of that without a reload
	if p.refused.Load() == 0 {
		t.Error("the player never asked for the stream: this test shows nothing")
	}
	admin.Quiet()
}

// TestAdded shows a session that was added and has not run under a lease: the device was
// cut off while its user started and closed the app.
func TestAdded(t *testing.T) {
	addr := freePort(t)
	p := newProxy(t, "http://"+addr)
	s := newServer(t, "--listen", addr, "--public-url", p.url)
	s.addr, s.url = addr, "http://"+addr
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	file := filepath.Join(t.TempDir(), "pids")
	app := org.app("Titration", 1, []int{2, 1}, "--pid-file", file)
	d := enrol(t, root, p.url, "LAB-204")
	admin := signedIn(browsertest.New(t), s.url, adminName, adminPassword)
	admin.Open("/admin/sessions")
	admin.watch()
	l := s.signIn("ann", userPassword).mustLaunch(app, 0)
	admin.awaitRow(l.Session.ID, "launched")
	d.do("launch", l.Link) // no player runs yet: the link is redeemed and waits
	p.cut.Store(true)
	d.up()
	eventually(t, 20*time.Second, "the app runs, offline", func() bool { return complete(file, 0) })
	closeApp(t, file)
	eventually(t, 20*time.Second, "the player knows", func() bool { return len(d.out.find("Titration has ended")) == 1 })
	p.cut.Store(false)
	admin.awaitRow(l.Session.ID, "added")
	d.do("start", fmt.Sprint(l.Session.ID))
	admin.awaitRow(l.Session.ID, "running")
	if got := admin.seen(l.Session.ID); got != "launched → added → running" {
		t.Errorf("the row went %s", got)
	}
	admin.Quiet()
}
