package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is a cgroup v2 of a run: what is started in it stays in it.
type cgroup struct {
	path string
	dir  *os.File
}

// cgroupPath returns where the cgroup of a run would be, or "" if we have no
// business there: in a cgroup that was delegated to us, and nowhere else,
// because systemd wants to be the only writer of its own.
func cgroupPath(spec Spec) string {
	if spec.NoCgroup {
		return ""
	}
	mount, own := "", ""
	scan("/proc/self/mountinfo", func(line string) {
		before, after, _ := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(f) > 4 && mount == "" {
			mount = f[4]
		}
	})
	scan("/proc/self/cgroup", func(line string) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			own = rest
		}
	})
	if mount == "" || own == "" {
		return ""
	}
	parent := filepath.Join(mount, own)
	if os.Geteuid() == 0 && own != "/" {
		// Root may write everywhere; systemd marks what it has given away.
		var b [8]byte
		n, err := unix.Getxattr(parent, "user.delegate", b[:])
		if err != nil || n != 1 || b[0] != '1' {
			return ""
		}
	}
	return filepath.Join(parent, "leasehold-"+spec.marker()+"-"+spec.Token[:min(8, len(spec.Token))])
}

func scan(path string, line func(string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		line(s.Text())
	}
}

func makeCgroup(path string) (*cgroup, error) {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &cgroup{path, dir}, nil
}

// kill kills all of it at once, forks included. Kernels before 5.14 cannot;
// the walk over the tree does it there.
func (c *cgroup) kill() { killCgroup(c.path) }

func killCgroup(path string) {
	_ = os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0o200)
}

// cgroupPopulated reports whether anything lives in a cgroup; not if there is
// no such cgroup.
func cgroupPopulated(path string) (populated bool) {
	scan(filepath.Join(path, "cgroup.events"), func(line string) {
		populated = populated || line == "populated 1"
	})
	return populated
}

func (c *cgroup) remove() error {
	return errors.Join(c.dir.Close(), removeCgroup(c.path))
}

// removeCgroup removes a cgroup and those that the app made below it. A
// killed process leaves its cgroup a moment after it is gone.
func removeCgroup(path string) error {
	var err error
	for range 50 {
		var dirs []string
		_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			err = os.Remove(dirs[i])
		}
		if _, serr := os.Stat(path); errors.Is(serr, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("remove the cgroup: %w", err)
}
