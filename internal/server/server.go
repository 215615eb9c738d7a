// Package server composes the process: the store, the use cases, the four faces on one
// mux, the listener with or without TLS, and a graceful stop.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"leasehold/internal/auditlog"
	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/server/adminapi"
	"leasehold/internal/server/agentapi"
	"leasehold/internal/server/gateway"
	"leasehold/internal/server/problem"
	"leasehold/internal/server/recovery"
	"leasehold/internal/server/web"
	"leasehold/internal/store"
)

// Config is what a server needs.
type Config struct {
	Store     store.Store
	PublicURL string // as people and agents reach it, without a final slash
	NodeURL   string // as stream hosts reach this very node; PublicURL if empty
	// LoopbackHosts are further names under which the server answers, all of them loopback:
	// localhost, names below it, loopback addresses.
	LoopbackHosts []string
	Version       string
	Log           *slog.Logger
	// TrustedProxies may say where a request comes from, in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	Force, Wait    time.Duration // see control.Config
	Heartbeat      time.Duration
	Limits         control.Limits
	// AuditLog gets each entry of the audit log, for a collector; nil: there is none.
	AuditLog *auditlog.Log
	// StopWait is how long a graceful stop waits for requests under way, and then for work
	// beside them; 10 s if zero.
	StopWait time.Duration
}

// Server is the whole of one node.
type Server struct {
	Config
	Control *control.Control
	Routes  *auth.Routes

	web     *web.Server
	gateway *gateway.Gateway
	metrics *metrics
	hosts   hostNames
	hsts    bool // browsers are told to come by TLS only (RFC 6797)
	done    chan struct{}
	stop    sync.Once
}

// New builds a server over its store.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(cfg.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("public URL %q: must be https://host or http://host", cfg.PublicURL)
	}
	if cfg.StopWait <= 0 {
		cfg.StopWait = 10 * time.Second
	}
	cfg.PublicURL = strings.TrimSuffix(cfg.PublicURL, "/")
	hosts, err := namesOf([]string{cfg.PublicURL, cfg.NodeURL}, cfg.LoopbackHosts)
	if err != nil {
		return nil, err
	}
	var audit func(store.AuditEntry)
	if cfg.AuditLog != nil {
		audit = cfg.AuditLog.Add
	}
	c, err := control.New(ctx, control.Config{AuditLog: audit, Store: cfg.Store, PublicURL: cfg.PublicURL, NodeURL: cfg.NodeURL, Log: cfg.Log, Force: cfg.Force, Wait: cfg.Wait, Heartbeat: cfg.Heartbeat, Limits: cfg.Limits})
	if err != nil {
		return nil, err
	}
	s := &Server{Config: cfg, Control: c, Routes: auth.NewRoutes(), metrics: newMetrics(c, cfg.AuditLog), hosts: hosts, hsts: u.Scheme == "https", done: make(chan struct{})}
	s.gateway = gateway.New(gateway.Config{Issue: s.issue, Origins: []string{u.Scheme + "://" + u.Host}, Done: s.done, Log: cfg.Log})
	s.web, err = web.New(web.Config{
		Control: c, Log: cfg.Log, Secure: u.Scheme == "https", ClientIP: s.clientIP,
		TrustedOrigins: []string{u.Scheme + "://" + u.Host}, Streams: c, Socket: s.gateway,
	})
	if err != nil {
		return nil, err
	}
	(&agentapi.Server{Control: c, Log: cfg.Log, ClientIP: s.clientIP, Done: s.done, Tunnels: tunnels{s.gateway}}).Register(s.Routes)
	(&adminapi.Server{Control: c, Log: cfg.Log, Version: cfg.Version, ClientIP: s.clientIP}).Register(s.Routes)
	s.web.Register(s.Routes)
	s.Routes.Handle("GET /healthz", auth.Public, open, http.HandlerFunc(s.healthz))
	s.Routes.Handle("GET /readyz", auth.Public, open, http.HandlerFunc(s.readyz))
	s.Routes.Handle("GET /metrics", auth.Public, s.local, promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return s, nil
}

// issue makes a ticket for a browser that waits for a display.
func (s *Server) issue(ctx context.Context, session int64) (string, error) {
	ticket, err := s.Control.OpenTunnel(ctx, session)
	if errors.Is(err, control.ErrNoDisplay) {
		err = errors.Join(&gateway.RefusedError{Reason: "The app is not running any more."}, err)
	}
	return ticket, err
}

// tunnels says in the agents' API's words that nobody waits.
type tunnels struct{ *gateway.Gateway }

