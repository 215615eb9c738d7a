package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is the cgroup that a run is started in: what is started in it stays
// in it, and the kernel tells when nothing is left there. It is one of version
// 2, or else one of the freezer hierarchy of version 1.
type cgroup struct {
	path string
	kind hierarchy
	gone bool // it was empty, and is removed
}

// hierarchy is a kind of cgroups that can hold a run, and be shown to be empty.
type hierarchy string

// The hierarchies, the better one first.
const (
	unified hierarchy = "cgroup"  // version 2
	freezer hierarchy = "freezer" // version 1
)

// hierarchies are those that a run may be started in. Tests choose.
var hierarchies = []hierarchy{unified, freezer}

// killFile kills a cgroup of version 2 as a whole. Tests do without it, as on
// kernels before 5.14.
var killFile = "cgroup.kill"

func (h hierarchy) proof() Proof {
	if h == freezer {
		return ProofFreezer
	}
	return ProofCgroup
}

// cgroupPaths returns where the cgroup of a run may be, the best place first.
func cgroupPaths(spec Spec) (list []string) {
	if spec.NoCgroup {
		return nil
	}
	for _, h := range hierarchies {
		if parent := h.parent(); parent != "" {
			list = append(list, filepath.Join(parent, "leasehold-"+spec.marker()+"-"+spec.Token[:min(8, len(spec.Token))]))
		}
	}
	return list
}

// parent returns the cgroup below which ours belong, or "" if we have no
// business there.
func (h hierarchy) parent() string {
	own, current := h.own()
	if own == "" || h == freezer {
		return own // systemd leaves version 1's freezer to whoever may write there
	}
	// Of version 2, in a cgroup that was delegated to us and nowhere else,
	// because systemd wants to be the only writer of its own.
	switch {
	case current != "/" && delegated(filepath.Dir(own)):
		// A service with DelegateSubgroup=: we are in a group beside which ours
		// belongs. Only there can it have limits, because a group with
		// processes of its own passes no controllers on.
		return filepath.Dir(own)
	case os.Geteuid() == 0 && current != "/" && !delegated(own):
		return ""
	}
	return own
}

// own returns the folder of the cgroup that this process is in, and that
// cgroup's name; "" if the hierarchy is not mounted.
func (h hierarchy) own() (path, name string) {
	mount, root := "", ""
	scan("/proc/self/mountinfo", func(line string) {
		before, after, _ := strings.Cut(line, " - ")
		f, of := strings.Fields(before), strings.Fields(after)
		if mount != "" || len(f) < 5 || len(of) < 3 {
			return
		}
		if h == unified && of[0] == "cgroup2" || h != unified && of[0] == "cgroup" && slices.Contains(strings.Split(of[2], ","), string(h)) {
			root, mount = f[3], f[4]
		}
	})
	scan("/proc/self/cgroup", func(line string) {
		f := strings.SplitN(line, ":", 3)
		if len(f) == 3 && (h == unified && f[0] == "0" && f[1] == "" || h != unified && slices.Contains(strings.Split(f[1], ","), string(h))) {
			name = f[2]
		}
	})
	// In a container the mount may show a part of the hierarchy only.
	below := name
	if root != "/" {
		rest, ok := strings.CutPrefix(name, root)
		if !ok || rest != "" && rest[0] != '/' {
			return "", ""
		}
		below = rest
	}
	if mount == "" || name == "" {
		return "", ""
	}
	return filepath.Join(mount, below), name
}

// delegated reports whether systemd has given a cgroup away: root may write
// everywhere, so it is marked.
func delegated(path string) bool {
	var b [8]byte
	n, err := unix.Getxattr(path, "user.delegate", b[:])
	return err == nil && n == 1 && b[0] == '1'
}

