package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"leasehold/internal/wslink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a gateway behind a server. Its hosts dial by host.
type node struct {
	*Gateway
	t    testing.TB
	url  string
	done chan struct{}
	stop func()

	errs chan error // of View and Tunnel
	// panics is what View panicked with, where a test expects it.
	panics chan any
	n      atomic.Int64
}

// newNode has hosts that do what dial says, in a goroutine of theirs.
func newNode(t testing.TB, c Config, dial func(n *node, url string)) *node {
	n := &node{t: t, done: make(chan struct{}), errs: make(chan error, 100)}
	var hosts sync.WaitGroup
	if c.Issue == nil {
		c.Issue = func(_ context.Context, session int64) (string, error) {
			ticket := fmt.Sprintf("t%d", n.n.Add(1))
			if dial != nil {
				hosts.Go(func() { dial(n, fmt.Sprintf("%s/tunnel/%d/%s", n.url, session, ticket)) })
			}
			return ticket, nil
		}
	}
	c.Done, c.Log = n.done, slog.New(slog.DiscardHandler)
	n.Gateway = New(c)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /view/{session}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.PathValue("session"), 10, 64)
		defer func() {
			if v := recover(); v != nil {
				n.panics <- v
				panic(http.ErrAbortHandler)
			}
		}()
		n.errs <- n.View(w, r, id)
	})
	mux.HandleFunc("GET /tunnel/{session}/{ticket}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.PathValue("session"), 10, 64)
		err := n.Tunnel(w, r, id, r.PathValue("ticket"))
		if errors.Is(err, ErrNobodyWaits) {
			http.NotFound(w, r)
		}
	})
	srv := httptest.NewServer(mux)
	n.url = "ws" + strings.TrimPrefix(srv.URL, "http")
	var once sync.Once
	n.stop = func() { once.Do(func() { close(n.done) }) }
	t.Cleanup(func() {
		n.stop()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		hosts.Wait()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return n
}

// echo is a host whose display says again what it hears.
func echo(n *node, url string) {
	l, err := wslink.Dial(context.Background(), url, nil, nil, n.KeepAlive)
	if err != nil {
		n.t.Error(err)
		return
	}
	_ = l.Copy(l.Write)
	l.Close(wslink.Normal, "")
}

func (n *node) browser(session int) *websocket.Conn {
	n.t.Helper()
	c, _, err := websocket.Dial(context.Background(), fmt.Sprintf("%s/view/%d", n.url, session), &websocket.DialOptions{Subprotocols: []string{"binary"}})
	if err != nil {
		n.t.Fatal(err)
	}
	if c.Subprotocol() != "binary" {
		n.t.Errorf("the subprotocol is %q", c.Subprotocol())
	}
	c.SetReadLimit(-1)
	return c
}

// told reads on until the browser is closed, and returns how.
func (n *node) told(c *websocket.Conn) (int, string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			code, reason, _ := wslink.Closed(err)
			c.CloseNow()
			return code, reason
		}
	}
}

func (n *node) said(c *websocket.Conn, text string) {
	n.t.Helper()
	if err := c.Write(context.Background(), websocket.MessageBinary, []byte(text)); err != nil {
		n.t.Fatal(err)
	}
	var got []byte
	for len(got) < len(text) {
		_, p, err := c.Read(context.Background())
		if err != nil {
			n.t.Fatal(err)
		}
		got = append(got, p...)
	}
	if string(got) != text {
		n.t.Fatalf("%d bytes came back, not those sent", len(got))
	}
}

func TestJoin(t *testing.T) {
	n := newNode(t, Config{}, echo)
	var cs []*websocket.Conn
	for range 3 {
		c := n.browser(7)
		n.said(c, "hello")
		n.said(c, strings.Repeat("0123456789", 50_000)) // in one message
		cs = append(cs, c)
	}
	other := n.browser(8)
	n.said(other, "x")
	if got := n.Open(); got != 4 {
		t.Errorf("%d are open", got)
	}
	cs[0].Close(websocket.StatusNormalClosure, "")
	if err := <-n.errs; err != nil {
		t.Errorf("a browser that left: %v", err)
	}
	// Only those of the session are told, each of them.
	n.End(7, strings.Repeat("Ended by an administrator. ", 20))
	for _, c := range cs[1:] {
		if code, reason := n.told(c); code != wslink.Ended || len(reason) != 120 || !strings.HasPrefix(reason, "Ended by") {
			t.Errorf("told %d %q", code, reason)
		}
	}
	n.said(other, "still there")
	n.stop()
	if code, reason := n.told(other); code != 1012 || reason != "the server is restarting" {
		t.Errorf("told %d %q", code, reason)
	}
	// After the stop nobody is let in.
	if code, _ := n.told(n.browser(8)); code != 1012 {
		t.Errorf("told %d", code)
	}
}

