package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// TestClientAddress: behind a trusted proxy an address counts only if the proxy says it in
// a way that we can read, and it is never the proxy's own. Others say nothing of themselves.
func TestClientAddress(t *testing.T) {
	s := &Server{Config: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, x := range []struct{ peer, header, value, want string }{
		{"10.0.0.1:4000", "X-Forwarded-For", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "203.0.113.9:51234", "203.0.113.9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "[2001:db8::9]:51234", "2001:db8::9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "[2001:db8::9]", "2001:db8::9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "2001:db8::9", "2001:db8::9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "::ffff:203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "unknown", "unknown"},
		{"10.0.0.1:4000", "X-Forwarded-For", "_hidden", "unknown"},
		{"10.0.0.1:4000", "X-Forwarded-For", "", "unknown"},
		{"10.0.0.1:4000", "", "", "unknown"},
		{"10.0.0.1:4000", "Forwarded", "for=203.0.113.9", "unknown"},
		{"10.0.0.1:4000", "X-Real-Ip", "203.0.113.9", "unknown"},
		// What a client wrote itself stands before what the proxies did.
		{"10.0.0.1:4000", "X-Forwarded-For", "127.0.0.1, 203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "127.0.0.1, 203.0.113.9, 10.0.0.7:81", "203.0.113.9"},
		{"10.0.0.1:4000", "X-Forwarded-For", "203.0.113.9, nonsense", "unknown"},
		{"10.0.0.1:4000", "X-Forwarded-For", "10.0.0.9", "unknown"},
		{"[fd00::1]:4000", "X-Forwarded-For", "203.0.113.9", "203.0.113.9"},
		{"[::ffff:10.0.0.1]:4000", "X-Forwarded-For", "203.0.113.9", "203.0.113.9"},
		// Nobody else is believed.
		{"192.0.2.4:4000", "X-Forwarded-For", "127.0.0.1", "192.0.2.4"},
		{"[::1]:4000", "X-Forwarded-For", "203.0.113.9", "::1"},
		{"@", "X-Forwarded-For", "203.0.113.9", "unknown"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = x.peer
		if x.header != "" {
			r.Header.Set(x.header, x.value)
		}
		if got := s.clientIP(r); got != x.want {
			t.Errorf("%s with %s: %s comes from %s, want %s", x.peer, x.header, x.value, got, x.want)
		}
	}
}

// TestPlainHTTP is for loopback and for the proxy in front.
func TestPlainHTTP(t *testing.T) {
	s := &Server{Config: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for peer, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "10.1.2.3:1": false, "192.0.2.4:1": true, "[2001:db8::1]:1": true, "@": true} {
		r := httptest.NewRequest("GET", "http://apps.example.org/", nil)
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		if got := s.exposed(w, r); got != want || got && w.Code != http.StatusForbidden {
			t.Errorf("%s in plain HTTP: refused %v, %d", peer, got, w.Code)
		}
		r.TLS = &tls.ConnectionState{}
		if s.exposed(w, r) {
			t.Errorf("%s with TLS is refused", peer)
		}
	}
}

// TestClientThatReadsNothing: it held its connection for as long as it liked. The deadline
// is each write's, so a slow client that does read is not cut off.
func TestClientThatReadsNothing(t *testing.T) {
	const within = 300 * time.Millisecond
	ended := make(chan error, 1)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := newDeadlineWriter(w)
		d.within = within
		chunk := make([]byte, 1<<20)
		for range 200 {
			if _, err := d.Write(chunk); err != nil {
				ended <- err
				return
			}
			if r.URL.Path == "/slow" {
				time.Sleep(within / 50)
			}
		}
		ended <- nil
	}))
	defer hs.Close()
	for path, cut := range map[string]bool{"/nothing": true, "/slow": false} {
		c, err := net.Dial("tcp", hs.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if !cut {
			go func() {
				b := make([]byte, 1<<20)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
				}
			}()
		}
		select {
		case err := <-ended:
			if (err != nil) != cut {
				t.Errorf("%s: %v", path, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it still writes", path)
		}
		c.Close()
	}
}
