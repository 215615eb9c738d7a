package stage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"leasehold/internal/agent/subreaper"
)

// launcher starts the programs of a session, on a thread that lives as long as
// the stage: the signal that takes them along is sent when that thread ends.
type launcher struct {
	account int // 0: ours
	thread  *subreaper.Thread

	mu  sync.Mutex
	own map[int]bool // the children that os/exec waits for; others are orphans
}

func newLauncher(account int) (l *launcher, err error) {
	l = &launcher{account: account, thread: subreaper.NewThread(), own: make(map[int]bool)}
	// What this thread starts inherits it: no setuid program works there.
	l.thread.Do(func() { err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
	return l, err
}

// child is a program of the session.
type child struct {
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when it has ended and is buried
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ended reports whether it has.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// start starts a program in a session of its own, under the account. What it
// prints goes to w.
func (l *launcher) start(cmd *exec.Cmd, w io.Writer) (*child, error) {
	return l.startAs(l.account, cmd, w)
}

// startAs is start for another account; 0 is ours.
func (l *launcher) startAs(account int, cmd *exec.Cmd, w io.Writer) (*child, error) {
	out, err := newTail(w)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out.w, out.w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if account > 0 {
		// No supplementary groups.
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(account), Gid: uint32(account)}
	}
	c := &child{cmd: cmd, out: out, done: make(chan struct{})}
	l.thread.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err = cmd.Start(); err == nil {
			l.own[cmd.Process.Pid] = true
		}
	})
	out.w.Close()
	if err != nil {
		out.wait()
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // the state says all
		l.mu.Lock()
		delete(l.own, cmd.Process.Pid)
		l.mu.Unlock()
		close(c.done)
	}()
	return c, nil
}

// orphans reports whether any process is left of an app whose main process has
// ended: what that leaves behind comes to us. The display and the window
// manager are our own, and not among the orphans.
func (l *launcher) orphans() (bool, error) {
	living, err := subreaper.Reap()
	if errors.Is(err, subreaper.ErrNoList) {
		return false, nil // a walk has to do here: see over
	}
	return len(living) > 0, err
}

// apps returns the living processes below us that are not below one of the
// given: those of the app. It reaps the orphans that have ended. A walk may
// miss some: that it finds none does not mean that there is none.
func (l *launcher) apps(but ...int) ([]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	procs, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	below := make(map[int][]procfs.ProcStat)
	for _, p := range procs {
		if stat, err := p.Stat(); err == nil {
			below[stat.PPID] = append(below[stat.PPID], stat)
		}
	}
	skip := make(map[int]bool)
	for _, pid := range but {
		skip[pid] = true
	}
	var list []int
	for queue := []int{os.Getpid()}; len(queue) > 0; queue = queue[1:] {
		for _, p := range below[queue[0]] {
			zombie := p.State == "Z" || p.State == "X"
			if zombie && p.PPID == os.Getpid() && !l.own[p.PID] {
				_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
			}
			if skip[p.PID] {
				continue
			}
			queue = append(queue, p.PID)
			if !zombie {
				list = append(list, p.PID)
			}
		}
	}
	return list, nil
}

// tail passes on what a program prints and remembers its last line.
type tail struct {
	w    *os.File // the program's end
	to   io.Writer
	done chan struct{}

	mu   sync.Mutex
	line []byte // what came after the last end of a line
	last string
}

// lineLimit is how much of a line is remembered.
const lineLimit = 300

func newTail(to io.Writer) (*tail, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &tail{w: w, to: to, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		defer r.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				_, _ = t.to.Write(buf[:n]) // a program does not wait for its log
				t.remember(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return t, nil
}

func (t *tail) remember(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		t.line = append(t.line, line[:min(len(line), lineLimit-min(len(t.line), lineLimit))]...)
		if !whole {
			return
		}
		if s := clean(t.line); s != "" {
			t.last = s
		}
		t.line, b = t.line[:0], rest
	}
}

// clean makes of what a program printed something that can be shown.
func clean(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		// Also those of C1, which a terminal obeys, and those that turn a line around.
		if r != ' ' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "")))
}

// lastLine returns the last line that the program has printed; "" if none.
func (t *tail) lastLine() string {
	t.wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := clean(t.line); s != "" {
		return s
	}
	return t.last
}

// wait returns when the last of the output was read, or soon: a descendant may
// hold the pipe.
func (t *tail) wait() {
	select {
	case <-t.done:
	case <-time.After(300 * time.Millisecond):
	}
}
