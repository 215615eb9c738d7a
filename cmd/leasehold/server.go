package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"leasehold/internal/auditlog"
	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/server"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/sqlite"
)

type serverCmd struct {
	Listen       string        `help:"Address to listen on." default:"127.0.0.1:8080" env:"LEASEHOLD_LISTEN"`
	Data         string        `help:"Folder of the embedded database." type:"path" env:"LEASEHOLD_DATA"`
	DatabaseURL  string        `help:"PostgreSQL database, instead of the embedded one." env:"LEASEHOLD_DATABASE_URL"`
	PublicURL    string        `help:"Address by which people and agents reach the server." env:"LEASEHOLD_PUBLIC_URL"`
	NodeURL      string        `help:"Address by which stream hosts reach this very node; the public one unless set." name:"node-url" env:"LEASEHOLD_NODE_URL" placeholder:"URL"`
	LoopbackHost []string      `help:"Further name under which the server answers: localhost, a name below it, or a loopback address." env:"LEASEHOLD_LOOPBACK_HOST" placeholder:"NAME"`
	TLSCert      string        `help:"Certificate file (PEM)." type:"existingfile" env:"LEASEHOLD_TLS_CERT"`
	TLSKey       string        `help:"Key file of the certificate (PEM)." type:"existingfile" env:"LEASEHOLD_TLS_KEY"`
	TrustedProxy []string      `help:"Addresses (CIDR) of proxies in front, which do TLS and say where requests come from." env:"LEASEHOLD_TRUSTED_PROXY"`
	Force        time.Duration `help:"From asking an app to close to ending it by force." default:"10s" env:"LEASEHOLD_FORCE"`
	Wait         time.Duration `help:"How long an app may run before it is authorised, besides its warnings." default:"30s" env:"LEASEHOLD_WAIT"`
	Heartbeat    time.Duration `help:"Heartbeat of an agent with no live session." default:"5m" env:"LEASEHOLD_HEARTBEAT"`
	RestoredFor  time.Duration `name:"restored-for" help:"With --restored: the longest lease that may be out, if it is longer than the restored database says." env:"LEASEHOLD_RESTORED_FOR"`
	Restored     bool          `help:"The database was restored from a backup: no new seat until every lease from before must be over." env:"LEASEHOLD_RESTORED"`
	AuditLog     string        `help:"File to which each entry of the audit log is appended as a line of JSON, or - for the standard output. Opened anew on SIGHUP." placeholder:"FILE" env:"LEASEHOLD_AUDIT_LOG"`
	LogLevel     slog.Level    `help:"debug, info, warn or error." default:"info" env:"LEASEHOLD_LOG_LEVEL"`
}

// Run is leasehold server.
func (c *serverCmd) Run(ctx context.Context, std *stdio) error {
	privateFiles()
	log := slog.New(slog.NewTextHandler(std.Err, &slog.HandlerOptions{Level: c.LogLevel}))
	var bad invalid.Error
	if err := (&control.Config{Force: c.Force, Wait: c.Wait, Heartbeat: c.Heartbeat}).Validate(); errors.As(err, &bad) {
		return fmt.Errorf("--%s %s", bad[0].Name, bad[0].Message)
	}
	st, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer closeSoon(log, "database", st, closeWait)
	l, err := c.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	return c.serve(ctx, std, log, st, l, nil)
}

// closeWait is how long the end of the process waits for the database to be closed. A
// database is whole without that.
const closeWait = 5 * time.Second

// closeSoon closes what may never be free to be closed, because a request that reads it does
// not end: then it is left to the end of the process.
func closeSoon(log *slog.Logger, name string, c io.Closer, wait time.Duration) {
	done := make(chan error, 1)
	go func() { done <- c.Close() }()
	select {
	case err := <-done:
		if err != nil {
			log.Error("close", "what", name, "err", err)
		}
	case <-time.After(wait):
		log.Error("close: something still uses it", "what", name)
	}
}

