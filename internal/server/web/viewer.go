package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

// Streams is what the viewer's page needs of the use cases. All return store.ErrNotFound
// for a session that is not the caller's own stream.
type Streams interface {
	Stream(ctx context.Context, who control.Who, id int64) (*control.StreamView, error)
	EndStream(ctx context.Context, who control.Who, id int64) error
	Shown(ctx context.Context, who control.Who, id int64, n uint32) error
}

// A Socket serves the web socket of a browser that may see the session, until it is over.
type Socket interface {
	View(w http.ResponseWriter, r *http.Request, session int64) error
	// Refuse tells the browser why it is not shown anything.
	Refuse(w http.ResponseWriter, r *http.Request, reason string) error
}

// viewerPages are the routes of the viewer, if there are streams.
func (s *Server) viewerPages() []route {
	if s.Streams == nil || s.Socket == nil {
		return nil
	}
	return []route{
		{"GET /streams/{id}", auth.SignedIn, s.handle(viewStream)},
		{"GET /streams/{id}/state", auth.SignedIn, s.handle(streamState)},
		{"GET /streams/{id}/socket", auth.SignedIn, s.handle(streamSocket)},
		{"GET /streams/{id}/events", auth.SignedIn, s.handle(streamEvents)},
		{"POST /streams/{id}/end", auth.SignedIn, s.handle(endStream)},
		{"POST /streams/{id}/shown", auth.SignedIn, s.handle(shownInStream)},
	}
}

// How the viewer's page stands: what it shows before its script knows better.
const (
	viewStarting = "starting" // there is no display yet
	viewLive     = "live"     // there is one to connect to
	viewEnded    = "ended"
)

// A viewerState is all that the viewer's script knows of its session, in JSON: the words are
// ours, so that they are said in one place.
type viewerState struct {
	Phase string `json:"phase"`
	Title string `json:"title"`
	Text  string `json:"text"`
	// EndsAt and IdleAt are when the session ends by itself, null if not.
	EndsAt    *time.Time `json:"ends_at"`
	IdleAt    *time.Time `json:"idle_at"`
	Clipboard bool       `json:"clipboard"`
	// Waits is how long the app goes on while no page shows it, in words; "" if it does not.
	Waits string `json:"waits"`
	// Messages are those of administrators that were not shown yet.
	Messages []viewerMessage `json:"messages"`
	Now      time.Time       `json:"now"` // by our clock
}

type viewerMessage struct {
	N    uint32    `json:"n"` // among the session's, from 1
	From string    `json:"from"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// A viewerPage is the viewer before its script runs.
type viewerPage struct {
	viewerState
	Path  string // of the session
	App   string
	Again string // the address that launches the app again
	JSON  string // the state
}

func stateOf(v *control.StreamView, now time.Time) viewerState {
	s := viewerState{Clipboard: v.Clipboard, Now: now.UTC()}
	if v.Waits > 0 {
		s.Waits = words(v.Waits)
	}
	for _, t := range []struct {
		at time.Time
		to **time.Time
	}{{v.EndsAt, &s.EndsAt}, {v.IdleAt, &s.IdleAt}} {
		if !t.at.IsZero() {
			at := t.at.UTC()
			*t.to = &at
		}
	}
	s.Messages = make([]viewerMessage, len(v.Messages))
	for i, m := range v.Messages {
		s.Messages[i] = viewerMessage{m.N, m.By.Name, m.Text, m.At.UTC()}
	}
	because := ""
	switch {
	case v.Reason == "":
	case strings.HasPrefix(v.Reason, session.ReasonLapsed):
		because = "Its host was cut off for too long, and has closed it."
	default:
		because = strings.TrimSuffix(title(v.Reason), ".") + "."
	}
	switch v.Status {
	case session.Starting:
		s.Phase, s.Title = viewStarting, "Starting "+v.AppName+"…"
		s.Text = "Its host is setting up a display. This takes a few seconds."
	case session.Connected:
		s.Phase, s.Title, s.Text = viewLive, "Connecting to "+v.AppName+"…", ""
	case session.Unknown:
		s.Phase, s.Title = viewLive, "Connecting to "+v.AppName+"…"
		s.Text = "Its host has not been heard from for a while. The app goes on while its host does."
	case session.Killed:
		s.Phase, s.Title, s.Text = viewEnded, "An administrator ended "+v.AppName, because
	case session.Failed:
		s.Phase, s.Title, s.Text = viewEnded, v.AppName+" did not start", cmp.Or(because, "Its host did not say why.")
	default:
		s.Phase, s.Title, s.Text = viewEnded, v.AppName+" has ended", because
	}
	return s
}

// hostPattern is a host as requests name it; nothing else may get into a policy.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9.\-\[\]:]+$`)

