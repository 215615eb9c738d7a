package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/store"
)

// How often a page is told at most, and how often it hears that the connection lives.
const (
	eventPace      = time.Second
	eventHeartbeat = 15 * time.Second
)

// sessionsEvents announces changes of any session.
func sessionsEvents(c *call) error { return c.stream(nil) }

// sessionEvents announces changes of one session.
func sessionEvents(c *call) error { return c.stream([]int64{c.id()}) }

// followEvents announces changes of one of the user's own sessions.
func followEvents(c *call) error {
	if _, err := c.ownSession(c.id()); err != nil {
		return err
	}
	return c.stream([]int64{c.id()})
}

// portalEvents announces changes of those of the user's own sessions that the page shows.
func portalEvents(c *call) error {
	var wanted []int64
	for _, s := range c.r.URL.Query()["id"] {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(wanted) < 50 {
			wanted = append(wanted, n)
		}
	}
	rows, _, err := c.Control.SessionRows(c.r.Context(), wanted)
	if err != nil {
		return err
	}
	own := []int64{}
	for _, r := range rows {
		if r.UserID == c.who().UserID {
			own = append(own, r.ID)
		}
	}
	return c.stream(own)
}

// stream sends an event whenever one of the sessions has changed; nil means any. An
// event says only that: the page asks for itself again, so a lost one costs time, not
// truth.
func (c *call) stream(sessions []int64) error {
	ready, take, stop := c.Control.Hub.WaitChanges()
	defer stop()
	mine := make(map[int64]bool, len(sessions))
	for _, id := range sessions {
		mine[id] = true
	}
	return announce(c, ready, func() bool {
		ids, all := take()
		return all || sessions == nil || anyOf(ids, mine)
	})
}

// announce sends an event stream until the page is gone: an event whenever ready receives
// and changed says that there is something to see.
func announce[T any](c *call, ready <-chan T, changed func() bool) error {
	closed, err := c.open(control.EventStream)
	if err != nil {
		return err
	}
	defer closed()
	send, begun := c.openStream()
	if !begun {
		return nil
	}
	beat := time.NewTicker(eventHeartbeat)
	defer beat.Stop()
	for {
		select {
		case <-c.r.Context().Done():
			return nil
		case <-c.stopped:
			return nil
		case <-beat.C:
			if !send(": still here\n\n") {
				return nil
			}
		case <-ready:
			if !changed() {
				continue
			}
			if !send("event: change\ndata: {}\n\n") {
				return nil
			}
			// Whatever changes meanwhile is one more event, not one each.
			select {
			case <-time.After(eventPace):
			case <-c.r.Context().Done():
				return nil
			case <-c.stopped:
				return nil
			}
		}
	}
}

// open has the request end with the sign-in that let it in, however long it lasts, until
// closed is called.
func (c *call) open(kind control.OpenKind) (closed func(), err error) {
	ctx, closed, err := c.Control.Open(c.r.Context(), kind, c.who().UserID, control.By{SignIn: signInOf(c.r)})
	if err != nil {
		return nil, err
	}
	c.r = c.r.WithContext(ctx)
	return closed, nil
}

// openStream begins an event stream and returns how to send on it, which fails once the
// page is gone; begun is false if it is gone already.
func (c *call) openStream() (send func(format string, args ...any) bool, begun bool) {
	rc := http.NewResponseController(c.w)
	// The server's limit on reading a request would end a stream that outlives it.
	rc.SetReadDeadline(time.Time{})
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	send = func(format string, args ...any) bool {
		// A page that reads nothing for this long is gone.
		rc.SetWriteDeadline(time.Now().Add(eventHeartbeat))
		if _, err := fmt.Fprintf(c.w, format, args...); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
	// What changed between the page's making and this moment was announced to nobody: the
	// page is told to look once.
	return send, send("retry: 2000\nevent: now\ndata: %s\n\nevent: change\ndata: {}\n\n", stamp(time.Now()))
}

func anyOf(ids []int64, set map[int64]bool) bool {
	for _, id := range ids {
		if set[id] {
			return true
		}
	}
	return false
}

// ownSession returns a session of the signed-in user, or store.ErrNotFound.
func (c *call) ownSession(id int64) (*store.SessionRow, error) {
	rows, _, err := c.Control.SessionRows(c.r.Context(), []int64{id})
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || rows[0].UserID != c.who().UserID {
		return nil, store.ErrNotFound
	}
	return &rows[0], nil
}
