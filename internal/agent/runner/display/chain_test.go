//go:build linux

package display_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/sandbox"
)

// A streamed app whose main process hands over to a chain of processes is not over until
// the chain is, and is ended with all of it.
func TestAnAppThatHandsOver(t *testing.T) {
	for _, c := range []struct {
		name, life string
		stop       bool
		outcome    guard.Outcome
	}{
		{"it ends", "5s", false, guard.ByItself},
		{"it is stopped", "5m", true, guard.Killed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(c *display.Config) {
				c.Settle = time.Second
				root := filepath.Dir(c.Runs)
				c.Shares = append(c.Shares, sandbox.Share{Path: filepath.Join(root, "processtree")}, sandbox.Share{Path: filepath.Join(root, "shared"), Write: true})
			})
			dir := filepath.Join(h.root, "shared")
			program := filepath.Join(h.root, "processtree")
			if out, err := exec.Command("go", "build", "-o", program, "../../guard/testdata/processtree").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			fifo := filepath.Join(dir, "alive")
			for _, do := range []error{os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777), unix.Mkfifo(fifo, 0o600), os.Chmod(fifo, 0o666)} {
				if do != nil {
					t.Fatal(do)
				}
			}
			alive, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(alive)
			sp := spec(1, program, "-dir", dir, "-chain", "3ms", "-for", c.life)
			sp.Margin = 500 * time.Millisecond
			s := h.up(sp)
			if c.stop {
				s.stop()
			}
			e := s.exit()
			if n, _ := unix.Read(alive, make([]byte, 1)); n != 0 {
				t.Error("a process of the app is left")
			}
			s.nothingLeft()
			if e.Outcome != c.outcome || !e.Proof.Proved() {
				t.Errorf("exited %+v", e)
			}
			info, err := os.Stat(filepath.Join(dir, "beat"))
			if err != nil {
				t.Fatal(err)
			}
			if early := info.ModTime().Sub(s.ready.Started); !c.stop && early < 4*time.Second {
				t.Errorf("it was ended %v after its start, by nobody", early)
			}
		})
	}
}
