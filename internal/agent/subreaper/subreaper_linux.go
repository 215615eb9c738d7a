package subreaper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoList means that this kernel does not list a thread's children
// (CONFIG_PROC_CHILDREN), so that only [NoChildren] tells.
var ErrNoList = errors.New("the kernel does not list the children of a thread")

// Become makes this process a subreaper, for as long as it lives.
func Become() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

// Thread is a thread of this process that is not its main thread and that
// lives as long as the process. So a signal that is sent to a child when the
// thread ends that started it (PR_SET_PDEATHSIG) is sent when the process ends.
type Thread struct{ jobs chan func() }

// NewThread starts a thread.
func NewThread() *Thread {
	t := &Thread{jobs: make(chan func())}
	go t.work()
	return t
}

func (t *Thread) work() {
	runtime.LockOSThread() // and never unlocked
	if unix.Gettid() == os.Getpid() {
		// The main thread. While it is held here the next goroutine gets another.
		on := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(on)
			t.serve()
		}()
		<-on
		runtime.UnlockOSThread()
		return
	}
	t.serve()
}

func (t *Thread) serve() {
	for job := range t.jobs {
		job()
	}
	select {}
}

// Do runs job on the thread and returns when it has returned.
func (t *Thread) Do(job func()) {
	done := make(chan struct{})
	t.jobs <- func() {
		defer close(done)
		job()
	}
	<-done
}

// Reap waits for the adopted children that have ended and returns those that
// live. None means that no orphan is left, nor any descendant of one, at the
// moment of the call. The error is [ErrNoList] where the kernel cannot tell.
//
// It must not be called by two goroutines at once, nor if children are started
// on the main thread of this process.
func Reap() (living []int, err error) {
	for {
		children, err := adopted()
		if err != nil || len(children) == 0 {
			return nil, err
		}
		living = living[:0]
		for _, pid := range children {
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil); got != pid && !errors.Is(err, unix.ECHILD) {
				living = append(living, pid)
			}
		}
		if len(living) > 0 {
			return living, nil
		}
		// All that were listed have ended. Their children are in the list by now.
	}
}

// adopted lists the children of the main thread. The kernel reads the list
// entry by entry, so one that is not empty may miss some; an empty one is the
// answer to a single look at it.
func adopted() ([]int, error) {
	self := os.Getpid()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", self))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoList
	}
	if err != nil {
		return nil, fmt.Errorf("list the adopted children: %w", err)
	}
	var list []int
	for f := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("list the adopted children: %w", err)
		}
		list = append(list, pid)
	}
	return list, nil
}

// NoChildren reports whether this process has no child, dead or alive, of any
// thread. It reaps none.
func NoChildren() (bool, error) {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("ask for children: %w", err)
		default:
			return false, nil
		}
	}
}
