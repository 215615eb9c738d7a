package tunnel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"leasehold/internal/agent/localsocket"
	"leasehold/internal/agent/tunnel"
	"leasehold/internal/server/gateway"
	"leasehold/internal/wslink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a real gateway, a host that serves tunnels to one display, and what lies between.
type world struct {
	*gateway.Gateway
	t       *testing.T
	view    string // the browser's address
	tunnels chan error
	inputs  atomic.Int64
	done    chan struct{}
	end     context.CancelCauseFunc // ends the host's tunnels

	mu    sync.Mutex
	wires []*wire // the host's connections to the server
}

// wire is a connection through something that may stop to forward and tell nobody: neither
// end then hears that the other one has closed.
type wire struct {
	net.Conn
	dropped atomic.Bool
	closed  chan struct{}
	once    sync.Once
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	for w.dropped.Load() {
		if err != nil {
			<-w.closed
			return 0, net.ErrClosed
		}
		n, err = w.Conn.Read(p)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if w.dropped.Load() {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	if w.dropped.Load() {
		return w.SetReadDeadline(time.Unix(1, 0))
	}
	return w.Conn.Close()
}

func newWorld(t *testing.T, dial func(context.Context) (net.Conn, error)) *world {
	t.Helper()
	return newWorldWith(t, 0, dial)
}

// newWorldWith has both ends of a tunnel wait for signs of life as long as a keep-alive.
func newWorldWith(t *testing.T, keepAlive time.Duration, dial func(context.Context) (net.Conn, error)) *world {
	t.Helper()
	w := &world{t: t, tunnels: make(chan error, 100), done: make(chan struct{})}
	ctx, end := context.WithCancelCause(context.Background())
	w.end = end
	var base string
	var tickets atomic.Int64
	var hosts sync.WaitGroup
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &wire{Conn: conn, closed: make(chan struct{})}
		w.mu.Lock()
		w.wires = append(w.wires, c)
		w.mu.Unlock()
		return c, nil
	}}
	w.Gateway = gateway.New(gateway.Config{
		Done: w.done, Log: slog.New(slog.DiscardHandler), Wait: 5 * time.Second, KeepAlive: keepAlive,
		Issue: func(context.Context, int64) (string, error) {
			ticket := fmt.Sprint(tickets.Add(1))
			hosts.Go(func() {
				w.tunnels <- tunnel.Serve(ctx, tunnel.Options{
					URL: base + "/tunnel/" + ticket, Header: http.Header{"Authorization": {"Bearer 1.secret"}},
					Client: &http.Client{Transport: transport}, Dial: dial, Input: func() { w.inputs.Add(1) }, KeepAlive: keepAlive,
				})
			})
			return ticket, nil
		},
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /view", func(rw http.ResponseWriter, r *http.Request) { w.View(rw, r, 1) })
	mux.HandleFunc("GET /tunnel/{ticket}", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer 1.secret" {
			t.Error("the host shows no credential")
		}
		if errors.Is(w.Tunnel(rw, r, 1, r.PathValue("ticket")), gateway.ErrNobodyWaits) {
			http.NotFound(rw, r)
		}
	})
	srv := httptest.NewServer(mux)
	base = "ws" + strings.TrimPrefix(srv.URL, "http")
	w.view = base + "/view"
	t.Cleanup(func() {
		end(nil)
		hosts.Wait()
		for _, c := range w.wires {
			c.Conn.Close()
		}
		close(w.done)
		if err := w.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return w
}

// browser is a viewer, read and written as a stream.
func (w *world) browser() (*websocket.Conn, net.Conn) {
	w.t.Helper()
	c, _, err := websocket.Dial(w.t.Context(), w.view, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.CloseNow() })
	return c, websocket.NetConn(context.Background(), c, websocket.MessageBinary)
}

// closed reads on until the browser is closed.
func closed(c *websocket.Conn) (int, string) {
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

// fake is a display that the test plays.
func fake(t *testing.T) (dial func(context.Context) (net.Conn, error), displays chan net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "lh")
	if err != nil {
		t.Fatal(err)
	}
	l, err := localsocket.Listen(dir, "rfb")
	if err != nil {
		t.Fatal(err)
	}
	displays = make(chan net.Conn, 10)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			displays <- c
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait(); os.RemoveAll(dir) })
	return func(ctx context.Context) (net.Conn, error) { return localsocket.Dial(ctx, dir, "rfb") }, displays
}

