// Package xdisplay asks an X display the few things that somebody who runs apps
// on it wants to know: whether a window manager is there, which windows it
// manages; and asks windows to close, as a click on their close button does.
package xdisplay

import (
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// depth is how deep below the root a window manager puts the windows of apps.
const depth = 4

// ErrNoDisplay means that the display does not answer, or does not let us in.
var ErrNoDisplay = errors.New("no display")

// quiet keeps the library from telling of the end of each connection.
var quiet = sync.OnceFunc(func() { xgb.Logger = log.New(io.Discard, "", 0) })

// Conn is a connection to a display. Its methods may be called concurrently.
type Conn struct {
	x     *xgb.Conn
	atoms sync.Map // name → xproto.Atom
}

// Open connects to a display, such as ":7"; to that of the environment if the
// name is empty. XAUTHORITY is where the display's cookie is. The error is
// [ErrNoDisplay].
func Open(display string) (*Conn, error) {
	quiet()
	x, err := xgb.NewConnDisplay(display)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDisplay, err)
	}
	return &Conn{x: x}, nil
}

// Close ends the connection.
func (c *Conn) Close() { c.x.Close() }

func (c *Conn) atom(name string) xproto.Atom {
	if a, ok := c.atoms.Load(name); ok {
		return a.(xproto.Atom)
	}
	r, err := xproto.InternAtom(c.x, false, uint16(len(name)), name).Reply()
	if err != nil {
		return xproto.AtomNone
	}
	c.atoms.Store(name, r.Atom)
	return r.Atom
}

// words returns a property that is a list of 32-bit values; nil if there is none.
func (c *Conn) words(w xproto.Window, property string, kind xproto.Atom) []uint32 {
	r, err := xproto.GetProperty(c.x, false, w, c.atom(property), kind, 0, 1024).Reply()
	if err != nil || r.Format != 32 {
		return nil
	}
	var list []uint32
	for b := r.Value; len(b) >= 4; b = b[4:] {
		list = append(list, xgb.Get32(b))
	}
	return list
}

func (c *Conn) roots() []xproto.ScreenInfo { return xproto.Setup(c.x).Roots }

// WindowManager reports whether a window manager is at work: by a window of
// ours, at the bottom and for a moment, that it must take care of. That one has
// left its mark on the display does not say so: openbox does that first, and
// loses windows that are opened before it is ready.
func (c *Conn) WindowManager() bool {
	screen := xproto.Setup(c.x).DefaultScreen(c.x)
	if len(c.words(screen.Root, "_NET_SUPPORTING_WM_CHECK", xproto.AtomWindow)) != 1 {
		return false
	}
	probe, err := xproto.NewWindowId(c.x)
	if err != nil {
		return false
	}
	if xproto.CreateWindowChecked(c.x, screen.RootDepth, probe, screen.Root, 0, 0, 1, 1, 0,
		xproto.WindowClassInputOutput, screen.RootVisual, 0, nil).Check() != nil {
		return false
	}
	kind := make([]byte, 4)
	xgb.Put32(kind, uint32(c.atom("_NET_WM_WINDOW_TYPE_DESKTOP")))
	xproto.ChangeProperty(c.x, xproto.PropModeReplace, probe, c.atom("_NET_WM_WINDOW_TYPE"), xproto.AtomAtom, 32, 1, kind)
	xproto.MapWindow(c.x, probe)
	taken := poll(200*time.Millisecond, func() bool { return len(c.words(probe, "WM_STATE", c.atom("WM_STATE"))) > 0 })
	xproto.DestroyWindow(c.x, probe)
	return taken && poll(time.Second, func() bool { return !slices.Contains(c.managed(screen.Root), uint32(probe)) })
}

// poll asks until the answer is yes, or the time is over.
func poll(within time.Duration, ok func() bool) bool {
	for end := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// Adopt has the window manager take the windows that it does not know: those
// that were opened, or set free, while there was none.
func (c *Conn) Adopt() {
	for _, screen := range c.roots() {
		tree, err := xproto.QueryTree(c.x, screen.Root).Reply()
		if err != nil {
			return
		}
		managed := c.managed(screen.Root)
		for _, child := range tree.Children {
			a, err := xproto.GetWindowAttributes(c.x, child).Reply()
			if err != nil || a.OverrideRedirect || a.MapState != xproto.MapStateViewable || slices.Contains(managed, uint32(child)) {
				continue // a menu, a frame, hidden, or known
			}
			xproto.UnmapWindow(c.x, child)
			xproto.MapWindow(c.x, child)
		}
	}
}

// managed returns the windows that the window manager has.
func (c *Conn) managed(root xproto.Window) []uint32 {
	return c.words(root, "_NET_CLIENT_LIST", xproto.AtomWindow)
}

// Windows returns how many windows the window manager has: those that apps
// have opened, without menus and the like.
func (c *Conn) Windows() int {
	n := 0
	for _, screen := range c.roots() {
		n += len(c.managed(screen.Root))
	}
	return n
}

// AskToClose asks the windows of the processes that of names to close, all
// windows if of is nil. It returns how many it asked; those that have no close
// button cannot be.
func (c *Conn) AskToClose(of func(pid int) bool) int {
	asked := 0
	var walk func(w xproto.Window, depth int)
	walk = func(w xproto.Window, depth int) {
		tree, err := xproto.QueryTree(c.x, w).Reply()
		if err != nil {
			return // it went away
		}
		for _, child := range tree.Children {
			if c.owned(child, of) && c.askToClose(child) {
				asked++
			}
			if depth > 1 {
				walk(child, depth-1)
			}
		}
	}
	for _, screen := range c.roots() {
		walk(screen.Root, depth)
	}
	return asked
}

func (c *Conn) owned(w xproto.Window, of func(pid int) bool) bool {
	if of == nil {
		return true
	}
	pid := c.words(w, "_NET_WM_PID", xproto.AtomCardinal)
	return len(pid) == 1 && of(int(pid[0]))
}

func (c *Conn) askToClose(w xproto.Window) (asked bool) {
	deleteWindow := c.atom("WM_DELETE_WINDOW")
	for _, p := range c.words(w, "WM_PROTOCOLS", xproto.AtomAtom) {
		if xproto.Atom(p) != deleteWindow {
			continue
		}
		message := xproto.ClientMessageEvent{Format: 32, Window: w, Type: c.atom("WM_PROTOCOLS"),
			Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(deleteWindow), xproto.TimeCurrentTime, 0, 0, 0})}
		if xproto.SendEventChecked(c.x, false, w, 0, string(message.Bytes())).Check() == nil {
			asked = true
		}
	}
	return asked
}
