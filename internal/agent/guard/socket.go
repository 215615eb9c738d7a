package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"leasehold/internal/agent/localsocket"
)

// answerWithin is how long an order may take if its context says nothing.
const answerWithin = 5 * time.Second

// request is one line from the player to the guard.
type request struct {
	Op string `json:"op"` // challenge, extend, close, stop, status, watch
	Lease
	Order  *Order `json:"order,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// response is the guard's line for it; a watch gets one for each change.
type response struct {
	Changed   bool    `json:"changed"`
	Status    *Status `json:"status,omitempty"`
	Challenge string  `json:"challenge,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// Handle speaks to the guard of one run. It holds nothing open, so it needs no
// closing, and it is safe for concurrent use.
type Handle struct {
	dir  string
	spec Spec
}

// Dir returns the folder of the run.
func (h *Handle) Dir() string { return h.dir }

// Spec returns what the run was started with.
func (h *Handle) Spec() Spec { return h.spec }

// Alive reports whether the guard is: by its process and when that started,
// not by whether it answers. It lives a moment longer than its run; and if it
// was killed, the run stands in the events as not ended, see [Sweep].
func (h *Handle) Alive() bool {
	c, err := readClaim(h.dir)
	return err == nil && c.alive()
}

// Ended returns the Exited event, if the run is over.
func (h *Handle) Ended() (Event, bool, error) { return ended(h.dir) }

// Challenge returns what a lease must answer to extend the run. The lease counts
// from now on, so it is asked for right before the lease is.
func (h *Handle) Challenge(ctx context.Context) (string, error) {
	r, err := h.call(ctx, request{Op: "challenge"})
	return r.Challenge, err
}

// Extend moves the deadline to that of a lease, and at most to its end as it is
// signed. It reports whether anything changed: not once a close was ordered or
// has begun, nor for a generation that is behind. The error is [ErrRefused] for
// a lease that does not verify, unless it only shortens.
func (h *Handle) Extend(ctx context.Context, l Lease) (changed bool, err error) {
	r, err := h.call(ctx, request{Op: "extend", Lease: l})
	return r.Changed, err
}

// Close orders the app to close. It reports whether anything changed: not when
// an order stands that is as early.
func (h *Handle) Close(ctx context.Context, o Order) (changed bool, err error) {
	r, err := h.call(ctx, request{Op: "close", Order: &o})
	return r.Changed, err
}

// Stop asks the app to close now, without warnings, and forces it a margin
// later: for a user who wants it closed. It does not wait for the end.
func (h *Handle) Stop(ctx context.Context, reason string) (changed bool, err error) {
	r, err := h.call(ctx, request{Op: "stop", Reason: reason})
	return r.Changed, err
}

// Status asks the guard how the run is.
func (h *Handle) Status(ctx context.Context) (Status, error) {
	r, err := h.call(ctx, request{Op: "status"})
	if err == nil && r.Status == nil {
		err = fmt.Errorf("%w: no status in the answer", ErrUnresponsive)
	}
	if err != nil {
		return Status{}, err
	}
	return *r.Status, nil
}

// AwaitEvents returns the events from the offset on as soon as there is one,
// and the offset at which to go on. If the guard is gone and there are no
// more, the error is [ErrGone]: the caller then sweeps.
func (h *Handle) AwaitEvents(ctx context.Context, from int64) ([]Event, int64, error) {
	read := func() ([]Event, int64, error) { return ReadEvents(h.dir, from) }
	if events, next, err := read(); len(events) > 0 || err != nil {
		return events, next, err
	}
	conn, err := h.dial(ctx)
	if err != nil {
		// It may have ended between the two.
		if events, next, rerr := read(); len(events) > 0 || rerr != nil {
			return events, next, rerr
		}
		return nil, from, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(request{Op: "watch"}); err == nil {
		// The guard answers once at first: what is between our look at the
		// file and that answer is seen by the next look.
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if events, next, err := read(); len(events) > 0 || err != nil {
				return events, next, err
			}
		}
	}
	if ctx.Err() != nil {
		return nil, from, ctx.Err()
	}
	if events, next, err := read(); len(events) > 0 || err != nil {
		return events, next, err
	}
	return nil, from, h.unreachable(errors.New("it hung up"))
}

// unreachable says why a guard does not answer. One that has written its last
// event, or was killed, is gone from the process table a moment after it is
// gone from its socket.
func (h *Handle) unreachable(err error) error {
	for range 100 {
		if !h.Alive() {
			return fmt.Errorf("%w: %w", ErrGone, err)
		}
		if _, over, _ := ended(h.dir); over {
			return fmt.Errorf("%w: the run is over: %w", ErrGone, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%w: %w", ErrUnresponsive, err)
}

func (h *Handle) dial(ctx context.Context) (net.Conn, error) {
	conn, err := localsocket.Dial(ctx, h.dir, socketFile)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, h.unreachable(err)
	}
	return conn, nil
}

func (h *Handle) call(ctx context.Context, req request) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := h.dial(ctx)
	if err != nil {
		return response{}, fmt.Errorf("%s: %w", req.Op, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var resp response
	if err = json.NewEncoder(conn).Encode(req); err == nil {
		err = json.NewDecoder(conn).Decode(&resp)
	}
	if err != nil {
		return response{}, fmt.Errorf("%s: %w", req.Op, h.unreachable(err))
	}
	if resp.Error != "" {
		return resp, fmt.Errorf("%s: %w: %s", req.Op, ErrRefused, resp.Error)
	}
	return resp, nil
}

// call is a request on its way to the guard's loop, which answers it.
type call struct {
	request
	answer chan<- response
}

// server accepts the player's connections.
type server struct {
	calls  chan call
	done   chan struct{} // closed when the run is over and its last event is written
	events *eventLog
}

func (s *server) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.handle(conn)
	}
}

func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	out := json.NewEncoder(conn)
	for lines.Scan() {
		var req request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			_ = out.Encode(response{Error: err.Error()})
			return
		}
		if req.Op == "watch" {
			s.watch(conn, out)
			return
		}
		answer := make(chan response, 1)
		select {
		case s.calls <- call{req, answer}:
		case <-s.done:
			return
		}
		select {
		case resp := <-answer:
			if out.Encode(resp) != nil {
				return
			}
		case <-s.done:
			return
		}
	}
}

// watch writes a line now and whenever there is a new event, until the run is
// over or the other side hangs up.
func (s *server) watch(conn net.Conn, out *json.Encoder) {
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		_, _ = conn.Read(make([]byte, 1))
	}()
	for {
		changed := s.events.wait()
		if out.Encode(response{Changed: true}) != nil {
			return
		}
		select {
		case <-changed:
		case <-hungUp:
			return
		case <-s.done:
			return
		}
	}
}
