package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// errNoDisplay means that the window cannot be shown, and the app runs in the
// terminal instead.
var errNoDisplay = errors.New("no X display")

// Geometry of the window, in pixels.
const (
	winWidth, winHeight = 560, 300
	digitWidth          = 48
	digitHeight         = 88
	stroke              = 10
)

// Colours, for the 24 bit visuals that every X server of today has.
const (
	paper  = 0xf8fafc
	ink    = 0x1e293b
	muted  = 0x64748b
	accent = 0x2563eb
	warm   = 0xea580c
)

// segments says which of the seven bars a digit has: top, upper left, upper
// right, middle, lower left, lower right, bottom. Drawn bars need no fonts and
// are large enough to be read in a streamed picture.
var segments = [10][7]bool{
	{true, true, true, false, true, true, true},
	{false, false, true, false, false, true, false},
	{true, false, true, true, true, false, true},
	{true, false, true, true, false, true, true},
	{false, true, true, true, false, true, false},
	{true, true, false, true, false, true, true},
	{true, true, false, true, true, true, true},
	{true, false, true, false, false, true, false},
	{true, true, true, true, true, true, true},
	{true, true, true, true, false, true, true},
}

// app is the window and what is needed to draw it.
type app struct {
	conn    *xgb.Conn
	window  xproto.Window
	gc      xproto.Gcontext
	font    bool
	title   string
	started time.Time
	inputs  int // clicks and keys, to see that they arrive
	asking  bool
}

// window shows the window until it is closed or the app has to end.
func window(ctx context.Context, o options, closing <-chan os.Signal, stdout io.Writer) error {
	xgb.Logger = log.New(io.Discard, "", 0) // it would tell of the end of each connection
	conn, err := xgb.NewConn()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoDisplay, err)
	}
	defer conn.Close()
	a := &app{conn: conn, title: o.title, started: time.Now()}
	deleteWindow, err := a.create()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s is running in a window.\n", o.title)
	events := make(chan xgb.Event)
	done := make(chan struct{})
	defer close(done)
	go func() {
		defer close(events)
		for {
			e, xerr := conn.WaitForEvent()
			if e == nil && xerr == nil {
				return // the display is gone
			}
			if e == nil {
				continue
			}
			select {
			case events <- e:
			case <-done:
				return
			}
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if o.exitCode != 0 {
				return exitCode(o.exitCode)
			}
			return nil
		case <-closing:
			return save(o, stdout)
		case <-tick.C:
			a.draw()
		case e, ok := <-events:
			if !ok {
				if !o.ignoreTerm {
					return errors.New("the display is gone")
				}
				events = nil
				continue
			}
			switch e := e.(type) {
			case xproto.ExposeEvent:
				a.draw()
			case xproto.ButtonPressEvent, xproto.KeyPressEvent:
				if a.asking {
					return save(o, stdout)
				}
				a.inputs++
				a.draw()
			case xproto.ClientMessageEvent:
				if e.Format == 32 && xproto.Atom(e.Data.Data32[0]) == deleteWindow && !o.ignoreTerm {
					if o.unsaved == "" {
						return save(o, stdout)
					}
					a.asking = true
					a.draw()
				}
			}
		}
	}
}