// open opens the database that the settings name, and logs what its migrations change.
func (c *serverCmd) open(ctx context.Context, log *slog.Logger) (store.Store, error) {
	switch {
	case c.DatabaseURL != "" && c.Data != "":
		return nil, errors.New("--data and --database-url: give one of them")
	case c.DatabaseURL != "":
		return postgres.Open(ctx, c.DatabaseURL, postgres.WithLog(log))
	case c.Data == "":
		return nil, errors.New("--data: give a folder for the embedded database, or --database-url for PostgreSQL")
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if err := tighten(c.Data, log); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	st, err := sqlite.Open(ctx, c.Data, sqlite.WithLog(log))
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	return st, nil
}

// listen listens with TLS, or without it on loopback or behind a trusted proxy.
func (c *serverCmd) listen() (net.Listener, error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return nil, errors.New("--tls-cert and --tls-key: give both or neither")
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if c.TLSCert == "" {
		if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() && len(c.TrustedProxy) == 0 {
			l.Close()
			return nil, fmt.Errorf("--listen %s: plain HTTP is for loopback only; give --tls-cert and --tls-key, or --trusted-proxy for a proxy in front that does TLS", c.Listen)
		}
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// serve runs the server on the listener. ready is called once it is set up.
func (c *serverCmd) serve(ctx context.Context, std *stdio, log *slog.Logger, st store.Store, l net.Listener, ready func(*server.Server) error) error {
	public := c.PublicURL
	if public == "" {
		scheme := "http"
		if c.TLSCert != "" {
			scheme = "https"
		}
		public = scheme + "://" + l.Addr().String()
	}
	var proxies []netip.Prefix
	for _, p := range c.TrustedProxy {
		pre, err := netip.ParsePrefix(p)
		if err != nil {
			ip, err2 := netip.ParseAddr(p)
			if err2 != nil {
				return fmt.Errorf("--trusted-proxy %q: must be an address or a network, as 10.0.0.0/8", p)
			}
			pre = netip.PrefixFrom(ip, ip.BitLen())
		}
		proxies = append(proxies, pre)
	}
	var audit *auditlog.Log
	if c.AuditLog != "" {
		var err error
		if audit, err = auditlog.Open(c.AuditLog, std.Out, log); err != nil {
			return fmt.Errorf("--audit-log: %w", err)
		}
		stop := onHangup(audit.Reopen)
		defer func() {
			stop()
			if err := audit.Close(context.WithoutCancel(ctx)); err != nil {
				log.Error("close the audit log", "err", err)
			}
		}()
	}
	s, err := server.New(ctx, server.Config{Store: st, AuditLog: audit, PublicURL: public, NodeURL: strings.TrimSuffix(c.NodeURL, "/"), LoopbackHosts: c.LoopbackHost, Version: version, Log: log, TrustedProxies: proxies, Force: c.Force, Wait: c.Wait, Heartbeat: c.Heartbeat})
	if err != nil {
		return err
	}
	user, password := os.Getenv("LEASEHOLD_ADMIN_USER"), os.Getenv("LEASEHOLD_ADMIN_PASSWORD")
	if (user == "") != (password == "") {
		return errors.New("LEASEHOLD_ADMIN_USER and LEASEHOLD_ADMIN_PASSWORD: give both or neither")
	}
	if c.Restored {
		if err := s.Control.RestartClock(ctx); err != nil {
			return fmt.Errorf("--restored: %w", err)
		}
		if err := s.Control.Restored(ctx, c.RestoredFor); err != nil {
			return fmt.Errorf("--restored: %w", err)
		}
	}
	setup, err := s.Control.EnsureAdmin(ctx, user, password)
	if err != nil {
		return fmt.Errorf("the first administrator: %w", err)
	}
	fmt.Fprintf(std.Out, "Leasehold is at %s\n", public)
	if setup != "" {
		fmt.Fprintf(std.Out, "Make the first administrator at %s/setup?token=%s\n", public, setup)
	}
	if ready != nil {
		if err := ready(s); err != nil {
			return err
		}
	}
	log.Info("listening", "address", l.Addr().String(), "public", public, "database", strings.TrimPrefix(fmt.Sprintf("%T", st), "*"))
	return s.Serve(ctx, l)
}
