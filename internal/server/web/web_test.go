package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/wire"
)

// A site is the pages over the real use cases on a temporary database.
type site struct {
	t    *testing.T
	c    *control.Control
	web  *Server
	http *httptest.Server
	root control.Who // an administrator
	down atomic.Bool // the server does not answer

	admin, ann *directory.User
	agents     map[int64]*agent
}

const password = "correct horse"

// newSite has the administrator olga and the user ann.
func newSite(t *testing.T) *site {
	t.Helper()
	s := emptySite(t)
	_, err := s.c.EnsureAdmin(t.Context(), "olga", password)
	s.must(err)
	s.admin, err = s.c.SignIn(t.Context(), control.Credentials{Username: "olga", Password: password})
	s.must(err)
	s.root = control.WhoIs(s.admin, "test")
	s.ann = s.user("ann", "Ann Berg")
	return s
}

// tick keeps the lease clock until the test is over; nothing else runs beside the test.
func tick(t *testing.T, st *sqlite.Store) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(lease.Period):
				if err := st.Tick(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// emptySite has nobody.
func emptySite(t *testing.T) *site {
	t.Helper()
	ctx := t.Context()
	st := sqlitetest.Open(t)
	tick(t, st)
	c, err := control.New(ctx, control.Config{Store: st, PublicURL: "http://127.0.0.1", Limits: control.MaxLimits, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	web, err := New(Config{Control: c, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	routes := auth.NewRoutes()
	web.Register(routes)
	s := &site{t: t, c: c, web: web, agents: map[int64]*agent{}}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		routes.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { web.Close(); s.http.Close() })
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) user(username, name string) *directory.User {
	s.t.Helper()
	u := &directory.User{Username: username, Name: name}
	s.must(s.c.CreateUser(s.t.Context(), s.root, u, password))
	return u
}

// app makes an app that ann may launch by a floating delivery method.
func (s *site) app(name string) (*catalog.App, *catalog.DeliveryMethod) {
	s.t.Helper()
	ctx := s.t.Context()
	a := &catalog.App{Name: name, Description: name + " for everybody"}
	s.must(s.c.CreateApp(ctx, s.root, a))
	d := &catalog.DeliveryMethod{AppID: a.ID, Name: name + " online", Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"/bin/true"}}}}
	s.must(s.c.CreateDeliveryMethod(ctx, s.root, d))
	p := &directory.Provision{Name: name + " for all", UserIDs: []int64{s.ann.ID}, DeliveryMethodIDs: []int64{d.ID}, Enabled: true}
	s.must(s.c.CreateProvision(ctx, s.root, p))
	return a, d
}

// device enrols a player and returns its id.
func (s *site) device(name string) int64 {
	s.t.Helper()
	key, _, err := s.c.NewEnrolmentKey(s.t.Context(), s.root, control.KeyTerms{Kind: wire.Player})
	s.must(err)
	e, err := s.c.Enrol(s.t.Context(), &wire.Enrol{V: wire.Version, Key: key, Kind: wire.Player, Name: name, OS: "linux", Arch: "amd64", Version: "1"}, "test")
	s.must(err)
	return e.AgentID
}

// launch makes a session of ann's and, with a device, has it added there and run.
func (s *site) launch(app int64, device int64, run bool) int64 {
	s.t.Helper()
	ctx := s.t.Context()
	l, err := s.c.Launch(ctx, control.WhoIs(s.ann, "test"), app, 0)
	s.must(err)
	if device != 0 {
		_, err = s.c.Redeem(ctx, device, &wire.Redeem{V: wire.Version, Ticket: ticketOf(s.t, l.Link)}, "")
		s.must(err)
	}
	if run {
		s.observe(device, l.Session.ID)
	}
	return l.Session.ID
}

// ticketOf is the ticket in a launch link.
func ticketOf(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("ticket")
}

// A browser keeps cookies and follows redirects; nobody is signed in.
func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &browser{s, &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

func (s *site) as(username string) *browser {
	s.t.Helper()
	b := s.browser()
	a := b.post("/sign-in", url.Values{"username": {username}, "password": {password}})
	if a.code != 200 || strings.Contains(a.path, "sign-in") {
		s.t.Fatalf("sign-in of %s ended at %s with %d", username, a.path, a.code)
	}
	return b
}

type browser struct {
	*site
	client *http.Client
}

// An answer is a page as it arrived, after redirects.
type answer struct {
	t    *testing.T
	code int
	path string // where the redirects led
	body string
	head http.Header
}

func (b *browser) do(req *http.Request) *answer {
	b.t.Helper()
	resp, err := b.client.Do(req)
	b.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	b.must(err)
	return &answer{b.t, resp.StatusCode, resp.Request.URL.RequestURI(), string(body), resp.Header}
}

func (b *browser) get(path string) *answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "GET", b.http.URL+path, nil)
	b.must(err)
	return b.do(req)
}

func (b *browser) post(path string, form url.Values, header ...string) *answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "POST", b.http.URL+path, strings.NewReader(form.Encode()))
	b.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.http.URL)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return b.do(req)
}

func (a *answer) is(code int) *answer {
	a.t.Helper()
	if a.code != code {
		a.t.Errorf("%s: status %d, want %d\n%s", a.path, a.code, code, a.main())
	}
	return a
}

func (a *answer) has(texts ...string) *answer {
	a.t.Helper()
	for _, s := range texts {
		if !strings.Contains(a.body, s) {
			a.t.Errorf("%s: does not say %q\n%s", a.path, s, a.main())
		}
	}
	return a
}

func (a *answer) lacks(texts ...string) *answer {
	a.t.Helper()
	for _, s := range texts {
		if strings.Contains(a.body, s) {
			a.t.Errorf("%s: says %q", a.path, s)
		}
	}
	return a
}

// main is the page's content, for messages.
func (a *answer) main() string {
	_, s, ok := strings.Cut(a.body, `<main`)
	if !ok {
		s = a.body
	}
	s, _, _ = strings.Cut(s, "</main>")
	if len(s) > 3000 {
		s = s[:3000] + "…"
	}
	return s
}

func vals(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func num(n int64) string { return fmt.Sprint(n) }
