package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"leasehold/internal/fold"
	"leasehold/internal/server/problem"
)

// A page of another site can have its name point to this server's address, and is then of
// the same origin as this server in the eyes of a browser (DNS rebinding). So requests are
// answered only under the names that were declared: the host of the public address, of this
// node's own, and loopback names. Ports are not compared: a proxy may change them, and a
// name that is ours is ours on every port.

// hostNames are the names that requests may be for, folded.
type hostNames map[string]bool

// namesOf returns the names of the addresses, and the loopback names, which must be some.
func namesOf(addresses, loopback []string) (hostNames, error) {
	names := hostNames{}
	for _, a := range addresses {
		if a == "" {
			continue
		}
		u, err := url.Parse(a)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("address %q: must be https://host or http://host", a)
		}
		names[fold.Fold(u.Hostname())] = true
	}
	for _, l := range loopback {
		l = fold.Fold(strings.Trim(l, "[]"))
		ip, err := netip.ParseAddr(l)
		if l != "localhost" && !strings.HasSuffix(l, ".localhost") && (err != nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("loopback name %q: must be localhost, a name below it, or a loopback address as 127.0.0.1", l)
		}
		names[l] = true
	}
	return names, nil
}

// has reports whether a request's host, with or without a port, is one of the names.
func (n hostNames) has(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return n[fold.Fold(strings.TrimSuffix(strings.Trim(name, "[]"), "."))]
}

// misdirected answers a request for another host, and reports whether it was one. Probes and
// scrapers use whatever address they have, and are told nothing that a page could use.
func (s *Server) misdirected(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return false
	}
	if s.hosts.has(r.Host) {
		return false
	}
	detail := "this server does not answer under that name; it is at " + s.PublicURL
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Error(w, "This server does not answer under that name. It is at "+s.PublicURL, http.StatusMisdirectedRequest)
		return true
	}
	problem.Write(w, problem.New(http.StatusMisdirectedRequest, detail))
	return true
}
