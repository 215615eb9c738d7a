//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pids are the processes that a sample app wrote down.
func pids(file string) []int {
	b, _ := os.ReadFile(file)
	var list []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// alive are those that still run.
func alive(list []int) (left []int) {
	for _, pid := range list {
		if _, state := parent(pid); state != "" && state != "Z" && state != "X" {
			left = append(left, pid)
		}
	}
	return left
}

// complete reports whether a sample app with so many children runs with all its processes:
// itself, the children, and their children, whose parents have come and gone. All have
// written their numbers down by then, so that none comes later.
func complete(file string, children int) bool {
	list := pids(file)
	return len(list) > 0 && len(list)%(1+3*children) == 0 && len(alive(list)) == 1+2*children
}

// parent is a process's parent and its state, "" if there is no such process.
func parent(pid int) (int, string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	// The name in parentheses may hold anything; what follows the last one does not.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 2 {
		return 0, ""
	}
	n, _ := strconv.Atoi(f[1])
	return n, f[0]
}

// appProcesses are the processes of the sample app that name a folder in their flags, by
// session. Those that no guard holds any more are under 0.
func appProcesses(dir string) map[int64][]int {
	found := map[int64][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || exe != sample {
			continue
		}
		args := commandLine(pid)
		if len(args) == 0 || !strings.Contains(strings.Join(args, "\x00"), dir) {
			continue // of another test
		}
		if session, there := sessionOf(pid); there {
			found[session] = append(found[session], pid)
		}
	}
	return found
}

func commandLine(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// sessionOf walks up to the guard of a process, whose folder is named session.run; 0 if
// none is above it. It is not there if it ended meanwhile.
func sessionOf(pid int) (session int64, there bool) {
	for p := pid; p > 1; {
		if args := commandLine(p); len(args) == 4 && args[0] == leasehold && args[1] == "guard" {
			id, _, _ := strings.Cut(filepath.Base(args[3]), ".")
			n, err := strconv.ParseInt(id, 10, 64)
			return n, err == nil
		}
		up, state := parent(p)
		if state == "" || state == "Z" || state == "X" {
			return 0, false
		}
		p = up
	}
	return 0, len(alive([]int{pid})) > 0
}