func TestNoHost(t *testing.T) {
	n := newNode(t, Config{Wait: 50 * time.Millisecond}, nil)
	if code, reason := n.told(n.browser(1)); code != wslink.Unreachable || reason != "the host does not answer" {
		t.Errorf("nobody dials: %d %q", code, reason)
	}
	// A host that is late gets no stream.
	var status *wslink.StatusError
	if _, err := wslink.Dial(t.Context(), n.url+"/tunnel/1/t1", nil, nil, 0); !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("late: %v", err)
	}
	for _, c := range []struct {
		err    error
		code   int
		reason string
		logged bool
	}{
		{&RefusedError{"The session is over."}, wslink.Refused, "The session is over.", false},
		{errors.New("database on fire"), wslink.Unreachable, "the host cannot be reached", true},
	} {
		n := newNode(t, Config{Issue: func(context.Context, int64) (string, error) { return "", c.err }}, nil)
		if code, reason := n.told(n.browser(1)); code != c.code || reason != c.reason {
			t.Errorf("%v: %d %q", c.err, code, reason)
		}
		if err := <-n.errs; (err != nil) != c.logged {
			t.Errorf("%v: View returned %v", c.err, err)
		}
	}
	// A browser that leaves while it waits is not waited for.
	asked := make(chan struct{})
	n = newNode(t, Config{Issue: func(ctx context.Context, _ int64) (string, error) {
		close(asked)
		<-ctx.Done()
		return "", ctx.Err()
	}}, nil)
	c := n.browser(1)
	<-asked
	c.CloseNow()
	if err := <-n.errs; err != nil {
		t.Error(err)
	}
}

