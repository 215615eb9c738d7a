//go:build unix

package main

import (
	"bufio"
	"context"
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
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"leasehold/internal/agent/localsocket"
	"leasehold/internal/agent/tunnel"
	"leasehold/internal/server/gateway"
	"leasehold/internal/wslink"
)

// benchStreams measures what gateway and tunnel add between a browser and a display. The
// limit is the direct way that they cannot take, one web socket proxied to the display's
// socket as websockify does it, to the same display in turns.
func benchStreams(ctx context.Context, o *options, t *report) (err error) {
	d, err := startDisplay(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	n := newStreamNode(d.dir)
	defer n.close()
	const rounds = 5
	var lat [2][]time.Duration
	var rate [2]float64
	for range rounds { // in turns, so that the machine's moods meet both
		for i, path := range []string{"/direct", "/view"} {
			v, err := openViewer(ctx, n.url+path)
			if err != nil {
				return err
			}
			some, err := v.latency(o.repeats * 50)
			if err == nil {
				lat[i] = append(lat[i], some...)
				var r float64
				r, err = v.throughput(time.Duration(o.seconds) * time.Second / (2 * rounds))
				rate[i] += r / rounds
			}
			v.close()
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	perStream, err := n.memory(500)
	if err != nil {
		return err
	}
	s := t.section("Streams: a display of 1920x1080 through server and host", "what\tdirect proxy\tgateway and tunnel\tadded, or ratio")
	for _, q := range []struct {
		name string
		at   float64
	}{{"a small picture, asked for and there, p50", 0.5}, {"a small picture, asked for and there, p99", 0.99}} {
		direct, ours := quantile(lat[0], q.at), quantile(lat[1], q.at)
		s.row(q.name, direct, ours, ours-direct)
	}
	s.row("raw pictures, MB/s", rate[0], rate[1], rate[1]/rate[0])
	s.row("the server's memory, KB an open stream", "", float64(perStream)/1024, "")
	s.note("Browser, server, host and display share this machine's cores: apart, they do not wait for each other.")
	return nil
}

type benchDisplay struct {
	dir string
	cmd *exec.Cmd
}

func startDisplay(ctx context.Context) (*benchDisplay, error) {
	dir, err := os.MkdirTemp("", "leasehold-bench-")
	if err != nil {
		return nil, err
	}
	d := &benchDisplay{dir: dir, cmd: exec.Command("Xvnc", fmt.Sprintf(":%d", 52000+rand.IntN(10000)), "-geometry", "1920x1080", "-depth", "24", "-nolisten", "tcp",
		"-rfbport", "-1", "-rfbunixpath", "rfb", "-SecurityTypes", "None", "-AlwaysShared=1")}
	d.cmd.Dir = dir
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(filepath.Join(dir, "rfb")); err == nil {
			return d, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), d.stop())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("the display does not come up"), d.stop())
		}
	}
}

func (d *benchDisplay) stop() error {
	_ = d.cmd.Process.Signal(os.Interrupt)
	_ = d.cmd.Wait() // it says how it was ended
	return os.RemoveAll(d.dir)
}

// streamNode serves one display both ways: joined by a gateway, and directly.
type streamNode struct {
	url   string
	gw    *gateway.Gateway
	raw   atomic.Bool // hosts are bare connections, for memory
	hosts chan net.Conn
	close func()
}

func newStreamNode(dir string) *streamNode {
	n := &streamNode{hosts: make(chan net.Conn, 1000)}
	display := func(ctx context.Context) (net.Conn, error) { return localsocket.Dial(ctx, dir, "rfb") }
	done := make(chan struct{})
	var tickets atomic.Int64
	n.gw = gateway.New(gateway.Config{Done: done, Log: slog.New(slog.DiscardHandler), Issue: func(ctx context.Context, _ int64) (string, error) {
		path := fmt.Sprintf("/tunnel/%d", tickets.Add(1))
		go func() {
			if !n.raw.Load() {
				_ = tunnel.Serve(context.Background(), tunnel.Options{URL: n.url + path, Dial: display}) // it ends with the browser
			} else if c, err := rawSocket(n.url, path); err == nil {
				n.hosts <- c
			}
		}()
		return strings.TrimPrefix(path, "/tunnel/"), nil
	}})
	var sessions atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /view", func(w http.ResponseWriter, r *http.Request) {
		id := int64(1)
		if n.raw.Load() {
			id = sessions.Add(1)
		}
		_ = n.gw.View(w, r, id)
	})
	mux.HandleFunc("GET /tunnel/{ticket}", func(w http.ResponseWriter, r *http.Request) {
		id := int64(1)
		if n.raw.Load() {
			id = sessions.Load()
		}
		if errors.Is(n.gw.Tunnel(w, r, id, r.PathValue("ticket")), gateway.ErrNobodyWaits) {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("GET /direct", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		defer c.CloseNow()
		ws := websocket.NetConn(context.Background(), c, websocket.MessageBinary)
		d, err := display(r.Context())
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(d, ws); d.Close() }()
		_, _ = io.Copy(ws, d)
	})
	srv := httptest.NewServer(mux)
	n.url = "ws" + strings.TrimPrefix(srv.URL, "http")
	n.close = func() {
		close(done)
		_ = n.gw.Shutdown(context.Background())
		srv.Close()
	}
	return n
}

