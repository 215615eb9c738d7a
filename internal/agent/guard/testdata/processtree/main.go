//go:build linux

// Processtree is an app of the guard's tests that is hard to end. From a seed it grows a
// tree of processes: chains in which each process lives for 0.3 to 80 ms, forks its
// successor and exits; processes behind a double fork, in sessions of their own, stopped,
// deaf to SIGTERM; subreapers below the guard's; PID namespaces; processes that have closed
// every file, or that were executed with an empty environment.
//
// A process that lives can be found in one of these ways, and the test looks for all:
//
//   - it has the FIFO "alive" open for writing;
//   - it carries the run's token in its environment, as /proc shows it;
//   - it touches the file "beat" at each step of a chain.
//
// Every process ends by itself when the time given by -for is over, but for those that are
// stopped.
//
// The processes are forked and not executed, so that a chain can be as fast as the system
// allows. Behind such a fork there is only one thread of the Go runtime, and nothing may be
// called but system calls.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// branch is one part of the tree.
type branch struct {
	life      int64 // how long each process of a chain lives, in nanoseconds
	chain     bool  // each process forks its successor and exits; else one process stays
	session   bool  // each is in a process session of its own
	double    bool  // it begins behind a double fork
	stopped   bool  // it stops itself
	subreaper bool  // it runs below a subreaper of its own
	namespace bool  // it runs in a PID namespace of its own
	closed    bool  // it has closed every file
	litter    bool  // each process of the chain leaves another behind that stays
}

// What the processes know; it is set before the first fork.
var (
	end    int64 // by the monotonic clock, in nanoseconds
	beat   []byte
	userNS bool // a PID namespace takes a user namespace as well
)

func main() {
	seed := flag.Uint64("seed", 1, "what the tree is grown from")
	dir := flag.String("dir", "", "folder with the FIFO alive and the file beat")
	long := flag.Duration("for", 20*time.Second, "when every process ends by itself")
	life := flag.Duration("chain", 0, "no tree: one chain whose processes live so long, in sessions of their own")
	namespaces := flag.Bool("namespaces", false, "use PID namespaces")
	stay := flag.Bool("stay", false, "the main process stays")
	flag.Parse()
	if err := run(*seed, *dir, *long, *life, *namespaces, *stay); err != nil {
		fmt.Fprintln(os.Stderr, "processtree:", err)
		os.Exit(1)
	}
}

func run(seed uint64, dir string, long, life time.Duration, namespaces, stay bool) error {
	alive, err := unix.Open(filepath.Join(dir, "alive"), unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "beat"), nil, 0o600); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	debug.SetGCPercent(-1) // nothing may happen beside a fork
	beat = append([]byte(filepath.Join(dir, "beat")), 0)
	userNS = os.Geteuid() != 0
	end = monotonic() + int64(long)
	tree := []branch{{chain: true, session: true, life: int64(life)}}
	if life == 0 {
		tree = grow(rand.New(rand.NewPCG(seed, 1)), namespaces)
	}
	for i := range tree {
		fmt.Printf("%+v\n", tree[i])
		if fork(0) == 0 {
			play(&tree[i])
		}
	}
	if stay {
		time.Sleep(long)
	}
	_ = unix.Close(alive)
	return nil
}

// grow makes a tree up.
func grow(r *rand.Rand, namespaces bool) []branch {
	one := func(n int) bool { return r.IntN(n) == 0 }
	lives := []time.Duration{300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond}
	list := make([]branch, 3+r.IntN(4))
	for i := range list {
		b := &list[i]
		b.life = int64(lives[r.IntN(len(lives))])
		b.chain = !one(4)
		b.session, b.double, b.subreaper = one(2), one(2), one(4)
		b.closed = one(3)
		b.stopped = !b.chain && one(2)
		b.namespace = namespaces && one(4)
		b.litter = b.chain && b.life >= int64(20*time.Millisecond) && one(3)
	}
	return list
}

// play is the life of a branch, in a process that was forked for it.
//
//go:norace
//go:nosplit
func play(b *branch) {
	if b.closed {
		raw(unix.SYS_CLOSE_RANGE, 0, 1<<20, 0)
	}
	if b.subreaper {
		raw(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1, 0)
		if fork(0) != 0 {
			reap()
		}
	}
	if b.namespace {
		flags := uintptr(unix.CLONE_NEWPID)
		if userNS {
			flags |= unix.CLONE_NEWUSER
		}
		switch pid := fork(flags); {
		case pid > 0: // its init is the child
			reap()
		case pid == 0:
			if fork(0) != 0 {
				reap()
			}
		}
	}
	if b.double {
		if fork(0) != 0 {
			exit()
		}
		raw(unix.SYS_SETSID, 0, 0, 0)
		if fork(0) != 0 {
			exit()
		}
	}
	if b.stopped {
		pid, _, _ := syscall.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
		raw(unix.SYS_KILL, pid, uintptr(unix.SIGSTOP), 0)
	}
	for monotonic() < end {
		if b.session {
			raw(unix.SYS_SETSID, 0, 0, 0)
		}
		sleep(b.life)
		if !b.chain {
			continue
		}
		touch()
		if b.litter && fork(0) == 0 {
			for monotonic() < end {
				sleep(int64(100 * time.Millisecond))
			}
			exit()
		}
		if fork(0) > 0 {
			exit()
		}
	}
	exit()
}

// reap waits for children until there are none.
//
//go:norace
//go:nosplit
func reap() {
	for {
		_, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), 0, unix.WALL, 0, 0, 0)
		if e == unix.ECHILD {
			exit()
		}
	}
}

// fork returns 0 in the child and -1 if there is none.
//
//go:norace
//go:nosplit
func fork(flags uintptr) int {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		return -1
	}
	return int(pid)
}

//go:norace
//go:nosplit
func exit() {
	for {
		raw(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

//go:norace
//go:nosplit
func raw(nr, a, b, c uintptr) { _, _, _ = syscall.RawSyscall6(nr, a, b, c, 0, 0, 0) }

//go:norace
//go:nosplit
func touch() {
	at := unix.AT_FDCWD
	_, _, _ = syscall.RawSyscall6(unix.SYS_UTIMENSAT, uintptr(at), uintptr(unsafe.Pointer(&beat[0])), 0, 0, 0, 0)
}

//go:norace
//go:nosplit
func sleep(d int64) {
	t := unix.Timespec{Sec: d / 1e9, Nsec: d % 1e9}
	_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}

//go:norace
//go:nosplit
func monotonic() int64 {
	var t unix.Timespec
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&t)), 0)
	return t.Sec*1e9 + t.Nsec
}
