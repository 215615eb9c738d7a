package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"leasehold/internal/server/problem"
)

// unknownAddress is where a request comes from if the proxy in front does not say it in a
// way that we can read. It is in no network, and never taken for the proxy's own.
const unknownAddress = "unknown"

// clientIP is where a request comes from: the connection's address or, behind trusted
// proxies, the last address of X-Forwarded-For that is not one of theirs. It is
// unknownAddress if a trusted proxy does not say.
func (s *Server) clientIP(r *http.Request) string {
	addr, ok := address(r.RemoteAddr)
	if !ok {
		return unknownAddress
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; s.trusted(addr); i-- {
		if i < 0 {
			return unknownAddress
		}
		if addr, ok = address(hops[i]); !ok {
			return unknownAddress
		}
	}
	return addr.String()
}

// address reads an address with or without a port, as proxies write it. An IPv4 address
// that came mapped into IPv6 is the IPv4 address.
func address(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// exposed answers a request that came in plain HTTP over a network, past the proxy that does
// TLS, and reports whether it was one: passwords and credentials are not for the wire.
func (s *Server) exposed(w http.ResponseWriter, r *http.Request) bool {
	a, ok := address(r.RemoteAddr)
	if r.TLS != nil || ok && (a.IsLoopback() || s.trusted(a)) {
		return false
	}
	problem.Write(w, problem.New(http.StatusForbidden, "plain HTTP is for the proxy in front of this server only; use "+s.PublicURL))
	return true
}