// benchViewer is a browser that only reads.
type benchViewer struct {
	conn net.Conn
	in   *bufio.Reader
	stop func()
}

func openViewer(ctx context.Context, url string) (*benchViewer, error) {
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	v := &benchViewer{conn: websocket.NetConn(ctx, c, websocket.MessageBinary)}
	v.stop = func() { c.CloseNow(); cancel() }
	v.in = bufio.NewReaderSize(v.conn, 64<<10)
	// The greeting: version, security None, shared; then raw pictures only.
	var init [24]byte
	err = errors.Join(v.skip(12), v.send("RFB 003.008\n"), v.skip(2), v.send("\x01"), v.skip(4), v.send("\x01"))
	if err == nil {
		_, err = io.ReadFull(v.in, init[:])
	}
	if err == nil {
		err = errors.Join(v.skip(int64(binary.BigEndian.Uint32(init[20:]))), v.send("\x02\x00\x00\x01\x00\x00\x00\x00"))
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *benchViewer) close() { v.stop() }

func (v *benchViewer) send(s string) error { _, err := io.WriteString(v.conn, s); return err }

func (v *benchViewer) skip(n int64) error { _, err := io.CopyN(io.Discard, v.in, n); return err }

// picture asks for a picture and reads it. It returns its size in bytes.
func (v *benchViewer) picture(width, height uint16) (int64, error) {
	ask := binary.BigEndian.AppendUint16([]byte{3, 0, 0, 0, 0, 0}, width)
	if _, err := v.conn.Write(binary.BigEndian.AppendUint16(ask, height)); err != nil {
		return 0, err
	}
	var head [4]byte
	if _, err := io.ReadFull(v.in, head[:]); err != nil {
		return 0, err
	}
	total := int64(len(head))
	for range binary.BigEndian.Uint16(head[2:]) {
		var rect [12]byte
		if _, err := io.ReadFull(v.in, rect[:]); err != nil {
			return 0, err
		}
		size := 4 * int64(binary.BigEndian.Uint16(rect[4:])) * int64(binary.BigEndian.Uint16(rect[6:]))
		if err := v.skip(size); err != nil {
			return 0, err
		}
		total += int64(len(rect)) + size
	}
	return total, nil
}

// latency is how long small pictures take, each asked for once the last is there: the way
// that a key and what it changes take too.
func (v *benchViewer) latency(n int) ([]time.Duration, error) {
	var out []time.Duration
	for i := range n + 20 {
		begin := time.Now()
		if _, err := v.picture(16, 16); err != nil {
			return nil, err
		}
		if i >= 20 { // the first ones are warming up
			out = append(out, time.Since(begin))
		}
	}
	return out, nil
}

// throughput is how many MB of whole pictures come in a second.
func (v *benchViewer) throughput(d time.Duration) (float64, error) {
	begin := time.Now()
	var total int64
	for time.Since(begin) < d {
		n, err := v.picture(1920, 1080)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return float64(total) / 1e6 / time.Since(begin).Seconds(), nil
}

// memory is what an idle stream takes in the server, in bytes. Browsers and hosts are bare
// connections, which take next to nothing.
func (n *streamNode) memory(streams int) (int, error) {
	n.raw.Store(true)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range streams {
		c, err := rawSocket(n.url, "/view")
		if err != nil {
			return 0, err
		}
		open = append(open, c)
		select {
		case c := <-n.hosts:
			open = append(open, c)
		case <-time.After(wslink.KeepAlive):
			return 0, errors.New("a host did not connect")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse) / streams, nil
}

func rawSocket(url, path string) (net.Conn, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path)
	var answer [512]byte
	k := 0
	if err == nil {
		k, err = conn.Read(answer[:])
	}
	if err == nil && !strings.Contains(string(answer[:k]), " 101 ") {
		err = fmt.Errorf("%s: %.40q", path, answer[:k])
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
