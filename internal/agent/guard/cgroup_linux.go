package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	switch {
	case own != "/" && delegated(filepath.Dir(parent)):
		// A service with DelegateSubgroup=: we are in a group beside which ours
		// belongs. Only there can it have limits, because a group with
		// processes of its own passes no controllers on.
		parent = filepath.Dir(parent)
	case os.Geteuid() == 0 && own != "/" && !delegated(parent):
		return ""
	}
	return filepath.Join(parent, "leasehold-"+spec.marker()+"-"+spec.Token[:min(8, len(spec.Token))])
}

// delegated reports whether systemd has given a cgroup away: root may write
// everywhere, so it is marked.
func delegated(path string) bool {
	var b [8]byte
	n, err := unix.Getxattr(path, "user.delegate", b[:])
	return err == nil && n == 1 && b[0] == '1'
}

// limitCgroup sets the limits of a run, and says which could not be set.
func limitCgroup(path string, spec Spec) (memory, processes error) {
	write := func(name, value string) error {
		// Not created: a file that is not there is a controller that is not.
		f, err := os.OpenFile(filepath.Join(path, name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(value)
		return errors.Join(err, f.Close())
	}
	if spec.MemoryBytes > 0 {
		_ = write("../cgroup.subtree_control", "+memory") // if it fails, memory.max is not there
		memory = write("memory.max", strconv.FormatInt(spec.MemoryBytes, 10))
		if memory == nil {
			// All of it or nothing: half an app is of no use. Without swap the
			// limit is what it says; not every kernel has it.
			_ = write("memory.oom.group", "1")
			_ = write("memory.swap.max", "0")
		}
	}
	if spec.Processes > 0 {
		_ = write("../cgroup.subtree_control", "+pids")
		processes = write("pids.max", strconv.Itoa(spec.Processes))
	}
	return memory, processes
}

// oomKilled reports whether the kernel has killed a process of a cgroup
// because the cgroup had no memory left.
func oomKilled(path string) (killed bool) {
	scan(filepath.Join(path, "memory.events"), func(line string) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok && n != "0" {
			killed = true
		}
	})
	return killed
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