// The host may dial before Issue has returned, and a ticket is good for one session, once.
func TestTickets(t *testing.T) {
	var n *node
	returns := make(chan struct{})
	dialled := make(chan error, 1)
	n = newNode(t, Config{Issue: func(context.Context, int64) (string, error) {
		go func() {
			l, err := wslink.Dial(context.Background(), n.url+"/tunnel/3/early", nil, nil, 0)
			dialled <- err
			if err == nil {
				_ = l.Copy(l.Write)
				l.Close(wslink.Normal, "")
			}
		}()
		<-returns
		return "early", nil
	}}, nil)
	c := n.browser(3)
	select {
	case err := <-dialled:
		t.Fatalf("the tunnel did not wait: %v", err)
	case <-time.After(20 * time.Millisecond): // there is nothing to wait for
	}
	close(returns)
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
	n.said(c, "hello")
	for _, path := range []string{"/tunnel/3/early", "/tunnel/4/early", "/tunnel/3/other"} {
		var status *wslink.StatusError
		if _, err := wslink.Dial(t.Context(), n.url+path, nil, nil, 0); !errors.As(err, &status) || status.Status != 404 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestHostGoes(t *testing.T) {
	for _, c := range []struct {
		name   string
		leave  func(l *wslink.Link)
		code   int
		reason string
	}{
		{"cut", (*wslink.Link).CloseNow, wslink.Unreachable, "the connection to the host is lost"},
		{"closed", func(l *wslink.Link) { l.Close(wslink.Away, "the host is stopping") }, wslink.Unreachable, "the host is stopping"},
		{"ended", func(l *wslink.Link) { l.Close(wslink.Ended, "Nobody used it.") }, wslink.Ended, "Nobody used it."},
	} {
		n := newNode(t, Config{}, func(n *node, url string) {
			l, err := wslink.Dial(context.Background(), url, nil, nil, 0)
			if err != nil {
				t.Error(err)
				return
			}
			left := errors.New("left")
			_ = l.Copy(func([]byte) error { return left })
			c.leave(l)
		})
		b := n.browser(1)
		if err := b.Write(t.Context(), websocket.MessageBinary, []byte("go")); err != nil {
			t.Error(err)
		}
		if code, reason := n.told(b); code != c.code || reason != c.reason {
			t.Errorf("%s: told %d %q", c.name, code, reason)
		}
	}
}

// A side that hangs is noticed and the other one told.
func TestHangs(t *testing.T) {
	n := newNode(t, Config{KeepAlive: 100 * time.Millisecond}, func(n *node, url string) {
		c, _, err := websocket.Dial(context.Background(), url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		<-n.done // it reads nothing
		c.CloseNow()
	})
	if code, reason := n.told(n.browser(1)); code != wslink.Unreachable || reason != "the connection to the host is lost" {
		t.Errorf("told %d %q", code, reason)
	}
	left := make(chan int, 1)
	n = newNode(t, Config{KeepAlive: 100 * time.Millisecond}, func(n *node, url string) {
		l, err := wslink.Dial(context.Background(), url, nil, nil, n.KeepAlive)
		if err != nil {
			t.Error(err)
			return
		}
		code, _, _ := wslink.Closed(l.Copy(func([]byte) error { return nil }))
		l.Close(wslink.Normal, "")
		left <- code
	})
	c := n.browser(1) // it reads nothing
	if code := <-left; code != wslink.Away {
		t.Errorf("the host is told %d", code)
	}
	c.CloseNow()
}

// What a slow browser does not take is not read from the host.
func TestBackpressure(t *testing.T) {
	var sent atomic.Int64
	n := newNode(t, Config{}, func(n *node, url string) {
		l, err := wslink.Dial(context.Background(), url, nil, nil, 0)
		if err != nil {
			t.Error(err)
			return
		}
		read := make(chan struct{})
		go func() { _ = l.Copy(func([]byte) error { return nil }); close(read) }()
		for l.Write(make([]byte, wslink.Chunk)) == nil {
			sent.Add(wslink.Chunk)
		}
		<-read
		l.CloseNow()
	})
	c := n.browser(1)
	// It stands still once the system's buffers are full.
	for was := int64(-1); was != sent.Load(); {
		was = sent.Load()
		time.Sleep(300 * time.Millisecond)
	}
	stuck := sent.Load()
	if stuck > 32<<20 {
		t.Errorf("%d MB went to a browser that reads nothing", stuck>>20)
	}
	// And goes on when it reads.
	got := 0
	for int64(got) < stuck+4<<20 {
		_, p, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got += len(p)
	}
	c.CloseNow()
}

func TestTooManyWindows(t *testing.T) {
	n := newNode(t, Config{}, echo)
	for range maxViewers {
		c := n.browser(1)
		n.said(c, "x")
		defer c.CloseNow()
	}
	if code, reason := n.told(n.browser(1)); code != wslink.Refused || !strings.HasPrefix(reason, "Too many windows") {
		t.Errorf("told %d %q", code, reason)
	}
}

func TestNoSocket(t *testing.T) {
	n := newNode(t, Config{}, nil)
	for _, header := range []http.Header{{}, {"Origin": {"https://evil.example.org"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = header
		if err := n.View(w, r, 1); err == nil || w.Code < 400 {
			t.Errorf("%v: %v, %d", header, err, w.Code)
		}
	}
}

// BenchmarkIdle reports what a joined stream costs that nobody uses: all that this process
// has, both ends of the gateway and none of the browser's and the host's.
func BenchmarkIdle(b *testing.B) {
	// Browsers and hosts are raw connections, which cost next to nothing here.
	dial := func(url, path string) net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n\r\n", path)
		var answer [512]byte
		k, err := conn.Read(answer[:])
		if err != nil || !bytes.Contains(answer[:k], []byte(" 101 ")) {
			b.Fatalf("%v: %s", err, answer[:k])
		}
		return conn
	}
	const pairs = 1000
	for b.Loop() {
		tunnels := make(chan net.Conn, pairs)
		n := newNode(b, Config{KeepAlive: time.Hour}, func(n *node, url string) { tunnels <- dial(n.url, strings.TrimPrefix(url, n.url)) })
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		var open []net.Conn
		for i := range pairs {
			open = append(open, dial(n.url, fmt.Sprintf("/view/%d", i)), <-tunnels)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/pairs, "bytes/pair")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/pairs, "goroutines/pair")
		for _, c := range open {
			c.Close()
		}
		n.errs = make(chan error, pairs)
	}
}

// TestPanic: where a stream's code panics its browser is told, and nothing of it is left.
func TestPanic(t *testing.T) {
	first := true
	n := newNode(t, Config{Issue: func(context.Context, int64) (string, error) {
		if first {
			first = false
			panic("oops")
		}
		return "", &RefusedError{Reason: "not now"}
	}}, nil)
	n.panics = make(chan any, 1)
	if code, reason := n.told(n.browser(7)); code != wslink.Unreachable || reason != broken.reason {
		t.Errorf("told %d %q", code, reason)
	}
	if v := <-n.panics; v != "oops" {
		t.Errorf("the handler panicked with %v", v)
	}
	// A host's ticket is looked for only while one is being made.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if s := n.claim(ctx, 7, "t1"); s != nil || ctx.Err() != nil {
		t.Errorf("claimed %v, %v", s, ctx.Err())
	}
	if code, reason := n.told(n.browser(7)); code != wslink.Refused || reason != "not now" {
		t.Errorf("told %d %q", code, reason)
	}
}