// create puts the window on the screen with the properties that window
// managers, and the guard, go by.
func (a *app) create() (deleteWindow xproto.Atom, err error) {
	screen := xproto.Setup(a.conn).DefaultScreen(a.conn)
	if a.window, err = xproto.NewWindowId(a.conn); err != nil {
		return 0, err
	}
	err = xproto.CreateWindowChecked(a.conn, screen.RootDepth, a.window, screen.Root,
		60, 60, winWidth, winHeight, 0, xproto.WindowClassInputOutput, screen.RootVisual,
		xproto.CwBackPixel|xproto.CwEventMask, []uint32{paper,
			xproto.EventMaskExposure | xproto.EventMaskButtonPress | xproto.EventMaskKeyPress}).Check()
	if err != nil {
		return 0, fmt.Errorf("make a window: %w", err)
	}
	if a.gc, err = xproto.NewGcontextId(a.conn); err != nil {
		return 0, err
	}
	xproto.CreateGC(a.conn, a.gc, xproto.Drawable(a.window), xproto.GcForeground|xproto.GcBackground, []uint32{ink, paper})
	if font, err := xproto.NewFontId(a.conn); err == nil {
		// "fixed" is built into X servers; without it the window has no words.
		if xproto.OpenFontChecked(a.conn, font, uint16(len("fixed")), "fixed").Check() == nil {
			xproto.ChangeGC(a.conn, a.gc, xproto.GcFont, []uint32{uint32(font)})
			a.font = true
		}
	}
	atom := func(name string) xproto.Atom {
		r, err := xproto.InternAtom(a.conn, false, uint16(len(name)), name).Reply()
		if err != nil {
			return xproto.AtomNone
		}
		return r.Atom
	}
	text := func(property, kind xproto.Atom, s string) {
		xproto.ChangeProperty(a.conn, xproto.PropModeReplace, a.window, property, kind, 8, uint32(len(s)), []byte(s))
	}
	number := func(property, kind xproto.Atom, n uint32) {
		b := make([]byte, 4)
		xgb.Put32(b, n)
		xproto.ChangeProperty(a.conn, xproto.PropModeReplace, a.window, property, kind, 32, 1, b)
	}
	text(xproto.AtomWmName, xproto.AtomString, a.title)
	text(atom("_NET_WM_NAME"), atom("UTF8_STRING"), a.title)
	text(xproto.AtomWmClass, xproto.AtomString, "leasehold-sample\x00Leasehold-sample\x00")
	if host, err := os.Hostname(); err == nil {
		text(xproto.AtomWmClientMachine, xproto.AtomString, host)
	}
	number(atom("_NET_WM_PID"), xproto.AtomCardinal, uint32(os.Getpid()))
	deleteWindow = atom("WM_DELETE_WINDOW")
	number(atom("WM_PROTOCOLS"), xproto.AtomAtom, uint32(deleteWindow))
	return deleteWindow, xproto.MapWindowChecked(a.conn, a.window).Check()
}

func (a *app) colour(c uint32) {
	xproto.ChangeGC(a.conn, a.gc, xproto.GcForeground, []uint32{c})
}

func (a *app) fill(c uint32, rects ...xproto.Rectangle) {
	a.colour(c)
	xproto.PolyFillRectangle(a.conn, xproto.Drawable(a.window), a.gc, rects)
}

func (a *app) text(x, y int16, c uint32, s string) {
	if !a.font {
		return
	}
	if len(s) > 80 {
		s = s[:80]
	}
	a.colour(c)
	xproto.ImageText8(a.conn, byte(len(s)), xproto.Drawable(a.window), a.gc, x, y, s)
}

// draw draws everything anew; it is little enough.
func (a *app) draw() {
	a.fill(paper, xproto.Rectangle{Width: winWidth, Height: winHeight})
	bar := uint32(accent)
	if a.inputs%2 == 1 {
		bar = warm // each click or key is seen at once
	}
	a.fill(bar, xproto.Rectangle{Width: winWidth, Height: 12})
	a.text(24, 44, ink, a.title)
	if a.asking {
		a.text(24, 64, ink, "Save your work? Press a key.")
		return
	}
	a.text(24, 64, muted, "running for")
	d := time.Since(a.started)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	x := int16(24)
	for i, n := range []int{h / 10 % 10, h % 10, m / 10, m % 10, s / 10, s % 10} {
		if i == 2 || i == 4 {
			a.fill(muted, xproto.Rectangle{X: x + 4, Y: 88 + 24, Width: stroke, Height: stroke},
				xproto.Rectangle{X: x + 4, Y: 88 + 56, Width: stroke, Height: stroke})
			x += 30
		}
		a.digit(n, x, 88)
		x += digitWidth + 20
	}
	a.text(24, 232, muted, "It is "+time.Now().Format("15:04:05")+".")
	a.text(24, 252, muted, fmt.Sprintf("Clicks and keys: %d", a.inputs))
	a.text(24, 276, muted, fmt.Sprintf("Process %d", os.Getpid()))
}

func (a *app) digit(n int, x, y int16) {
	const w, h, half = digitWidth, digitHeight, digitHeight / 2
	bars := [7]xproto.Rectangle{
		{X: x, Y: y, Width: w, Height: stroke},
		{X: x, Y: y, Width: stroke, Height: half},
		{X: x + w - stroke, Y: y, Width: stroke, Height: half},
		{X: x, Y: y + half - stroke/2, Width: w, Height: stroke},
		{X: x, Y: y + half, Width: stroke, Height: half},
		{X: x + w - stroke, Y: y + half, Width: stroke, Height: half},
		{X: x, Y: y + h - stroke, Width: w, Height: stroke},
	}
	for i, on := range segments[n] {
		if on {
			a.fill(ink, bars[i])
		}
	}
}
