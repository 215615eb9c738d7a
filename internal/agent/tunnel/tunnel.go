// Package tunnel carries the display of a streamed app from its host to the server, where a
// browser waits for it. The host dials, so that nobody has to reach it: a tunnel is one web
// socket outward, joined here to the unix socket of the display, for one viewer.
//
// The bytes are the RFB protocol (RFC 6143) and pass as they are. What the viewer sends is
// read along, to tell a person who types from a browser that only asks for the next picture.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"leasehold/internal/wslink"
)

// Options say what is joined.
type Options struct {
	// URL is the server's address for this tunnel with its ticket, ws:// or wss://.
	URL string
	// Header is sent along; it carries the host's credential.
	Header http.Header
	// Client is how the server is reached; http.DefaultClient if nil. It must have no
	// timeout.
	Client *http.Client
	// Dial connects to the display.
	Dial func(ctx context.Context) (net.Conn, error)
	// Input is called when the viewer has used the keyboard, the pointer or the clipboard,
	// at most once a second. It must be quick: the stream waits for it.
	Input func()
	// KeepAlive is how long the server may give no sign of life before it is asked for one;
	// wslink.KeepAlive if zero.
	KeepAlive time.Duration
}

// EndedError, as the cause of a context's end, is told to the viewer: the session is over,
// and why. The server needs no telling then, and may not be in reach.
type EndedError struct{ Reason string }

func (e *EndedError) Error() string { return "the session is over: " + e.Reason }

// ErrDisplay is the error of a tunnel whose display could not be reached.
var ErrDisplay = errors.New("the display cannot be reached")

// dialWithin is how long the server and the display may take to answer.
const dialWithin = 20 * time.Second

// inputEvery is how often Input is called at most.
const inputEvery = time.Second

// Serve dials the server and joins it to the display. It returns when either side ends, or
// ctx does: nil if the tunnel was up and ended as it should, because the viewer left, the
// session is over, the display closed or the server restarts. The error of a ticket that is
// not good any more is a [*wslink.StatusError]; a viewer that is still there asks anew.
func Serve(ctx context.Context, o Options) error {
	dialing, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	server, err := wslink.Dial(dialing, o.URL, o.Header, o.Client, o.KeepAlive)
	if err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	display, err := o.Dial(dialing)
	if err != nil {
		server.Close(wslink.Unreachable, "the display does not answer")
		return fmt.Errorf("tunnel: %w: %w", ErrDisplay, err)
	}
	t := &tunnel{Options: o, server: server, display: display, over: make(chan struct{})}
	if err := t.run(ctx); err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	return nil
}

// tunnel is a server and a display that are joined.
type tunnel struct {
	Options
	server  *wslink.Link
	display net.Conn
	viewer  parser
	input   time.Time // when Input was last called

	ended sync.Once
	end   ending
	over  chan struct{}
}

// ending is why a tunnel ends, and what the server is told.
type ending struct {
	code   int
	reason string
	err    error
	gone   bool // the server gives no sign of life
}

func (t *tunnel) finish(e ending) {
	t.ended.Do(func() {
		t.end = e
		close(t.over)
	})
}

func (t *tunnel) run(ctx context.Context) error {
	var copying sync.WaitGroup
	copying.Go(t.copyServer)
	copying.Go(t.copyDisplay)
	tick := time.NewTicker(t.server.Every())
	defer tick.Stop()
	for live := true; live; {
		select {
		case <-t.over:
			live = false
		case <-ctx.Done():
			e := ending{code: wslink.Away, reason: "the host is stopping"}
			if ended := (*EndedError)(nil); errors.As(context.Cause(ctx), &ended) {
				e = ending{code: wslink.Ended, reason: ended.Reason}
			}
			t.finish(e)
		case <-tick.C:
			if err := t.server.Tend(); err != nil {
				t.finish(ending{err: err, gone: true})
			}
		}
	}
	// The display first: what it still sends is not waited for.
	err := t.display.Close()
	if t.end.gone {
		t.server.CloseNow()
	} else {
		t.server.Close(t.end.code, t.end.reason)
	}
	copying.Wait()
	if t.end.err != nil {
		return t.end.err
	}
	return err
}

// errDisplayGone is what copying to the display ends with when it takes no more; reading it
// says why.
var errDisplayGone = errors.New("the display takes no more")

// copyServer copies what the viewer sends.
func (t *tunnel) copyServer() {
	err := t.server.Copy(func(p []byte) error {
		if t.viewer.read(p) && t.Input != nil {
			if now := time.Now(); now.Sub(t.input) >= inputEvery {
				t.input = now
				t.Input()
			}
		}
		// A display that hangs must not hold the tunnel for ever.
		if err := t.display.SetWriteDeadline(time.Now().Add(dialWithin)); err != nil {
			return errDisplayGone
		}
		if _, err := t.display.Write(p); err != nil {
			t.finish(ending{code: wslink.Unreachable, reason: "the display does not answer"})
			return errDisplayGone
		}
		return nil
	})
	if errors.Is(err, errDisplayGone) {
		return
	}
	if _, _, closed := wslink.Closed(err); closed {
		t.finish(ending{code: wslink.Normal})
		return
	}
	t.finish(ending{err: fmt.Errorf("the connection to the server is lost: %w", err), gone: true})
}

// copyDisplay copies what the display sends.
func (t *tunnel) copyDisplay() {
	buf := make([]byte, wslink.Chunk)
	for {
		n, err := t.display.Read(buf)
		if n > 0 && t.server.Write(buf[:n]) != nil {
			return // reading it says why
		}
		if err != nil {
			e := ending{code: wslink.Unreachable, reason: "the display has closed"}
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				e.err = fmt.Errorf("read the display: %w", err)
			}
			t.finish(e)
			return
		}
	}
}
