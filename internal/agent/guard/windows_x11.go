//go:build unix

package guard

import (
	"io"
	"log"
	"os"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// windowDepth is how deep below the root a window manager puts the windows of
// apps.
const windowDepth = 4

// closeWindows asks the windows of the app to close, as a click on their
// close button does, so that the app can offer to save. It returns how many it
// asked: none without an X display.
func closeWindows(t *tree) int {
	if os.Getenv("DISPLAY") == "" {
		return 0
	}
	list, err := t.tenants()
	if err != nil {
		return 0
	}
	pids := make(map[uint32]bool)
	for _, p := range list {
		pids[uint32(p.pid)] = true
	}
	asked := make(chan int, 1)
	go func() { asked <- closeX11(pids) }()
	select {
	case n := <-asked:
		return n
	case <-time.After(2 * time.Second):
		return 0 // the X server hangs; SIGTERM it is
	}
}

func closeX11(pids map[uint32]bool) int {
	xgb.Logger = log.New(io.Discard, "", 0) // a missing display is no news
	conn, err := xgb.NewConn()
	if err != nil {
		return 0
	}
	defer conn.Close()
	atom := func(name string) xproto.Atom {
		r, err := xproto.InternAtom(conn, false, uint16(len(name)), name).Reply()
		if err != nil {
			return xproto.AtomNone
		}
		return r.Atom
	}
	pidAtom, protocols, deleteWindow := atom("_NET_WM_PID"), atom("WM_PROTOCOLS"), atom("WM_DELETE_WINDOW")
	words := func(w xproto.Window, property, kind xproto.Atom) []uint32 {
		r, err := xproto.GetProperty(conn, false, w, property, kind, 0, 64).Reply()
		if err != nil || r.Format != 32 {
			return nil
		}
		var list []uint32
		for b := r.Value; len(b) >= 4; b = b[4:] {
			list = append(list, xgb.Get32(b))
		}
		return list
	}
	asked := 0
	var walk func(w xproto.Window, depth int)
	walk = func(w xproto.Window, depth int) {
		tree, err := xproto.QueryTree(conn, w).Reply()
		if err != nil {
			return // it went away
		}
		for _, child := range tree.Children {
			if pid := words(child, pidAtom, xproto.AtomCardinal); len(pid) == 1 && pids[pid[0]] {
				for _, p := range words(child, protocols, xproto.AtomAtom) {
					if xproto.Atom(p) != deleteWindow {
						continue
					}
					message := xproto.ClientMessageEvent{Format: 32, Window: child, Type: protocols,
						Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(deleteWindow), xproto.TimeCurrentTime, 0, 0, 0})}
					if xproto.SendEventChecked(conn, false, child, 0, string(message.Bytes())).Check() == nil {
						asked++
					}
				}
			}
			if depth > 1 {
				walk(child, depth-1)
			}
		}
	}
	for _, screen := range xproto.Setup(conn).Roots {
		walk(screen.Root, windowDepth)
	}
	return asked
}