func write(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestBytesPassAsTheyAre(t *testing.T) {
	dial, displays := fake(t)
	w := newWorld(t, dial)
	_, viewer := w.browser()
	display := <-displays
	defer display.Close()

	write(t, display, []byte("RFB 003.008\n"))
	expect(t, viewer, "RFB 003.008\n")
	write(t, viewer, []byte("RFB 003.008\n\x01\x01"))
	expect(t, display, "RFB 003.008\n\x01\x01")

	request := "\x03\x01\x00\x00\x00\x00\x05\x00\x03\x20"
	write(t, viewer, []byte(request))
	expect(t, display, request)
	if n := w.inputs.Load(); n != 0 {
		t.Errorf("asking for a picture is input, %d times", n)
	}
	key := "\x04\x01\x00\x00\x00\x00\x00\x61"
	for range 100 {
		write(t, viewer, []byte(key))
	}
	expect(t, display, strings.Repeat(key, 100))
	if n := w.inputs.Load(); n < 1 || n > 20 {
		t.Errorf("a hundred keys at once are input %d times", n)
	}

	// Much, both ways at once.
	const size = 8 << 20
	big := bytes.Repeat([]byte("a picture is worth a thousand words "), size/36)
	cut := append([]byte{6, 0, 0, 0}, binary.BigEndian.AppendUint32(nil, uint32(len(big)))...)
	var wg sync.WaitGroup
	sum := func(r io.Reader, n int) (s [32]byte) {
		h := sha256.New()
		if _, err := io.CopyN(h, r, int64(n)); err != nil {
			t.Error(err)
		}
		return [32]byte(h.Sum(nil))
	}
	wg.Go(func() { write(t, display, big) })
	wg.Go(func() {
		write(t, viewer, cut)
		for piece := range slices.Chunk(big, 100_000) { // a message may be a megabyte long
			write(t, viewer, piece)
		}
	})
	wg.Go(func() {
		if sum(viewer, len(big)) != sha256.Sum256(big) {
			t.Error("the picture is not what the display sent")
		}
	})
	wg.Go(func() {
		if sum(display, 8+len(big)) != sha256.Sum256(append(cut, big...)) {
			t.Error("the clipboard is not what the viewer sent")
		}
	})
	wg.Wait()
}

func TestEnds(t *testing.T) {
	ended := &tunnel.EndedError{Reason: "Nobody used it for an hour."}
	for _, c := range []struct {
		name    string
		end     func(w *world, browser *websocket.Conn, display net.Conn)
		code    int // what the browser is told
		reason  string
		noError bool // Serve's
	}{
		{"the browser leaves", func(_ *world, b *websocket.Conn, _ net.Conn) { b.Close(websocket.StatusNormalClosure, "") }, 0, "", true},
		{"the browser is cut off", func(_ *world, b *websocket.Conn, _ net.Conn) { b.CloseNow() }, 0, "", true},
		{"the display closes", func(_ *world, _ *websocket.Conn, d net.Conn) { d.Close() }, wslink.Unreachable, "the display has closed", true},
		{"the host ends the session", func(w *world, _ *websocket.Conn, _ net.Conn) { w.end(ended) }, wslink.Ended, ended.Reason, true},
		{"the host stops", func(w *world, _ *websocket.Conn, _ net.Conn) { w.end(nil) }, wslink.Unreachable, "the host is stopping", true},
		{"the host is cut off", func(w *world, _ *websocket.Conn, _ net.Conn) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range w.wires {
				c.Close()
			}
		}, wslink.Unreachable, "the connection to the host is lost", false},
		{"the server ends the session", func(w *world, _ *websocket.Conn, _ net.Conn) { w.End(1, "Killed by olga.") }, wslink.Ended, "Killed by olga.", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dial, displays := fake(t)
			w := newWorld(t, dial)
			b, viewer := w.browser()
			display := <-displays
			defer display.Close()
			write(t, display, []byte("RFB 003.008\n"))
			expect(t, viewer, "RFB 003.008\n")
			told := make(chan string, 1)
			if c.code != 0 {
				go func() {
					code, reason := closed(b)
					told <- fmt.Sprintf("%d %s", code, reason)
				}()
			}
			c.end(w, b, display)
			if err := <-w.tunnels; (err == nil) != c.noError {
				t.Errorf("Serve: %v", err)
			}
			if c.code != 0 {
				if got, want := <-told, fmt.Sprintf("%d %s", c.code, c.reason); got != want {
					t.Errorf("the browser is told %q, want %q", got, want)
				}
			}
			if _, err := display.Read(make([]byte, 1)); err == nil {
				t.Error("the display is still connected")
			}
		})
	}
}

