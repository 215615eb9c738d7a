package wslink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two ends of one web socket, and the connection below them at the dialing end.
func pair(t *testing.T, keepAlive time.Duration) (server, client *Link, wire net.Conn) {
	t.Helper()
	accepted := make(chan *Link, 1)
	over := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := Accept(w, r, keepAlive)
		if err != nil {
			t.Error(err)
		}
		accepted <- l
		<-over
	}))
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		wire = conn
		return conn, err
	}}
	client, err := Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), nil, &http.Client{Transport: transport}, keepAlive)
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() {
		client.CloseNow()
		server.CloseNow()
		close(over)
		transport.CloseIdleConnections()
		srv.Close()
	})
	return server, client, wire
}

// tended calls Tend until it fails or the link is closed.
func tended(l *Link, stop <-chan struct{}) error {
	t := time.NewTicker(l.Every())
	defer t.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-t.C:
			if err := l.Tend(); err != nil {
				return err
			}
		}
	}
}

func TestCopyAndClose(t *testing.T) {
	server, client, _ := pair(t, 0)
	want := bytes.Repeat([]byte("0123456789"), 50_000)
	go func() {
		for p := want; len(p) > 0; {
			n := min(len(p), Chunk)
			if err := client.Write(p[:n]); err != nil {
				t.Error(err)
				return
			}
			p = p[n:]
		}
		client.Close(Ended, strings.Repeat("ä", 100))
	}()
	var got bytes.Buffer
	err := server.Copy(func(p []byte) error {
		if len(p) > Chunk {
			t.Errorf("a chunk of %d bytes", len(p))
		}
		got.Write(p)
		return nil
	})
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes came, not the %d sent", got.Len(), len(want))
	}
	code, reason, ok := Closed(err)
	if !ok || code != Ended || len(reason) > 120 || !utf8.ValidString(reason) || !strings.HasPrefix(reason, "ää") {
		t.Errorf("closed with %d %q %v: %v", code, reason, ok, err)
	}
	if code, _, ok := Closed(io.EOF); ok {
		t.Errorf("closed with %d by an end of file", code)
	}
	failed := errors.New("full")
	server, client, _ = pair(t, 0)
	go client.Write([]byte("x"))
	if err := server.Copy(func([]byte) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("the other side takes no more: %v", err)
	}
}

// Two ends with nothing to say keep each other alive.
func TestQuietPeerLives(t *testing.T) {
	const keepAlive = 200 * time.Millisecond
	server, client, _ := pair(t, keepAlive)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, l := range []*Link{server, client} {
		wg.Go(func() { _ = l.Copy(func([]byte) error { return nil }) })
		wg.Go(func() {
			if err := tended(l, stop); err != nil {
				t.Error(err)
			}
		})
	}
	heard := func(l *Link) int64 { return l.heard.Load() }
	first := [2]int64{heard(server), heard(client)}
	deadline := time.After(10 * time.Second)
	for times := 0; times < 8; { // each takes most of a keep-alive
		select {
		case <-time.After(keepAlive / 4):
			if heard(server) > first[0] && heard(client) > first[1] {
				first = [2]int64{heard(server), heard(client)}
				times++
			}
		case <-deadline:
			t.Fatal("no signs of life")
		}
	}
	close(stop)
	client.Close(Normal, "")
	wg.Wait()
}

// A peer that does not read is gone: with something to send and without.
func TestDeadPeer(t *testing.T) {
	for _, writes := range []bool{false, true} {
		const keepAlive = 100 * time.Millisecond
		server, _, _ := pair(t, keepAlive)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _ = server.Copy(func([]byte) error { return nil }) })
		if writes {
			wg.Go(func() {
				for server.Write(make([]byte, Chunk)) == nil {
				}
			})
		}
		if err := tended(server, nil); !errors.Is(err, ErrDead) {
			t.Errorf("writes %v: %v", writes, err)
		}
		// The promise is 45 s for a keep-alive of 20.
		if took := time.Since(begin); took > keepAlive*9/4+2*time.Second {
			t.Errorf("writes %v: noticed after %v", writes, took)
		}
		server.CloseNow()
		wg.Wait()
	}
}

// A peer that takes its time over a chunk, and so answers nothing, is not gone.
func TestSlowPeerLives(t *testing.T) {
	const keepAlive = 200 * time.Millisecond
	server, client, _ := pair(t, keepAlive)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	got := make(chan int, 1)
	wg.Go(func() {
		n := 0
		_ = client.Copy(func(p []byte) error {
			if n == 0 {
				time.Sleep(5 * keepAlive) // it is what is tested
			}
			n += len(p)
			return nil
		})
		got <- n
	})
	wg.Go(func() { _ = server.Copy(func([]byte) error { return nil }) })
	for _, l := range []*Link{server, client} {
		wg.Go(func() {
			if err := tended(l, stop); err != nil {
				t.Error(err)
			}
		})
	}
	const chunks = 400 // 12 MB: more than the system holds
	for range chunks {
		if err := server.Write(make([]byte, Chunk)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	server.Close(Normal, "")
	wg.Wait()
	if n := <-got; n != chunks*Chunk {
		t.Errorf("%d bytes came, not %d", n, chunks*Chunk)
	}
}

func TestNotASocket(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/text" || r.URL.Path == "/foreign" {
			l, err := Accept(w, r, 0, "https://elsewhere.example.org")
			if err != nil {
				return
			}
			if err := l.Copy(func([]byte) error { return nil }); r.URL.Path == "/text" && !errors.Is(err, ErrText) {
				t.Errorf("text: %v", err)
			}
			l.CloseNow()
			return
		}
		http.NotFound(w, r)
	}))
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	url := "ws" + strings.TrimPrefix(srv.URL, "http")
	var status *StatusError
	if _, err := Dial(t.Context(), url, nil, nil, 0); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("no such ticket: %v", err)
	}
	for origin, let := range map[string]bool{"https://evil.example.org": false, "https://elsewhere.example.org": true} {
		l, err := Dial(t.Context(), url+"/foreign", http.Header{"Origin": {origin}}, nil, 0)
		if let != (err == nil) {
			t.Errorf("from %s: %v", origin, err)
		}
		if !let && (!errors.As(err, &status) || status.Status != http.StatusForbidden) {
			t.Errorf("from %s: %v", origin, err)
		}
		if err == nil {
			l.CloseNow()
		}
	}
	l, err := Dial(t.Context(), url+"/text", nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.conn.Write(t.Context(), 1, []byte("hello")); err != nil {
		t.Error(err)
	}
	_ = l.Copy(func([]byte) error { return nil })
	l.CloseNow()
}