// Tunnel implements agentapi.Tunnels.
func (t tunnels) Tunnel(w http.ResponseWriter, r *http.Request, session int64, ticket string) error {
	err := t.Gateway.Tunnel(w, r, session, ticket)
	if errors.Is(err, gateway.ErrNobodyWaits) {
		err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return err
}

// open lets everybody in.
func open(_ auth.Access, h http.Handler) http.Handler { return h }

// local lets in who asks from this machine: figures of a server are not for the world,
// and a scraper elsewhere comes through the proxy that decides who may.
func (s *Server) local(_ auth.Access, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip, err := netip.ParseAddr(s.clientIP(r)); err != nil || !ip.IsLoopback() {
			problem.Write(w, problem.New(http.StatusForbidden, "metrics are served to this machine only"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.Store.Ping(ctx); err != nil {
		s.Log.Error("not ready", "err", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if _, ok := s.Control.ClockLag(ctx); !ok {
		http.Error(w, "the lease clock cannot be read yet: this node grants nothing", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// Handler is the server's handler: every request gets a number, is logged and counted.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()[:12]
		h := w.Header()
		h.Set("X-Request-Id", id)
		// For what is no page; pages have a policy of their own.
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		if s.hsts {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		rec := recovery.NewWriter(newDeadlineWriter(w))
		start := time.Now()
		// The gates name who asks, for the audit log.
		r = r.WithContext(control.WithRequest(r.Context(), &control.Request{ID: id, From: s.clientIP(r)}))
		defer func() {
			took := time.Since(start)
			pattern := r.Pattern
			if pattern == "" {
				pattern = "none"
			}
			if rec.Status() == http.StatusForbidden {
				s.Control.NoteForbidden(r.Context(), pattern)
			}
			s.metrics.requests.WithLabelValues(pattern, fmt.Sprint(rec.Status())).Inc()
			if rec.Status() != http.StatusSwitchingProtocols {
				// A web socket lasts as long as its stream; that is no time to answer.
				s.metrics.seconds.WithLabelValues(pattern).Observe(took.Seconds())
			}
			s.Log.Debug("request", "request", id, "method", r.Method, "path", r.URL.Path, "status", rec.Status(), "took", took)
		}()
		if s.misdirected(rec, r) || s.exposed(rec, r) {
			return
		}
		recovery.Serve(s.Routes, rec, r, s.Log, func(w http.ResponseWriter, _ *http.Request) {
			d := problem.Fault()
			d.RequestID = id
			problem.Write(w, d)
		})
	})
}

type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(c *control.Control, audit *auditlog.Log) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leasehold_http_requests_total", Help: "Requests by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "leasehold_http_request_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, clockMetrics{c},
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "leasehold_locked_sessions_total", Help: "Sessions that background work left for later because another transaction had locked them."},
			func() float64 { return float64(c.Skipped()) }))
	if audit != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "leasehold_audit_log_dropped_total", Help: "Entries that were not written to --audit-log, because the disk was slow, full or failed. The database has them."},
			func() float64 { return float64(audit.Dropped()) }))
	}
	return m
}

// clockMetrics reads the lease clock when it is asked.
type clockMetrics struct{ control *control.Control }

var (
	clockLag      = prometheus.NewDesc("leasehold_lease_clock_lag_seconds", "How far the earliest reading of lease time is behind the latest: how long seats and orders stay longer than they need to.", nil, nil)
	clockReadable = prometheus.NewDesc("leasehold_lease_clock_readable", "1 while this node can read the lease clock; otherwise it grants nothing.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m clockMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- clockLag
	ch <- clockReadable
}

// Collect implements prometheus.Collector.
func (m clockMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	lag, ok := m.control.ClockLag(ctx)
	readable := 0.0
	if ok {
		readable = 1
		ch <- prometheus.MustNewConstMetric(clockLag, prometheus.GaugeValue, lag.Seconds())
	}
	ch <- prometheus.MustNewConstMetric(clockReadable, prometheus.GaugeValue, readable)
}

// ErrStuck is returned by Serve if something did not end in time when the server stopped.
var ErrStuck = errors.New("the server stopped without waiting any longer for what did not end")

// Serve serves on the listener until ctx is done, then stops gracefully: event streams
// end at once, requests under way finish. What has not ended after twice StopWait is left
// to the end of the process, and is an ErrStuck.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		MaxHeaderBytes:    64 << 10,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	var wg sync.WaitGroup
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { s.Control.Run(run) })
	wg.Go(func() { s.endStreams(run) })
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.Close()
		wait, done := context.WithTimeout(context.Background(), s.StopWait)
		defer done()
		// Viewers are told to come back; the server does not wait for what was hijacked.
		err = errors.Join(s.gateway.Shutdown(wait), srv.Shutdown(wait))
		srv.Close()
		<-failed
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: requests: %w", ErrStuck, err)
		}
	}
	cancel()
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(s.StopWait):
		err = errors.Join(err, fmt.Errorf("%w: work beside requests", ErrStuck))
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// endStreams tells the viewers on this node at once that a session is over. On another node
// their pages find out when they next ask.
func (s *Server) endStreams(ctx context.Context) {
	ready, take, stop := s.Control.Hub.WaitChanges()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ready:
		}
		take()
		s.Control.Try(ctx, "end streams that are over", func(ctx context.Context) error {
			watched := s.gateway.Sessions()
			if len(watched) == 0 {
				return nil
			}
			rows, _, err := s.Control.SessionRows(ctx, watched)
			for _, r := range rows {
				if r.Status.Ended() {
					s.gateway.End(r.ID, r.Reason)
				}
			}
			return err
		})
	}
}

// Close ends the event streams.
func (s *Server) Close() {
	s.stop.Do(func() {
		close(s.done)
		s.web.Close()
	})
}
