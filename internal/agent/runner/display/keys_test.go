//go:build linux

package display_test

import (
	"net"
	"path/filepath"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// grabEveryKey asks the display for every key with every modifier: refused if
// anybody has one already.
func grabEveryKey(s *session) error {
	// Not in parallel with other tests.
	s.h.t.Setenv("XAUTHORITY", filepath.Join(s.dir, "display", "xauthority"))
	socket, err := net.Dial("unix", s.screen())
	if err != nil {
		return err
	}
	conn, err := xgb.NewConnNet(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	root := xproto.Setup(conn).DefaultScreen(conn).Root
	return xproto.GrabKeyChecked(conn, false, root, xproto.ModMaskAny, xproto.GrabAny,
		xproto.GrabModeAsync, xproto.GrabModeAsync).Check()
}
