package web

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"leasehold/internal/auth"
	"leasehold/internal/control"
)

// Config is what the pages need.
type Config struct {
	Control *control.Control
	Log     *slog.Logger // nil: discarded
	// Secure marks cookies as for HTTPS only; set it when people reach the server by https.
	Secure bool
	// ClientIP tells where a request comes from; nil takes the connection's address.
	// A server behind a trusted proxy sets it.
	ClientIP func(*http.Request) string
	// TrustedOrigins may post forms besides the page's own: the public URL of a server
	// behind a proxy that rewrites the host.
	TrustedOrigins []string
	// Streams and Socket show streamed apps; without both of them there is no viewer.
	Streams Streams
	Socket  Socket
}

// Server serves the pages.
type Server struct {
	Config
	sessions *scs.SessionManager
	origins  *http.CrossOriginProtection
	assets   *assets

	stop    sync.Once
	stopped chan struct{}
}

// New returns the pages over the use cases. It fails for a trusted origin that is none.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ClientIP == nil {
		cfg.ClientIP = remoteIP
	}
	s := &Server{Config: cfg, assets: embeddedAssets(), stopped: make(chan struct{})}
	s.origins = http.NewCrossOriginProtection()
	for _, o := range cfg.TrustedOrigins {
		if err := s.origins.AddTrustedOrigin(o); err != nil {
			return nil, err
		}
	}
	s.sessions = scs.New()
	s.sessions.Store = webSessions{cfg.Control}
	s.sessions.HashTokenInStore = true
	s.sessions.Lifetime = 12 * time.Hour
	s.sessions.IdleTimeout = 0 // an idle timeout would write the session on every page
	s.sessions.Cookie.Name = "leasehold_session"
	s.sessions.Cookie.Secure = cfg.Secure
	s.sessions.Cookie.SameSite = http.SameSiteLaxMode
	if cfg.Secure {
		// The prefix makes browsers refuse the cookie from any other host or without TLS.
		s.sessions.Cookie.Name = "__Host-leasehold_session"
	}
	s.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		s.fail(w, r, err)
	}
	return s, nil
}

// Close ends the event streams, so that a graceful stop does not wait for open pages.
func (s *Server) Close() { s.stop.Do(func() { close(s.stopped) }) }

// Register adds every page to the routes with who may call it.
func (s *Server) Register(routes *auth.Routes) {
	routes.Handle("GET /assets/favicon.svg", auth.Public, plain, serveStatic("favicon.svg"))
	routes.Handle("GET /assets/{file}", auth.Public, plain, s.assets)
	for _, p := range append(s.pages(), s.viewerPages()...) {
		routes.Handle(p.pattern, p.access, s.gate, p.handler)
	}
}

// plain is the gate of files that are the same for everybody.
func plain(_ auth.Access, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