// viewerPolicy is contentPolicy for the viewer: it draws pictures that came through its web
// socket from addresses of data:, and browsers of 2024 do not take a web socket to this
// origin for 'self'.
func viewerPolicy(r *http.Request) string {
	connect := "'self'"
	if hostPattern.MatchString(r.Host) {
		connect += " ws://" + r.Host + " wss://" + r.Host
	}
	return contentPolicy + "; img-src 'self' data:; connect-src " + connect
}

// viewStream is the page that shows a streamed app.
func viewStream(c *call) error {
	v, err := c.Streams.Stream(c.r.Context(), c.who(), c.id())
	if err != nil {
		return err
	}
	p := viewerPage{viewerState: stateOf(v, time.Now()), Path: "/streams/" + itoa(v.ID), App: v.AppName, Again: "/launch/" + itoa(v.AppID)}
	data, err := json.Marshal(p.viewerState)
	if err != nil {
		return err
	}
	p.JSON = string(data)
	c.w.Header().Set("Content-Security-Policy", viewerPolicy(c.r))
	var buf bytes.Buffer
	frame := page{Title: v.AppName, Viewer: viewerOf(userOf(c.r)), Theme: theme(c.r), Now: p.Now, assets: c.assets}
	if err := viewerFrame(frame).Render(templ.WithChildren(c.r.Context(), viewerView(p)), &buf); err != nil {
		return err
	}
	send(c.w, c.r, http.StatusOK, buf.Bytes())
	return nil
}

// streamState is what the page asks again and again.
func streamState(c *call) error {
	v, err := c.Streams.Stream(c.r.Context(), c.who(), c.id())
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(c.w).Encode(stateOf(v, time.Now()))
}

// streamEvents announces changes of the session, so that its page need not wait until it
// asks again.
func streamEvents(c *call) error {
	if _, err := c.Streams.Stream(c.r.Context(), c.who(), c.id()); err != nil {
		return err
	}
	return c.stream([]int64{c.id()})
}

// shownInStream takes note that the page has shown the messages up to n.
func shownInStream(c *call) error {
	n, err := strconv.ParseUint(c.r.PostFormValue("n"), 10, 32)
	if err != nil {
		return invalid.Of("n", "must be a message's number")
	}
	if err := c.Streams.Shown(c.r.Context(), c.who(), c.id(), uint32(n)); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// streamSocket is the way to the display. It is refused before the socket opens to anybody
// but the session's user, and to them once it is over.
func streamSocket(c *call) error {
	v, err := c.Streams.Stream(c.r.Context(), c.who(), c.id())
	if err != nil {
		return err
	}
	if stateOf(v, time.Now()).Phase != viewLive {
		http.Error(c.w, "there is nothing to see now", http.StatusConflict)
		return nil
	}
	closed, err := c.open(control.Viewer)
	var tooMany *control.TooManyError
	if errors.As(err, &tooMany) {
		return c.Socket.Refuse(c.w, c.r, tooMany.What)
	}
	if err != nil {
		return err
	}
	defer closed()
	if err := c.Socket.View(c.w, c.r, v.ID); err != nil && !errors.Is(err, context.Canceled) {
		// The request is answered, and the browser comes again.
		c.Log.Warn("stream", "request", requestID(c.r), "session", v.ID, "err", err)
	}
	return nil
}

// endStream ends the session because its user wants it.
func endStream(c *call) error {
	if err := c.Streams.EndStream(c.r.Context(), c.who(), c.id()); err != nil {
		return err
	}
	if c.live() {
		return streamState(c)
	}
	return c.redirect("/streams/" + itoa(c.id()))
}
