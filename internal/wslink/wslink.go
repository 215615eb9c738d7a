// Package wslink is one end of a web socket that carries a stream of bytes, as a streamed
// app's display is carried from its host to the server and on to a browser. Both ends of
// such a tunnel are the same here: nothing is kept but the chunk in hand, so that whoever
// reads slowly slows the one who writes; and an end knows a peer that is gone from one that
// has nothing to say, or that is only slow.
//
// A peer is asked by a ping when it has said nothing for a while or was told nothing, which
// keeps what lies between from forgetting the connection. It is gone when nothing at all
// came within a keep-alive after that, or while it did not take a chunk for as long. An end
// that holds back what it has read asks, but does not judge: the answer waits behind that.
package wslink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// Codes with which a tunnel is closed, beside those of RFC 6455. A browser that is told
// Ended or Refused does not come again.
const (
	Ended       = 4001 // the session is over; the reason says why
	Unreachable = 4002 // the host, or the display on it, does not answer or has gone
	Refused     = 4003 // this person may not see it, or not now; the reason says why

	Normal  = int(websocket.StatusNormalClosure)
	Away    = int(websocket.StatusGoingAway)
	Restart = int(websocket.StatusServiceRestart) // come again: another process takes over
)

// Subprotocol is what the web sockets of tunnels speak.
const Subprotocol = "binary"

const (
	// Chunk is the most that an end holds of the stream, in bytes, and the longest message
	// that it sends.
	Chunk = 32 << 10
	// maxMessage is the longest message that is taken; it is passed on in chunks.
	maxMessage = 1 << 20
	// sendBuffer bounds what the system holds for a slow browser, in bytes: a picture that
	// waits there is an old one.
	sendBuffer = 256 << 10
	// maxReason is the longest reason of a close, in bytes; the protocol has room for 123.
	maxReason = 120

	// KeepAlive is how long an end waits for a sign of life unless it is told otherwise.
	KeepAlive = 20 * time.Second
)

// ErrDead is the error of a link whose peer gives no sign of life.
var ErrDead = errors.New("the peer gives no sign of life")

// ErrText is the error of a link whose peer sends text.
var ErrText = errors.New("the peer sends text, and the stream is binary")

// buffers holds chunks. A link has one only while something is on its way through.
var buffers = sync.Pool{New: func() any { return new([Chunk]byte) }}

// start is what times are counted from.
var start = time.Now()

func now() int64 { return int64(time.Since(start)) + 1 } // 0 is never

// Link is one end of a web socket. Copy may run in one goroutine and Write in another;
// Tend and the two ways to close are safe at any time.
type Link struct {
	conn      *websocket.Conn
	keepAlive time.Duration

	heard   atomic.Int64 // when anything last came
	holding atomic.Bool  // what has come is not taken yet
	wrote   atomic.Int64 // when the last write was done
	writing atomic.Int64 // since when a write is under way; 0 if none is
	pinged  atomic.Int64 // when the last ping was sent
	asked   atomic.Int64 // when the first ping was sent that nothing has come after

	pings sync.WaitGroup
}

// Accept makes a link of a request. Requests of browsers must come from this origin, or
// from one of origins, as "https://leasehold.example.org". On failure the request is
// answered. A keepAlive of zero is KeepAlive.
func Accept(w http.ResponseWriter, r *http.Request, keepAlive time.Duration, origins ...string) (*Link, error) {
	l := newLink(keepAlive)
	conn, err := websocket.Accept(&hijacker{w}, r, &websocket.AcceptOptions{
		Subprotocols: []string{Subprotocol}, OriginPatterns: origins, CompressionMode: websocket.CompressionDisabled,
		OnPingReceived: l.onPing, OnPongReceived: l.onPong,
	})
	if err != nil {
		return nil, fmt.Errorf("wslink: %w", err)
	}
	return l.over(conn), nil
}

// StatusError is a server's answer that is not a web socket.
type StatusError struct {
	Status int
	Err    error
}

// Error says what the server answered.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
}

// Unwrap returns what is behind it.
func (e *StatusError) Unwrap() error { return e.Err }

// Dial connects to a server, whose address begins with ws:// or wss://. A client of nil is
// http.DefaultClient; it must have no timeout. The error is a [*StatusError] if the server
// answered something else. A keepAlive of zero is KeepAlive.
func Dial(ctx context.Context, url string, header http.Header, client *http.Client, keepAlive time.Duration) (*Link, error) {
	l := newLink(keepAlive)
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: header, Subprotocols: []string{Subprotocol}, CompressionMode: websocket.CompressionDisabled,
		OnPingReceived: l.onPing, OnPongReceived: l.onPong,
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = &StatusError{resp.StatusCode, err}
		}
		return nil, fmt.Errorf("wslink: %w", err)
	}
	return l.over(conn), nil
}

