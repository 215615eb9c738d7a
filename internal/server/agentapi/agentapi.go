// Package agentapi is the server's face to agents: enrolment, check-in, redeeming a launch
// link, and the event stream that says "check in now". It is the hot path, so it is plain
// net/http and encoding/json.
package agentapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/server/problem"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// Server serves the agents' API.
type Server struct {
	Control  *control.Control
	Log      *slog.Logger
	ClientIP func(*http.Request) string
	// Done ends the event streams when it is closed, so that a stop does not wait for them.
	Done <-chan struct{}
	// Tunnels joins hosts to browsers; nil where there are no streams.
	Tunnels Tunnels
}

// Tunnels serves a host's web socket for a session, whose ticket was redeemed. The error
// is store.ErrNotFound, and the request not answered, if no browser waits with it here.
type Tunnels interface {
	Tunnel(w http.ResponseWriter, r *http.Request, session int64, ticket string) error
}

type contextKey int

const agentKey contextKey = 0

// Register adds the routes.
func (s *Server) Register(r *auth.Routes) {
	r.Handle("POST "+wire.PathEnrol, auth.Public, s.gate, http.HandlerFunc(s.enrol))
	r.Handle("POST "+wire.PathCheckIn, auth.AgentOnly, s.gate, http.HandlerFunc(s.checkIn))
	r.Handle("POST "+wire.PathRedeem, auth.AgentOnly, s.gate, http.HandlerFunc(s.redeem))
	r.Handle("GET "+wire.PathPeople, auth.AgentOnly, s.gate, http.HandlerFunc(s.people))
	r.Handle("POST "+wire.PathForget, auth.AgentOnly, s.gate, http.HandlerFunc(s.forget))
	if s.Tunnels != nil {
		r.Handle("GET "+wire.PathTunnel, auth.AgentOnly, s.gate, http.HandlerFunc(s.tunnel))
	}
	r.Handle("GET "+wire.PathEvents, auth.AgentOnly, s.gate, http.HandlerFunc(s.events))
	r.Handle("GET /.well-known/jwks.json", auth.Public, s.gate, http.HandlerFunc(s.jwks))
}

func (s *Server) gate(a auth.Access, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a == auth.AgentOnly {
			cred, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok {
				s.fail(w, control.ErrBadCredential)
				return
			}
			id, err := s.Control.Authenticate(r.Context(), cred)
			if err != nil {
				s.fail(w, err)
				return
			}
			control.RequestOf(r.Context()).Actor = fmt.Sprint("agent ", id)
			r = r.WithContext(context.WithValue(r.Context(), agentKey, id))
		}
		h.ServeHTTP(w, r)
	})
}

func agentOf(r *http.Request) int64 { return r.Context().Value(agentKey).(int64) }

func (s *Server) fail(w http.ResponseWriter, err error) {
	problem.Write(w, problem.Of(err, s.Log, w.Header().Get("X-Request-Id")))
}

func (s *Server) answer(w http.ResponseWriter, v any, err error) {
	var b []byte
	if err == nil {
		b, err = json.Marshal(v)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if _, err := w.Write(append(b, '\n')); err != nil {
		s.Log.Debug("answer to an agent", "err", err)
	}
}

// decode reads the request's message; it answers and returns false if it is not one.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, m any) bool {
	if err := wire.Decode(http.MaxBytesReader(w, r.Body, wire.MaxBody+1), m); err != nil {
		s.fail(w, err)
		return false
	}
	return true
}

func (s *Server) enrol(w http.ResponseWriter, r *http.Request) {
	var m wire.Enrol
	if s.decode(w, r, &m) {
		out, err := s.Control.Enrol(r.Context(), &m, s.ClientIP(r))
		s.answer(w, out, err)
	}
}

func (s *Server) checkIn(w http.ResponseWriter, r *http.Request) {
	var m wire.CheckIn
	if s.decode(w, r, &m) {
		out, err := s.Control.CheckIn(r.Context(), agentOf(r), &m, s.ClientIP(r))
		s.answer(w, out, err)
	}
}

func (s *Server) redeem(w http.ResponseWriter, r *http.Request) {
	var m wire.Redeem
	if s.decode(w, r, &m) {
		out, err := s.Control.Redeem(r.Context(), agentOf(r), &m, s.ClientIP(r))
		s.answer(w, out, err)
	}
}

func (s *Server) people(w http.ResponseWriter, r *http.Request) {
	out, err := s.Control.People(r.Context(), agentOf(r))
	s.answer(w, out, err)
}

func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	var m wire.Forget
	if s.decode(w, r, &m) {
		out, err := s.Control.Forget(r.Context(), agentOf(r), &m, s.ClientIP(r))
		s.answer(w, out, err)
	}
}

// tunnel joins a host to the browser that waits with its ticket.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	t, err := s.Control.TakeTunnel(r.Context(), agentOf(r), ticket)
	if err != nil {
		s.fail(w, err)
		return
	}
	if err := s.Tunnels.Tunnel(w, r, t.Session, ticket); errors.Is(err, store.ErrNotFound) {
		s.fail(w, err)
	} else if err != nil {
		s.Log.Debug("tunnel", "session", t.Session, "err", err)
	}
}

func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Write(s.Control.JWKS())
}

// keepAlive is how often an idle event stream says that it is alive.
const keepAlive = 20 * time.Second

// events is the stream of hints. It carries no data: a hint that is lost costs time only.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if s.Control.Hub.Crowded(agentOf(r)) {
		s.fail(w, &control.TooManyError{What: "this agent has too many event streams open; it needs one", After: keepAlive})
		return
	}
	hint, stop := s.Control.Hub.WaitAgent(agentOf(r))
	defer stop()
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	send := func(line string) bool {
		rc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprint(w, line); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
	if !send(": ready\n\n") {
		return
	}
	t := time.NewTicker(keepAlive)
	defer t.Stop()
	for {
		line := ": alive\n\n"
		select {
		case <-r.Context().Done():
			return
		case <-s.Done:
			return
		case <-hint:
			line = "event: check-in\ndata:\n\n"
		case <-t.C:
		}
		if _, err := s.Control.Agent(r.Context(), agentOf(r)); errors.Is(err, store.ErrNotFound) {
			return // it was removed meanwhile
		}
		if !send(line) {
			return
		}
	}
}
