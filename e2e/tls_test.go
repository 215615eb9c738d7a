//go:build linux

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate for 127.0.0.1, of an authority of its own, and returns
// the names of the files.
func certificate(t *testing.T) (authority, cert, key string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Leasehold's test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	must(err)
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER)
}

// TestTLS runs a player against a server with a certificate from files.
func TestTLS(t *testing.T) {
	authority, cert, key := certificate(t)
	s := newServer(t, "--tls-cert", cert, "--tls-key", key)
	s.url = "https://" + s.addr
	pool := x509.NewCertPool()
	b, err := os.ReadFile(authority)
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatal("the authority's certificate cannot be read: ", err)
	}
	s.http = &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	app := org.app("Titration", 1, []int{2, 1})
	state := filepath.Join(t.TempDir(), "state")
	// A certificate that the system does not know is refused.
	if out, err := command(t, nil, "player", "enroll", "--server", s.url, "--key", root.enrolmentKey("player"), "--state", state); err == nil || !strings.Contains(out, "certificate") {
		t.Errorf("enrolled with a server that nobody vouches for: %v: %s", err, out)
	}
	// So is its plain address.
	if resp, err := http.Get("http://" + s.addr + "/readyz"); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("plain HTTP on a TLS port: %s", resp.Status)
		}
	}
	d := enrol(t, root, s.url, "LAB-204", "SSL_CERT_FILE="+authority)
	d.up()
	l := s.signIn("ann", userPassword).mustLaunch(app, 0)
	if !strings.Contains(l.Link, url.QueryEscape(s.url)) {
		t.Errorf("the link is %s", l.Link)
	}
	d.do("launch", l.Link)
	root.awaitStatus(l.Session.ID, "running")
	root.call("POST", "/sessions/"+id(l)+"/evict", object{"reason": "Fire drill"}, nil)
	root.awaitClosed(l.Session.ID)

	// The cookie of a sign-in goes over TLS only.
	resp, err := s.http.PostForm(s.url+"/sign-in", url.Values{"username": {adminName}, "password": {adminPassword}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(resp.Cookies()) == 0 {
		t.Errorf("no cookie: %s", resp.Status)
	}
	for _, c := range resp.Cookies() {
		if !c.Secure || !c.HttpOnly || c.SameSite == http.SameSiteNoneMode {
			t.Errorf("cookie %s is not safe: %s", c.Name, resp.Header["Set-Cookie"])
		}
	}
}

// TestPlain shows that nothing secret goes over a network in the clear.
func TestPlain(t *testing.T) {
	out, err := command(t, nil, "player", "enroll", "--server", "http://192.0.2.1:8080", "--key", "x", "--state", filepath.Join(t.TempDir(), "state"))
	if err == nil || !strings.Contains(out, "plain http") {
		t.Errorf("enroll over plain http: %v: %s", err, out)
	}
	out, err = command(t, nil, "server", "--listen", "0.0.0.0:0", "--data", filepath.Join(t.TempDir(), "data"))
	if err == nil || !strings.Contains(out, "--trusted-proxy") || !strings.Contains(out, "--tls-cert") {
		t.Errorf("plain http on every interface: %v: %s", err, out)
	}
	// Behind a proxy that does TLS it may.
	addr := strings.Replace(freePort(t), "127.0.0.1", "0.0.0.0", 1)
	s := newServer(t, "--listen", addr, "--trusted-proxy", "127.0.0.0/8", "--public-url", "https://leasehold.example.org")
	s.url = "http://" + strings.Replace(addr, "0.0.0.0", "127.0.0.1", 1)
	s.up()
}