func newLink(keepAlive time.Duration) *Link {
	if keepAlive <= 0 {
		keepAlive = KeepAlive
	}
	return &Link{keepAlive: keepAlive}
}

func (l *Link) over(conn *websocket.Conn) *Link {
	conn.SetReadLimit(maxMessage)
	l.conn = conn
	l.heard.Store(now())
	l.wrote.Store(now())
	return l
}

// hijacker bounds the buffer of the connection that it gives away.
type hijacker struct{ http.ResponseWriter }

// Hijack gives the connection away.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(interface{ SetWriteBuffer(int) error }); ok {
		_ = t.SetWriteBuffer(sendBuffer) // without it the stream is only less fresh
	}
	return conn, rw, nil
}

// onPing is asked whether a ping is to be answered. While a chunk is on its way the answer
// would have to wait behind it, and the chunk says as much.
func (l *Link) onPing(context.Context, []byte) bool {
	l.heard.Store(now())
	return l.writing.Load() == 0
}

func (l *Link) onPong(context.Context, []byte) { l.heard.Store(now()) }

// Copy hands what comes to a function, in chunks that are its own until it returns, until
// either fails. The error says how the peer closed the link, see [Closed].
func (l *Link) Copy(to func([]byte) error) error {
	for {
		kind, message, err := l.conn.Reader(context.Background())
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary {
			return ErrText
		}
		if err := l.copyMessage(message, to); err != nil {
			return err
		}
	}
}

func (l *Link) copyMessage(message io.Reader, to func([]byte) error) error {
	buf := buffers.Get().(*[Chunk]byte)
	defer buffers.Put(buf)
	for {
		n, err := message.Read(buf[:])
		if n > 0 {
			l.holding.Store(true)
			taken := to(buf[:n])
			l.heard.Store(now())
			l.holding.Store(false)
			if taken != nil {
				return taken
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Write sends p, which should be no longer than Chunk. It waits for the peer to take it, or
// for the link to be closed.
func (l *Link) Write(p []byte) error {
	l.writing.Store(now())
	err := l.conn.Write(context.Background(), websocket.MessageBinary, p)
	l.wrote.Store(now())
	l.writing.Store(0)
	return err
}

// Every is how often Tend wants to be called.
func (l *Link) Every() time.Duration { return l.keepAlive / 4 }

// Tend asks the peer for a sign of life when it is time to. It returns ErrDead once the
// peer must be taken for gone; the link is then to be closed by CloseNow.
func (l *Link) Tend() error {
	t, k := now(), int64(l.keepAlive)
	heard, asked := l.heard.Load(), l.asked.Load()
	if since := l.writing.Load(); since != 0 {
		// A ping would wait behind the chunk. A peer that is only slow goes on asking by
		// pings of its own, which may be a keep-alive apart.
		if t-since >= k && t-heard >= k*3/2 {
			return ErrDead
		}
		return nil
	}
	if asked > heard && !l.holding.Load() && t-asked >= k {
		return ErrDead
	}
	quiet := k * 3 / 4
	if t-l.pinged.Load() < quiet || t-heard < quiet && t-l.wrote.Load() < quiet {
		return nil
	}
	l.pinged.Store(t)
	if asked <= heard {
		l.asked.Store(t)
	}
	l.pings.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), l.keepAlive)
		defer cancel()
		// What comes back is seen where it is read.
		_ = l.conn.Ping(ctx)
	})
	return nil
}

// Close closes the link with a code and a reason, which is cut to 120 bytes. A peer that does
// not answer holds it for ten seconds.
func (l *Link) Close(code int, reason string) {
	_ = l.conn.Close(websocket.StatusCode(code), clip(reason)) // a peer that is gone has gone
	l.pings.Wait()
}

// CloseNow drops the link.
func (l *Link) CloseNow() {
	_ = l.conn.CloseNow()
	l.pings.Wait()
}

// Closed returns the code and the reason with which the peer closed a link, if an error of
// Copy says that it did.
func Closed(err error) (code int, reason string, ok bool) {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return 0, "", false
	}
	return int(closed.Code), clip(closed.Reason), true
}

// clip cuts a reason to what a close has room for, between two characters.
func clip(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
		for len(s) > 0 && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}
