package sessionnet

import (
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	p := Policy{Allow: []string{"10.1.2.3:27000", "10.9.0.0/16:443"}, Host: []string{"192.0.2.7"}}
	got, err := p.Rules()
	if err != nil {
		t.Fatal(err)
	}
	// What comes first decides: nothing that is allowed reaches the host.
	at := -1
	for _, want := range []string{
		"policy drop", `oifname "lo" accept`, "meta nfproto ipv6 reject", "ip daddr 10.0.2.3 meta l4proto { tcp, udp } th dport 53 accept",
		"ip daddr 192.0.2.7 reject", "ip daddr 10.1.2.3/32 meta l4proto { tcp, udp } th dport 27000 accept",
		"ip daddr 10.9.0.0/16 meta l4proto { tcp, udp } th dport 443 accept", "th dport { 53, 853 } reject", "169.254.0.0/16", "\taccept\n",
	} {
		i := strings.Index(got, want)
		if i <= at {
			t.Errorf("%q is not where it should be in\n%s", want, got)
		}
		at = i
	}
	for _, p := range []Policy{
		{Allow: []string{"10.1.2.3"}}, {Allow: []string{"10.1.2.3 accept; #:1"}}, {Resolvers: []string{"fd00::1"}}, {Resolvers: []string{"x"}}, {Host: []string{"1; accept"}},
	} {
		if got, err := p.Rules(); err == nil {
			t.Errorf("%+v: %s", p, got)
		}
	}
}
