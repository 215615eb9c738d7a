package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Controllers of version 1 that limit a run, each of which may have a hierarchy
// of its own.
const (
	legacyMemory hierarchy = "memory"
	legacyPids   hierarchy = "pids"
	legacyCPU    hierarchy = "cpu"
)

// cpuPeriod is the time over which processors are shared out, in microseconds.
const cpuPeriod = 100_000

// legacy are the cgroups of version 1 that limit a run where version 2 does not. Only
// root has any.
type legacy struct{ paths []string }

func legacyName(spec Spec) string {
	return "leasehold-" + spec.marker() + "-" + spec.Token[:min(8, len(spec.Token))]
}

// legacyPaths returns where the cgroups of a run may be.
func legacyPaths(spec Spec) (list []string) {
	if spec.NoCgroup || os.Geteuid() != 0 {
		return nil
	}
	for _, h := range []hierarchy{legacyMemory, legacyPids, legacyCPU} {
		if own, _ := h.own(); own != "" {
			list = append(list, filepath.Join(own, legacyName(spec)))
		}
	}
	return list
}

// limit makes the cgroup of one controller and sets its limits, of which the first
// must hold.
func (l *legacy) limit(spec Spec, h hierarchy, settings ...[2]string) error {
	own, _ := h.own()
	if own == "" || spec.NoCgroup || os.Geteuid() != 0 {
		return errNoCgroup
	}
	path := filepath.Join(own, legacyName(spec))
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	for i, s := range settings {
		if err := writeExisting(filepath.Join(path, s[0]), s[1]); err != nil && i == 0 {
			return errors.Join(err, os.Remove(path))
		}
	}
	l.paths = append(l.paths, path)
	return nil
}

func (l *legacy) memory(spec Spec) error {
	bytes := strconv.FormatInt(spec.MemoryBytes, 10)
	// Memory and swap together, where the kernel counts them.
	return l.limit(spec, legacyMemory, [2]string{"memory.limit_in_bytes", bytes}, [2]string{"memory.memsw.limit_in_bytes", bytes})
}

func (l *legacy) processes(spec Spec) error {
	return l.limit(spec, legacyPids, [2]string{"pids.max", strconv.Itoa(spec.Processes)})
}

func (l *legacy) cpu(spec Spec) error {
	return l.limit(spec, legacyCPU, [2]string{"cpu.cfs_quota_us", strconv.Itoa(spec.CPUPercent * cpuPeriod / 100)})
}

// enter puts this thread, and what it starts, into the cgroups; leave takes it
// out again.
func (l *legacy) enter() error {
	for _, path := range l.paths {
		if err := move(path); err != nil {
			return fmt.Errorf("enter the cgroup of the run: %w", errors.Join(err, l.leave()))
		}
	}
	return nil
}

func (l *legacy) leave() error {
	var errs []error
	for _, path := range l.paths {
		errs = append(errs, move(filepath.Dir(path)))
	}
	return errors.Join(errs...)
}

func move(to string) error {
	return writeExisting(filepath.Join(to, "tasks"), strconv.Itoa(unix.Gettid()))
}

// oomKilled reports whether the kernel has killed a process of the run for its memory.
func (l *legacy) oomKilled() (killed bool) {
	for _, path := range l.paths {
		scan(filepath.Join(path, "memory.oom_control"), func(line string) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok && n != "0" {
				killed = true
			}
		})
	}
	return killed
}

// remove removes the cgroups, in which nothing lives any more.
func (l *legacy) remove() error {
	var errs []error
	for _, path := range l.paths {
		if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove the cgroup %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}
