package gateway

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"leasehold/internal/wslink"
)

// stream is a browser, and the host's tunnel once it is there. View closes both.
type stream struct {
	session int64
	browser *wslink.Link
	host    *wslink.Link  // set before joined is closed; nil if the host could not connect
	joined  chan struct{} // closed by the tunnel that has claimed the ticket

	ended sync.Once
	end   ending        // set before over is closed
	over  chan struct{} // both sides are to be closed
}

// ending is why a stream ends, and what both sides are told.
type ending struct {
	code     int
	reason   string
	err      error // worth the log
	dropped  bool  // the browser gives no sign of life: it is told nothing
	hostGone bool  // and so does the host
}

// broken is how a stream ends whose code panicked.
var broken = ending{code: wslink.Unreachable, reason: "it is the server's fault; its log has it", err: errors.New("the stream's code panicked")}

// signedOut is how a stream ends whose request has: a web socket outlives its connection's
// other signs of life, so only the one who let it in ends it.
var signedOut = ending{code: wslink.Refused, reason: "You were signed out."}

var restarting = ending{code: wslink.Restart, reason: "the server is restarting"}

// finish ends the stream, unless it has ended.
func (s *stream) finish(e ending) {
	s.ended.Do(func() {
		s.end = e
		close(s.over)
	})
}

// errNotTaken is what copying ends with when the other side takes no more. Then the reader
// of that side knows why.
var errNotTaken = errors.New("the other side takes no more")

// run joins the stream and returns when it is over and both sides are closed.
func (g *Gateway) run(ctx context.Context, s *stream) error {
	var copying sync.WaitGroup
	copying.Go(func() {
		defer func() {
			// Unlike in a handler, it would end the process.
			if v := recover(); v != nil {
				g.Log.Error("a stream panicked", "session", s.session, "panic", v, "stack", string(debug.Stack()))
				s.finish(broken)
			}
		}()
		s.copyBrowser()
	})
	defer func() {
		if v := recover(); v != nil {
			s.finish(broken)
			s.close()
			copying.Wait()
			panic(v)
		}
	}()
	ticket, e := g.join(ctx, s)
	if e != nil {
		s.finish(*e)
	} else {
		g.tend(ctx, s)
	}
	if ticket != "" && g.unclaim(ticket) {
		<-s.joined // or it is about to be
	}
	s.close()
	copying.Wait()
	return s.end.err
}

// copyBrowser reads the browser until the stream is over. It begins before there is a host,
// so that a browser that leaves while it waits is noticed.
func (s *stream) copyBrowser() {
	err := s.browser.Copy(func(p []byte) error {
		select {
		case <-s.joined:
			if s.host != nil && s.host.Write(p) == nil {
				return nil
			}
		case <-s.over:
		}
		return errNotTaken
	})
	if !errors.Is(err, errNotTaken) {
		_, _, closed := wslink.Closed(err)
		s.finish(ending{code: wslink.Away, reason: "the viewer has left", dropped: !closed})
	}
}

// copyHost reads the host until the stream is over.
func (s *stream) copyHost() {
	err := s.host.Copy(func(p []byte) error {
		if s.browser.Write(p) != nil {
			return errNotTaken
		}
		return nil
	})
	if errors.Is(err, errNotTaken) {
		return
	}
	e := ending{code: wslink.Unreachable}
	code, reason, closed := wslink.Closed(err)
	switch {
	case !closed:
		e.reason, e.hostGone = "the connection to the host is lost", true
	case code == wslink.Ended:
		e.code, e.reason = code, reason
	default:
		e.reason = reason
	}
	s.finish(e)
}

// join waits for the host's tunnel. It returns why there is none, and the ticket if one was
// made.
func (g *Gateway) join(ctx context.Context, s *stream) (ticket string, why *ending) {
	select {
	case <-g.Done:
		return "", &restarting
	default:
	}
	ask, cancel := context.WithTimeoutCause(ctx, g.Wait, errSilent)
	defer cancel()
	// A browser that leaves, and a stop, end the asking too.
	asked := make(chan struct{})
	defer close(asked)
	go func() {
		select {
		case <-s.over:
		case <-g.Done:
			s.finish(restarting)
		case <-asked:
		}
		cancel()
	}()
	ticket, err := g.ticket(ask, s)
	if err == nil {
		select {
		case <-s.joined:
			return ticket, nil
		case <-ask.Done():
		}
	}
	if ctx.Err() != nil {
		return ticket, &signedOut
	}
	if ask.Err() != nil {
		err = context.Cause(ask)
	}
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return ticket, &ending{code: wslink.Refused, reason: refused.Reason}
	case errors.Is(err, errSilent):
		return ticket, &ending{code: wslink.Unreachable, reason: "the host does not answer"}
	}
	// If the stream is over by now, that is why.
	return ticket, &ending{code: wslink.Unreachable, reason: "the host cannot be reached", err: err}
}

var errSilent = errors.New("the host does not answer")

// tend sees to it that both sides live, until the stream is over.
func (g *Gateway) tend(ctx context.Context, s *stream) {
	if s.host == nil {
		<-s.over
		return
	}
	t := time.NewTicker(s.browser.Every())
	defer t.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-g.Done:
			s.finish(restarting)
			return
		case <-ctx.Done():
			s.finish(signedOut)
			return
		case <-t.C:
			if s.browser.Tend() != nil {
				s.finish(ending{code: wslink.Away, reason: "the viewer is gone", dropped: true})
			} else if s.host.Tend() != nil {
				s.finish(ending{code: wslink.Unreachable, reason: "the connection to the host is lost", hostGone: true})
			}
		}
	}
}

// close closes both sides.
func (s *stream) close() {
	var closing sync.WaitGroup
	closing.Go(func() { s.shut(s.browser, s.end.dropped) })
	if s.host != nil {
		closing.Go(func() { s.shut(s.host, s.end.hostGone) })
	}
	closing.Wait()
}

func (s *stream) shut(l *wslink.Link, gone bool) {
	if gone {
		l.CloseNow()
	} else {
		l.Close(s.end.code, s.end.reason)
	}
}
