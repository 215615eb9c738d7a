//go:build unix

package guard

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// startDetached starts a guard in a session of its own: no terminal and no
// signal to the player's group reaches it.
func startDetached(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// syncDir puts the names in a folder on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
