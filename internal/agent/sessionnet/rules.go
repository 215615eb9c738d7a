// Package sessionnet is the network of a streamed session: the public internet,
// and of everything private only what its delivery method allows. It is a
// network namespace whose packets slirp4netns sends as ordinary connections of the
// session's account, behind rules of nftables that belong to a user namespace around
// the session's, so that nothing in the session can change them.
package sessionnet

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"leasehold/internal/catalog"
)

// Resolver is the name server that slirp4netns is within a session: it asks the host's own.
const Resolver = "10.0.2.3"

// device is what the network device of a session is called.
const device = "tap0"

// private are the networks that are not of the internet, by the registry of RFC 6890: this
// host, private, carrier-grade NAT, loopback, link-local (cloud metadata), documentation,
// benchmarks, multicast and reserved.
var private = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
}

// Policy says what a session reaches besides the public internet.
type Policy struct {
	Allow     []string // as catalog.Allowance reads them
	Resolvers []string // IPv4 addresses; [Resolver] if none
	Host      []string // IPv4 addresses of the host, which no session reaches
}

// Servers are the name servers that a session asks.
func (p Policy) Servers() []string {
	if len(p.Resolvers) == 0 {
		return []string{Resolver}
	}
	return p.Resolvers
}

// Rules returns the policy as nft reads it. IPv6, of which slirp4netns gives none, is
// refused; IPv6 sockets that name IPv4 addresses send IPv4. Every address is parsed before it
// becomes part of a rule.
func (p Policy) Rules() (string, error) {
	var b strings.Builder
	b.WriteString("table inet leasehold {\n\tchain out {\n\t\ttype filter hook output priority 0; policy drop;\n")
	rule := func(format string, args ...any) { fmt.Fprintf(&b, "\t\t"+format+"\n", args...) }
	rule(`oifname "lo" accept`)
	rule("meta nfproto ipv6 reject")
	for _, s := range p.Servers() {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() {
			return "", fmt.Errorf("a resolver must be an IPv4 address: %q", s)
		}
		rule("ip daddr %s meta l4proto { tcp, udp } th dport 53 accept", a)
	}
	for _, s := range p.Host {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() {
			return "", fmt.Errorf("not an IPv4 address of the host: %q", s)
		}
		rule("ip daddr %s reject", a)
	}
	for _, s := range p.Allow {
		to, port, err := catalog.Allowance(s)
		if err != nil {
			return "", fmt.Errorf("%q %w", s, err)
		}
		rule("ip daddr %s meta l4proto { tcp, udp } th dport %d accept", to, port)
	}
	// Names are asked of the servers above alone.
	rule("meta l4proto { tcp, udp } th dport { 53, 853 } reject")
	rule("ip daddr { %s } reject", strings.Join(private, ", "))
	rule("accept")
	b.WriteString("\t}\n}\n")
	return b.String(), nil
}

// HostAddresses returns the IPv4 addresses of this host, but for those of loopback.
func HostAddresses() ([]string, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("find the addresses of the host: %w", err)
	}
	var out []string
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			out = append(out, n.IP.To4().String())
		}
	}
	return out, nil
}
