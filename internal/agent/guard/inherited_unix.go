//go:build unix

package guard

import (
	"os"
	"strconv"
	"syscall"
)

// keepInherited keeps from the app what files this process has inherited, such as the lock
// of a script that has started the player: whoever starts a program without knowing that it
// starts others leaves them open. Streamed apps, which are strangers, are below a guard too.
func keepInherited() error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}