// What lies between host and server stops to forward and tells nobody. Each end finds out by
// itself, in bounded time: the browser is told, and the display is let go of.
func TestHalfOpen(t *testing.T) {
	const keepAlive = 200 * time.Millisecond
	const bound = keepAlive*9/4 + 2*time.Second // the promise, and a busy machine
	for _, sends := range []bool{false, true} {
		t.Run(fmt.Sprintf("the display sends %v", sends), func(t *testing.T) {
			dial, displays := fake(t)
			w := newWorldWith(t, keepAlive, dial)
			b, viewer := w.browser()
			display := <-displays
			defer display.Close()
			write(t, display, []byte("RFB 003.008\n"))
			expect(t, viewer, "RFB 003.008\n")
			w.mu.Lock()
			for _, c := range w.wires {
				c.dropped.Store(true)
			}
			w.mu.Unlock()
			began := time.Now()
			if sends {
				write(t, display, []byte("a picture that goes nowhere"))
			}
			if code, reason := closed(b); code != wslink.Unreachable || reason != "the connection to the host is lost" {
				t.Errorf("the browser is told %d %q", code, reason)
			}
			if took := time.Since(began); took > bound {
				t.Errorf("the browser is told after %v", took)
			}
			if err := <-w.tunnels; !errors.Is(err, wslink.ErrDead) {
				t.Errorf("Serve: %v", err)
			}
			if took := time.Since(began); took > bound {
				t.Errorf("the host finds out after %v", took)
			}
			if _, err := io.Copy(io.Discard, display); err != nil {
				t.Errorf("the display: %v", err)
			}
		})
	}
}

func TestNoDisplay(t *testing.T) {
	w := newWorld(t, func(context.Context) (net.Conn, error) { return nil, errors.New("no such socket") })
	b, _ := w.browser()
	if code, reason := closed(b); code != wslink.Unreachable || reason != "the display does not answer" {
		t.Errorf("the browser is told %d %q", code, reason)
	}
	if err := <-w.tunnels; !errors.Is(err, tunnel.ErrDisplay) {
		t.Errorf("Serve: %v", err)
	}
	var status *wslink.StatusError
	err := tunnel.Serve(t.Context(), tunnel.Options{URL: strings.TrimSuffix(w.view, "view") + "tunnel/stolen", Header: http.Header{"Authorization": {"Bearer 1.secret"}}})
	if !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("a ticket that nobody waits with: %v", err)
	}
}

// A real display: the greeting and a whole picture come through.
func TestXvnc(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Xvnc is tried on Linux")
	}
	if _, err := exec.LookPath("Xvnc"); err != nil {
		t.Fatal("Xvnc is missing: apt-get install tigervnc-standalone-server")
	}
	dir, err := os.MkdirTemp("", "lh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("Xvnc", fmt.Sprintf(":%d", 52000+rand.IntN(5000)), "-geometry", "640x480", "-depth", "24", "-nolisten", "tcp", "-rfbport", "-1", "-rfbunixpath", "rfb", "-SecurityTypes", "None")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "rfb")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the display does not come up")
		}
	}
	w := newWorld(t, func(ctx context.Context) (net.Conn, error) { return localsocket.Dial(ctx, dir, "rfb") })
	_, viewer := w.browser()
	expect(t, viewer, "RFB 003.008\n")
	write(t, viewer, []byte("RFB 003.008\n"))
	expect(t, viewer, "\x01\x01") // one way: None
	write(t, viewer, []byte{1})
	expect(t, viewer, "\x00\x00\x00\x00")
	write(t, viewer, []byte{1}) // shared
	init := make([]byte, 24)
	if _, err := io.ReadFull(viewer, init); err != nil {
		t.Fatal(err)
	}
	width, height := binary.BigEndian.Uint16(init), binary.BigEndian.Uint16(init[2:])
	if width != 640 || height != 480 {
		t.Errorf("%dx%d", width, height)
	}
	name := make([]byte, binary.BigEndian.Uint32(init[20:]))
	if _, err := io.ReadFull(viewer, name); err != nil {
		t.Fatal(err)
	}
	write(t, viewer, []byte("\x02\x00\x00\x01\x00\x00\x00\x00")) // raw pictures only
	write(t, viewer, []byte("\x03\x00\x00\x00\x00\x00\x02\x80\x01\xe0"))
	head := make([]byte, 16)
	if _, err := io.ReadFull(viewer, head); err != nil || head[0] != 0 {
		t.Fatalf("%v, %v", head, err)
	}
	if n, err := io.CopyN(io.Discard, viewer, 640*480*4-1); err != nil {
		t.Errorf("%d bytes of the picture: %v", n, err)
	}
	if n := w.inputs.Load(); n != 0 {
		t.Errorf("%d times input without a person", n)
	}
}
