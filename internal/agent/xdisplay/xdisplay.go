// Package xdisplay asks an X display the few things that somebody who runs apps
// on it wants to know: whether a window manager is there, which windows it
// manages; and asks windows to close, as a click on their close button does.
package xdisplay

import (
	"errors"
	"fmt"
	"io"
	"log"
	"sync"

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

// WindowManager reports whether a window manager is at work. One that died
// leaves its mark on the root; the window that the mark names is gone.
func (c *Conn) WindowManager() bool {
	for _, screen := range c.roots() {
		w := c.words(screen.Root, "_NET_SUPPORTING_WM_CHECK", xproto.AtomWindow)
		if len(w) != 1 {
			return false
		}
		if back := c.words(xproto.Window(w[0]), "_NET_SUPPORTING_WM_CHECK", xproto.AtomWindow); len(back) != 1 || back[0] != w[0] {
			return false
		}
	}
	return true
}

// Windows returns how many windows the window manager has: those that apps
// have opened, without menus and the like.
func (c *Conn) Windows() int {
	n := 0
	for _, screen := range c.roots() {
		n += len(c.words(screen.Root, "_NET_CLIENT_LIST", xproto.AtomWindow))
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
