// Package servertest is a real server in a test: the use cases over SQLite in a temporary
// folder, with a small organisation, reached over HTTP or called directly.
package servertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"leasehold/internal/auth"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/server/agentapi"
	"leasehold/internal/server/gateway"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/wire"
)

// Server is a server with one administrator and one user.
type Server struct {
	Control *control.Control
	Store   store.Store
	URL     string // of its HTTP face; see Serve
	Admin   control.Who
	User    control.Who

	t testing.TB
}

// New returns a server on a database of its own. Nothing runs beside the caller until Run
// or Serve is called. cfg needs neither a store nor an address.
func New(t testing.TB, cfg control.Config) *Server {
	t.Helper()
	return With(t, sqlitetest.Open(t), cfg)
}

// With returns a server on an open store, which stays the caller's to close.
func With(t testing.TB, st store.Store, cfg control.Config) *Server {
	t.Helper()
	ctx := context.Background()
	s := &Server{t: t, Store: st}
	cfg.Store = st
	if cfg.PublicURL == "" {
		cfg.PublicURL = "http://127.0.0.1:1"
	}
	if cfg.Limits == (control.Limits{}) {
		cfg.Limits = control.MaxLimits // the user of a test does what many do
	}
	var err error
	if s.Control, err = control.New(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	// Nobody signs in, so that no test waits for a password's hash.
	s.Admin = control.Who{Username: "root", Admin: true}
	ann := &directory.User{Username: "ann", Name: "Ann Berg", Email: "ann@example.org"}
	if err := s.Control.CreateUser(ctx, s.Admin, ann, ""); err != nil {
		t.Fatal(err)
	}
	s.User = control.WhoIs(ann, "")
	return s
}

// Serve serves the agents' API on a loopback address and keeps the server's time, until
// the test is over. It sets URL, also in launch links.
func (s *Server) Serve(log *slog.Logger) {
	s.t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	done := make(chan struct{})
	routes := auth.NewRoutes()
	g := gateway.New(gateway.Config{Issue: s.Control.OpenTunnel, Done: done, Log: log})
	api := &agentapi.Server{Control: s.Control, Log: log, Done: done, Tunnels: tunnels{g}, ClientIP: func(r *http.Request) string {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return host
	}}
	api.Register(routes)
	mux := http.NewServeMux()
	mux.Handle("/", routes)
	mux.HandleFunc("GET "+pathView+"{session}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.PathValue("session"), 10, 64)
		if err := g.View(w, r, id); err != nil {
			log.Debug("stream", "session", id, "err", err)
		}
	})
	hs := httptest.NewServer(mux)
	s.URL = hs.URL
	s.Control.PublicURL = hs.URL
	ctx, cancel := context.WithCancel(context.Background())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		s.Control.Run(ctx)
	}()
	s.t.Cleanup(func() {
		close(done)
		_ = g.Shutdown(ctx) // what was hijacked is not the HTTP server's any more
		hs.CloseClientConnections()
		hs.Close()
		cancel()
		<-kept
	})
}

// tunnels says in the agents' API's words that nobody waits.
type tunnels struct{ *gateway.Gateway }

func (t tunnels) Tunnel(w http.ResponseWriter, r *http.Request, session int64, ticket string) error {
	err := t.Gateway.Tunnel(w, r, session, ticket)
	if errors.Is(err, gateway.ErrNobodyWaits) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return err
}

// pathView is where a served server's gateway lets in whoever asks.
const pathView = "/test/view/"

// Watch opens the display of a session as a browser does, without its page and without
// asking who it is.
func (s *Server) Watch(ctx context.Context, session int64) (*websocket.Conn, error) {
	c, _, err := websocket.Dial(ctx, fmt.Sprintf("ws%s%s%d", strings.TrimPrefix(s.URL, "http"), pathView, session), nil)
	return c, err
}

// Terms are those of an app for a test.
type Terms struct {
	Kind      lease.Kind
	Seats     int
	Heartbeat int   // seconds, default 1
	Warnings  []int // seconds, default 2 and 1
	Offline   int   // seconds, of a fixed licence
	Packages  []catalog.Package
	Stream    *catalog.StreamSettings // a streamed app
}

