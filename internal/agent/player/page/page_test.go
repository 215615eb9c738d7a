package page

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/agent"
	"leasehold/internal/lease"
	"leasehold/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func seconds(n int64) *int64 { return &n }

// sample is a device in every state that a user may meet.
func sample(now time.Time, offline bool) State {
	s := State{
		Device: "LAB-204", Server: "https://apps.example.org", Now: now,
		Link: agent.Link{OK: true, Since: now},
		Sessions: []agent.Info{
			{Session: 48213, App: "MATLAB", Status: agent.Running, Run: 3, Licence: lease.Fixed, LeaseSeconds: seconds(3*86400 + 5000),
				Message: &wire.Message{N: 2, From: "olga", Text: "The licence server stops at five.\nSave <before> that.", At: now.Add(-time.Minute)}},
			{Session: 48220, App: "SPSS Statistics", Status: agent.Closing, Run: 1, Licence: lease.Floating, LeaseSeconds: seconds(102), ClosesSeconds: seconds(102),
				Reason: "Maintenance tonight.", Problem: "Maintenance tonight."},
			{Session: 48231, App: "Field Report", Status: agent.Stopped, Run: 2, Licence: lease.Fixed, LeaseSeconds: seconds(7600),
				Upgrade: &agent.Upgrade{Method: 9, Status: agent.UpgradeAdding, Progress: 42}},
			{Session: 48240, App: "QGIS", Status: agent.Adding, Licence: lease.Floating, Progress: 71},
			{Session: 48244, App: "Blender", Status: agent.Adding, Licence: lease.Floating,
				Problem: "It could not be added: this app cannot be used on this device: the archive's digest is not the right one: it is 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
			{Session: 48246, App: "Inkscape", Status: agent.Running, Run: 1, Licence: lease.Floating, LeaseSeconds: seconds(280),
				Upgrade: &agent.Upgrade{Method: 9, Status: agent.UpgradeNext}},
			{Session: 48247, App: "GIMP", Status: agent.Added, Licence: lease.Floating,
				Upgrade: &agent.Upgrade{Method: 9, Status: agent.UpgradePutOff, Seconds: 80000}},
		},
	}
	if offline {
		s.Link = agent.Link{Since: now.Add(-26 * time.Hour), Error: "dial tcp: no route to host"}
	}
	return s
}

// site is a page and a browser without a window.
type site struct {
	*Server
	t      *testing.T
	client *http.Client
	mu     sync.Mutex
	done   []string
	fail   error
	state  State
}

func newSite(t *testing.T) *site {
	t.Helper()
	w := &site{t: t, state: sample(time.Now(), false)}
	s, err := Listen(Config{
		State: func() State {
			w.mu.Lock()
			defer w.mu.Unlock()
			s := w.state
			s.Now = time.Now()
			s.Sessions = slices.Clone(s.Sessions) // tests change their own
			return s
		},
		Do: func(_ context.Context, op string, session int64) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fail == nil {
				w.done = append(w.done, op)
			}
			return w.fail
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve()
	}()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Server = s
	w.client = &http.Client{Jar: jar, Transport: &http.Transport{}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		s.Close()
		<-served
	})
	return w
}

func (w *site) root() string { return "http://" + w.listener.Addr().String() + w.base }

func (w *site) do(method, address string, change func(*http.Request)) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.Header.Get("Content-Security-Policy") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%s %s: headers %v", method, address, resp.Header)
	}
	return resp.StatusCode, string(b)
}

func (w *site) open() {
	w.t.Helper()
	if status, body := w.do("GET", w.Address(), nil); status != 200 || !strings.Contains(body, `url=./`) {
		w.t.Fatalf("open: %d %s", status, body)
	}
}

