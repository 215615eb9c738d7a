//go:build unix

package guard

import (
	"os"
	"time"

	"leasehold/internal/agent/xdisplay"
)

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
	pids := make(map[int]bool)
	for _, p := range list {
		pids[p.pid] = true
	}
	asked := make(chan int, 1)
	go func() {
		n := 0
		if display, err := xdisplay.Open(""); err == nil {
			n = display.AskToClose(func(pid int) bool { return pids[pid] })
			display.Close()
		}
		asked <- n
	}()
	select {
	case n := <-asked:
		return n
	case <-time.After(2 * time.Second):
		return 0 // the X server hangs; SIGTERM it is
	}
}