// makeCgroup makes the cgroup of a run in the best place that works; nil if
// there is none.
func makeCgroup(spec Spec, log *slog.Logger) *cgroup {
	for _, path := range cgroupPaths(spec) {
		if err := os.Mkdir(path, 0o755); err != nil {
			log.Info("no cgroup", "err", err)
			continue
		}
		c, err := openCgroup(path)
		if err == nil {
			return c
		}
		log.Info("no cgroup", "err", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// openCgroup returns a cgroup that is there; the error is fs.ErrNotExist if
// there is none.
func openCgroup(path string) (*cgroup, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	c := &cgroup{path: path, kind: unified}
	if _, err := os.Stat(filepath.Join(path, "freezer.state")); err == nil {
		c.kind = freezer
		return c, nil
	}
	if _, err := c.populated(); err != nil {
		return nil, err
	}
	// A group in a threaded part of the hierarchy takes no processes.
	b, err := os.ReadFile(filepath.Join(path, "cgroup.type"))
	if kind := strings.TrimSpace(string(b)); err == nil && kind != "domain" {
		return nil, fmt.Errorf("%s is a cgroup of type %q", path, kind)
	}
	return c, nil
}

// populated reports whether anything lives in a cgroup of version 2 or below.
func (c *cgroup) populated() (populated bool, err error) {
	err = fmt.Errorf("%s does not say whether it is populated", c.path)
	scan(filepath.Join(c.path, "cgroup.events"), func(line string) {
		if value, ok := strings.CutPrefix(line, "populated "); ok {
			populated, err = value != "0", nil
		}
	})
	return populated, err
}

// empty reports whether the kernel says that no process is left in the cgroup.
// Version 2 is asked; version 1 has nothing to ask, but removes a cgroup only
// if no process is in it, so that one is gone when it was empty. So it was if
// somebody else has removed it.
func (c *cgroup) empty() bool {
	if c.gone {
		return true
	}
	if c.kind == freezer {
		c.gone = c.tryRemove() == nil
		return c.gone
	}
	populated, err := c.populated()
	if err != nil {
		_, err = os.Stat(c.path)
		c.gone = errors.Is(err, fs.ErrNotExist)
		return c.gone
	}
	return !populated
}

// kill kills all of it: at once, forks included, where the kernel can (Linux
// 5.14); else everything is frozen first, so that nothing forks, and dies when
// it is thawed, before it does anything else.
func (c *cgroup) kill() {
	if c.gone || writeExisting(filepath.Join(c.path, killFile), "1") == nil {
		return
	}
	c.freeze()
	for _, dir := range c.dirs() {
		scan(filepath.Join(dir, "cgroup.procs"), func(line string) {
			// 0 is a process of a PID namespace that is not below ours.
			if pid, err := strconv.Atoi(line); err == nil && pid > 0 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL) // the caller looks again
			}
		})
	}
	c.thaw()
}

// freezeWithin bounds the wait for every process to be frozen: one in a
// hanging disk access is not, and must not keep the others alive.
const freezeWithin = 200 * time.Millisecond

func (c *cgroup) freeze() {
	file, value, events, frozen := "cgroup.freeze", "1", "cgroup.events", "frozen 1"
	if c.kind == freezer {
		file, value, events, frozen = "freezer.state", "FROZEN", "freezer.state", "FROZEN"
	}
	if writeExisting(filepath.Join(c.path, file), value) != nil {
		return
	}
	for deadline := time.Now().Add(freezeWithin); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		done := false
		scan(filepath.Join(c.path, events), func(line string) { done = done || line == frozen })
		if done {
			return
		}
	}
}

// thaw lets everything go on, also in cgroups below that the app itself froze.
func (c *cgroup) thaw() {
	file, value := "cgroup.freeze", "0"
	if c.kind == freezer {
		file, value = "freezer.state", "THAWED"
	}
	for _, dir := range c.dirs() {
		_ = writeExisting(filepath.Join(dir, file), value)
	}
}

// dirs lists the cgroup and those that the app made below it, parents first.
func (c *cgroup) dirs() []string {
	var dirs []string
	_ = filepath.WalkDir(c.path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	return dirs
}

// tryRemove removes the cgroup and those below it. The kernel refuses to
// remove one that a living process is in.
func (c *cgroup) tryRemove() error {
	dirs := c.dirs()
	slices.Reverse(dirs)
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the cgroup: %w", err)
		}
	}
	return nil
}

// remove removes an empty cgroup. A killed process leaves its cgroup a moment
// after it is gone.
func (c *cgroup) remove() (err error) {
	for range 50 {
		if c.gone {
			return nil
		}
		if err = c.tryRemove(); err == nil {
			c.gone = true
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// limit sets the limits of a run, and says which could not be set.
func (c *cgroup) limit(spec Spec) (memory, processes, cpu error) {
	write := func(name, value string) error { return writeExisting(filepath.Join(c.path, name), value) }
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
	if spec.CPUPercent > 0 {
		_ = write("../cgroup.subtree_control", "+cpu")
		cpu = write("cpu.max", fmt.Sprintf("%d %d", spec.CPUPercent*cpuPeriod/100, cpuPeriod))
	}
	return memory, processes, cpu
}

// oomKilled reports whether the kernel has killed a process of the cgroup
// because the cgroup had no memory left.
func (c *cgroup) oomKilled() (killed bool) {
	scan(filepath.Join(c.path, "memory.events"), func(line string) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok && n != "0" {
			killed = true
		}
	})
	return killed
}

// writeExisting writes to a file that is there: in a cgroup one that is not
// belongs to a controller, or a kernel, that is not.
func writeExisting(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
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