func TestOnlyItsUser(t *testing.T) {
	w := newSite(t)
	for _, path := range []string{"", "live", "sessions/48213/remove"} {
		if status, body := w.do("GET", w.root()+path, nil); status != http.StatusForbidden || strings.Contains(body, "MATLAB") {
			t.Errorf("without a cookie: %q: %d %s", path, status, body)
		}
	}
	if status, _ := w.do("POST", w.root()+"sessions/48213/start", nil); status != http.StatusForbidden {
		t.Errorf("a POST without a cookie: %d", status)
	}
	if status, _ := w.do("GET", w.root()+"open?ticket=GUESSED", nil); status != http.StatusForbidden {
		t.Errorf("a guessed ticket: %d", status)
	}
	address := w.Address()
	if status, _ := w.do("GET", address, nil); status != http.StatusOK {
		t.Errorf("open: %d", status)
	}
	u, _ := url.Parse(w.root())
	if c := w.client.Jar.Cookies(u); len(c) != 1 {
		t.Errorf("cookies %v", c)
	}
	if c := w.client.Jar.Cookies(&url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/"}); len(c) != 0 {
		t.Errorf("the cookie goes to another port's pages: %v", c)
	}
	if status, body := w.do("GET", w.root(), nil); status != http.StatusOK || !strings.Contains(body, "MATLAB") {
		t.Errorf("opened: %d %s", status, body)
	}
	if status, _ := w.do("GET", address, nil); status != http.StatusForbidden {
		t.Errorf("an address that was used opens it again: %d", status)
	}
	for _, host := range []string{"evil.example", "localhost:" + u.Port(), "127.0.0.1"} {
		if status, _ := w.do("GET", w.root(), func(r *http.Request) { r.Host = host }); status != http.StatusMisdirectedRequest {
			t.Errorf("Host %s: %d", host, status)
		}
	}
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:1"} {
		if status, _ := w.do("POST", w.root()+"sessions/48231/start", func(r *http.Request) { r.Header.Set(name, value) }); status != http.StatusForbidden {
			t.Errorf("a POST with %s %s: %d", name, value, status)
		}
	}
	if len(w.done) != 0 {
		t.Errorf("done: %v", w.done)
	}
}

func TestActs(t *testing.T) {
	w := newSite(t)
	w.open()
	for op, want := range map[string]string{"start": "Field Report starts.", "return": "is returned", "remove": "is being removed", "later": "for a day", "upgrade": "is brought"} {
		status, body := w.do("POST", w.root()+"sessions/48231/"+op, nil)
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, no %q", op, status, want)
		}
	}
	if len(w.done) != 5 {
		t.Errorf("done: %v", w.done)
	}
	for _, path := range []string{"sessions/1/start", "sessions/x/start", "sessions/48231/format"} {
		if status, _ := w.do("POST", w.root()+path, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, body := w.do("GET", w.root()+"sessions/48213/remove", nil); status != 200 || !strings.Contains(body, "It is running") {
		t.Errorf("remove a running app: %d %s", status, body)
	}
	if status, _ := w.do("GET", w.root()+"sessions/48213/start", nil); status != http.StatusNotFound {
		t.Errorf("a GET starts: %d", status)
	}
	w.fail = errors.New("the app is running; close it first")
	if status, body := w.do("POST", w.root()+"sessions/48213/return", nil); status != http.StatusConflict || !strings.Contains(body, "MATLAB: the app is running; close it first.") {
		t.Errorf("a refused act: %d %s", status, body)
	}
	if len(w.done) != 5 {
		t.Errorf("done: %v", w.done)
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 3, 9, 14, 0, 0, 0, time.Local)
	v := newView(sample(now, true))
	if v.Standing != "Offline since 8 Mar 12:00" || v.Meaning == "" {
		t.Errorf("%q, %q", v.Standing, v.Meaning)
	}
	if got := v.Rows[0].Lease; got != "works offline until 12 Mar 15:23" {
		t.Errorf("fixed: %q", got)
	}
	if got := v.Rows[5].Lease; got != "closes at 14:04 unless the server is back" {
		t.Errorf("floating: %q", got)
	}
	if len(v.Warnings) != 1 || left(v.Warnings[0].Closes, now) != "1:42" {
		t.Errorf("warnings %+v", v.Warnings)
	}
	if v := newView(sample(now, false)); v.Standing != "Online" || v.Rows[5].Lease != "renewed while online" {
		t.Errorf("%+v", v)
	}
	for d, want := range map[time.Duration]string{-time.Second: "0:00", 59 * time.Second: "0:59", 90 * time.Minute: "1 h 30 min", 50 * time.Hour: "2 days"} {
		if got := left(now.Add(d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
