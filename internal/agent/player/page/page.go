// Package page is the player's page for its user: what is on this device, how long it may
// run, and the few things to do about it. The running player serves it, on the loopback
// address alone, to the browser of the user who opened it.
//
// Others on the machine, and other sites in the same browser, are kept out: an address that
// opens the page works once and for a few minutes, and is exchanged for a cookie that only
// this page's own unguessable path receives (cookies know no ports); a request of another
// user's process is refused where the system tells whose it is; so is one with another
// Host, as after DNS rebinding, and a POST from another origin.
package page

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"leasehold/internal/agent"
)

//go:embed page.html page.css page.js
var files embed.FS

// State is what the page shows.
type State struct {
	Device   string
	Server   string
	Link     agent.Link
	Sessions []agent.Info
	Now      time.Time // on the user's clock
}

// Config is what a Server needs.
type Config struct {
	State func() State
	// Do carries out start, return, remove, upgrade or later for a session.
	Do  func(ctx context.Context, op string, session int64) error
	Log *slog.Logger
}

// openFor is how long an address that opens the page is good, once.
const openFor = 5 * time.Minute

// Server serves the page.
type Server struct {
	Config
	listener net.Listener
	http     *http.Server
	base     string // the page's path, with slashes around
	cookie   string // the cookie's value
	page     *template.Template

	mu      sync.Mutex
	tickets map[string]time.Time // addresses not used yet, and until when
}

// Listen takes a port of the loopback address.
func Listen(cfg Config) (*Server, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	s := &Server{Config: cfg, listener: l, base: "/" + rand.Text() + "/", cookie: rand.Text(), tickets: map[string]time.Time{}}
	if s.page, err = template.New("page.html").Funcs(functions).ParseFS(files, "page.html"); err != nil {
		return nil, errors.Join(fmt.Errorf("page: %w", err), l.Close())
	}
	s.http = &http.Server{
		Handler: s.guarded(s.routes()), ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return s, nil
}

// Serve serves the page until Close.
func (s *Server) Serve() { _ = s.http.Serve(s.listener) }

// Close ends it.
func (s *Server) Close() error { return s.http.Close() }

// Address returns an address that opens the page, once.
func (s *Server) Address() string {
	ticket := rand.Text()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, until := range s.tickets {
		if now.After(until) {
			delete(s.tickets, t)
		}
	}
	s.tickets[ticket] = now.Add(openFor)
	return "http://" + s.listener.Addr().String() + s.base + "open?ticket=" + ticket
}

// take reports whether a ticket is good; it is not any more then.
func (s *Server) take(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.tickets[ticket]
	delete(s.tickets, ticket)
	return ok && time.Now().Before(until)
}

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded refuses what does not come from this user's own browser and this page.
func (s *Server) guarded(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.Host != s.listener.Addr().String() {
			http.Error(w, "This address is not that of the player's page.", http.StatusMisdirectedRequest)
			return
		}
		if !sameUser(r.RemoteAddr) {
			http.Error(w, "This page belongs to another user of this machine.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+s.base+"open", s.open)
	mine := func(pattern string, f http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie(cookieName)
			if err != nil || subtle.ConstantTimeCompare([]byte(c.Value), []byte(s.cookie)) != 1 {
				s.closed(w)
				return
			}
			f(w, r)
		})
	}
	mux.HandleFunc("GET "+s.base+"page.css", asset("page.css", "text/css; charset=utf-8"))
	mine("GET "+s.base+"page.js", asset("page.js", "text/javascript; charset=utf-8"))
	mine("GET "+s.base+"{$}", s.list)
	mine("GET "+s.base+"live", s.live)
	mine("GET "+s.base+"sessions/{id}/{op}", s.ask)
	mine("POST "+s.base+"sessions/{id}/{op}", s.act)
	return mux
}

func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		http.ServeFileFS(w, r, files, name)
	}
}

const cookieName = "leasehold_player"

// open exchanges the ticket of an address for the cookie. The page follows by a refresh:
// the browser keeps a strict cookie from a redirect that began at another site.
func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	if !s.take(r.FormValue("ticket")) {
		s.closed(w)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: s.cookie, Path: s.base, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	s.write(w, http.StatusOK, "opening", s.base)
}

// closed is what somebody without the cookie sees.
func (s *Server) closed(w http.ResponseWriter) { s.write(w, http.StatusForbidden, "closed", s.base) }

// write renders a part of the page's template.
func (s *Server) write(w http.ResponseWriter, status int, part string, data any) {
	var b bytes.Buffer
	if err := s.page.ExecuteTemplate(&b, part, data); err != nil {
		s.Log.Error("the player's page", "part", part, "err", err)
		http.Error(w, "The page could not be made. The player's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	v.Said = said(v, r.FormValue("did"), r.FormValue("session"))
	s.write(w, http.StatusOK, "page", v)
}

// live is what of the page changes.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	s.write(w, http.StatusOK, "live", s.view())
}

func (s *Server) view() *view {
	v := newView(s.State())
	v.Base = s.base
	return v
}

// named finds the session that a request names, and what it may do to it.
func (s *Server) named(r *http.Request) (v *view, row *row, op string, ok bool) {
	v = s.view()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	op = r.PathValue("op")
	if _, known := asks[op]; err != nil || !known && !plain[op] {
		return v, nil, op, false
	}
	for i := range v.Rows {
		if v.Rows[i].Session == id {
			return v, &v.Rows[i], op, true
		}
	}
	return v, nil, op, false
}

// ask is the page that asks whether to do what cannot be undone.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) {
	v, app, op, ok := s.named(r)
	if !ok || plain[op] {
		v.Error = "That app is not on this device any more."
		s.write(w, http.StatusNotFound, "page", v)
		return
	}
	s.write(w, http.StatusOK, "ask", struct {
		*view
		Row *row
		Ask asked
	}{v, app, asks[op]})
}

func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	v, row, op, ok := s.named(r)
	if !ok {
		v.Error = "That app is not on this device any more."
		s.write(w, http.StatusNotFound, "page", v)
		return
	}
	if err := s.Do(r.Context(), op, row.Session); err != nil {
		v = s.view()
		v.Error = fmt.Sprintf("%s: %s.", row.App, err)
		s.write(w, http.StatusConflict, "page", v)
		return
	}
	http.Redirect(w, r, fmt.Sprintf("%s?did=%s&session=%d", s.base, op, row.Session), http.StatusSeeOther)
}