// App makes an app that the user may launch, with one delivery method, and returns both.
func (s *Server) App(name string, terms Terms) (*catalog.App, *catalog.DeliveryMethod) {
	s.t.Helper()
	ctx := context.Background()
	app := &catalog.App{Name: name}
	if err := s.Control.CreateApp(ctx, s.Admin, app); err != nil {
		s.t.Fatal(err)
	}
	dm := &catalog.DeliveryMethod{
		AppID: app.ID, Name: name, HeartbeatSeconds: max(terms.Heartbeat, 1), WarningsSeconds: terms.Warnings,
		Licence:  catalog.Licence{Type: terms.Kind, Seats: terms.Seats, OfflineSeconds: terms.Offline},
		Packages: terms.Packages,
	}
	if dm.Stream = terms.Stream; dm.Stream != nil {
		dm.Kind = session.Stream
	} else if dm.WarningsSeconds == nil {
		dm.WarningsSeconds = []int{2, 1}
	}
	if err := s.Control.CreateDeliveryMethod(ctx, s.Admin, dm); err != nil {
		s.t.Fatal(err)
	}
	p := &directory.Provision{Name: name, UserIDs: []int64{s.User.UserID}, DeliveryMethodIDs: []int64{dm.ID}, Enabled: true}
	if err := s.Control.CreateProvision(ctx, s.Admin, p); err != nil {
		s.t.Fatal(err)
	}
	return app, dm
}

// Seats limits how many may run an app at once by a delivery method.
func (s *Server) Seats(dm int64, n int) {
	s.t.Helper()
	_, err := s.Control.UpdateDeliveryMethod(context.Background(), s.Admin, dm, func(d *catalog.DeliveryMethod) error {
		d.Licence.Seats = n
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// EnrolmentKey makes a key for players.
func (s *Server) EnrolmentKey() string { return s.EnrolmentKeyFor(wire.Player) }

// EnrolmentKeyFor makes a key for any number of agents of a kind, which need no approval.
func (s *Server) EnrolmentKeyFor(kind wire.AgentKind) string {
	s.t.Helper()
	key, _, err := s.Control.NewEnrolmentKey(context.Background(), s.Admin, control.KeyTerms{Kind: kind, Uses: control.MaxKeyUses, Approved: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// Launch has the user launch an app by link.
func (s *Server) Launch(app int64) *control.Launched {
	s.t.Helper()
	l, err := s.Control.Launch(context.Background(), s.User, app, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// Session is a session as it is now.
func (s *Server) Session(id int64) *session.Session {
	s.t.Helper()
	var out *session.Session
	err := s.Store.View(context.Background(), func(tx store.Tx) (err error) {
		out, err = tx.Session(id)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// Row returns a session with its times as people read them.
func (s *Server) Row(id int64) store.SessionRow {
	s.t.Helper()
	rows, _, err := s.Control.SessionRows(context.Background(), []int64{id})
	if err != nil || len(rows) != 1 {
		s.t.Fatalf("session %d: %d rows, %v", id, len(rows), err)
	}
	return rows[0]
}

// Act has the administrator act on a session.
func (s *Server) Act(id int64, action session.Action, reason string) {
	s.t.Helper()
	if _, err := s.Control.Act(context.Background(), s.Admin, id, action, reason); err != nil {
		s.t.Fatal(err)
	}
}

// Direct calls the use cases as an agent would over the wire: every message is encoded and
// decoded, but nothing listens anywhere, so it works inside a synctest bubble.
type Direct struct {
	Control *control.Control
	Agent   int64
	From    string // the address that check-ins come from; "" is not judged
}

// CheckIn is a check-in.
func (d *Direct) CheckIn(ctx context.Context, m *wire.CheckIn) (*wire.Answer, error) {
	var in wire.CheckIn
	if err := recode(m, &in); err != nil {
		return nil, err
	}
	a, err := d.Control.CheckIn(ctx, d.Agent, &in, d.From)
	if err != nil {
		return nil, err
	}
	var out wire.Answer
	return &out, recode(a, &out)
}

// Events waits for hints until ctx is done.
func (d *Direct) Events(ctx context.Context, hint func()) error {
	ch, stop := d.Control.Hub.WaitAgent(d.Agent)
	defer stop()
	hint()
	for {
		select {
		case <-ch:
			hint()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func recode(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return wire.Decode(bytes.NewReader(b), to)
}

// Eventually polls until ok, for what real processes do, and fails after d.
func Eventually(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}
