//go:build linux

package display_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/stage"
)

// session is a session that is up, and all by which it can be found.
type session struct {
	runner.Run
	h     *harness
	dir   string
	ready stage.Ready
	pids  []int  // of everything that was seen of it
	token string // that its processes carry
	link  string // to its display, that enter has made
}

// up starts a session.
func (h *harness) up(spec runner.Spec) *session {
	h.t.Helper()
	run, err := h.Start(h.t.Context(), spec)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.look(run)
}

// look looks at a session that is up.
func (h *harness) look(run runner.Run) *session {
	h.t.Helper()
	name := fmt.Sprintf("%d.%d", run.Key().Session, run.Key().Run)
	s := &session{Run: run, h: h, dir: filepath.Join(h.root, "sessions", name)}
	var err error
	if s.ready, err = stage.ReadReady(s.dir); err != nil {
		h.t.Fatal(err)
	}
	status, err := run.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	s.pids = append(s.pids, status.Guard)
	for _, pid := range s.ready.PIDs {
		s.pids = append(s.pids, pid)
	}
	b, err := os.ReadFile(filepath.Join(h.root, "runs", name, "spec.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	var kept struct{ Token string }
	if err := json.Unmarshal(b, &kept); err != nil {
		h.t.Fatal(err)
	}
	s.token = kept.Token
	return s
}

func (s *session) guard() int { return s.pids[0] }

// inside is where a path of the session's own is to be found from outside.
func (s *session) inside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", s.ready.PIDs["display"], path)
}

// screen is the socket of the session's display.
func (s *session) screen() string { return s.inside("/tmp/.X11-unix/X" + s.number()) }

// enter is a command that gets to the session's display.
func (s *session) enter(argv ...string) *exec.Cmd {
	s.h.t.Helper()
	if os.Getuid() == 0 {
		return exec.Command("nsenter", append([]string{"-m", "-t", strconv.Itoa(s.ready.PIDs["display"]), "--"}, argv...)...)
	}
	// Only root enters its mounts; but a link leads to its socket.
	link := "/tmp/.X11-unix/X" + s.number()
	if _, err := os.Lstat(link); err != nil {
		_ = os.Mkdir(filepath.Dir(link), 0o777|os.ModeSticky)
		if err := os.Symlink(s.screen(), link); err != nil {
			s.h.t.Fatal(err)
		}
		s.h.t.Cleanup(func() { os.Remove(link) })
		s.link = link
	}
	return exec.Command(argv[0], argv[1:]...)
}

// mess counts what the app of the session has left in folders of everybody.
func (s *session) mess() (n int) {
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		found, _ := filepath.Glob(s.inside(dir) + "/left.*")
		n += len(found)
	}
	return n
}

func (s *session) number() string { return strings.TrimPrefix(s.ready.Display, ":") }

func (s *session) kill(name string) {
	s.h.t.Helper()
	pid := s.ready.PIDs[name]
	if name == "guard" {
		pid = s.guard()
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.h.t.Fatalf("kill %s: %v", name, err)
	}
}

// exit returns the last event of the session.
func (s *session) exit() guard.Event {
	s.h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := s.Wait(ctx)
	if err != nil {
		s.h.t.Fatal(err)
	}
	return e
}

// living reports whether a process lives; a zombie does not.
func living(pid int) bool {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	stat, err := p.Stat()
	return err == nil && stat.State != "Z" && stat.State != "X"
}

// left returns what is still there of a session.
func (s *session) left() []string {
	var left []string
	for _, pid := range s.pids[1:] {
		if living(pid) {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	procs, _ := procfs.AllProcs()
	for _, p := range procs {
		env, _ := p.Environ()
		if slices.Contains(env, guard.EnvToken+"="+s.token) && living(p.PID) {
			line, _ := p.CmdLine()
			left = append(left, fmt.Sprintf("process %d, %v", p.PID, line))
		}
	}
	paths := []string{s.dir, "/tmp/.X" + s.number() + "-lock", "/tmp/.X11-unix/X" + s.number()}
	if uid := s.ready.Account; uid > 0 {
		paths = append(paths, filepath.Join(account.Registry, strconv.Itoa(uid)))
		if pids, err := account.Processes(uid); err != nil || len(pids) > 0 {
			left = append(left, fmt.Sprintf("processes %v of the account, %v", pids, err))
		}
		left = append(left, filesOf(uid)...)
		for _, kind := range []string{"shm", "sem", "msg"} {
			if b, err := os.ReadFile("/proc/sysvipc/" + kind); err == nil && strings.Contains(string(b), fmt.Sprintf(" %d ", uid)) {
				left = append(left, kind)
			}
		}
	}
	if s.link != "" {
		os.Remove(s.link)
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, path)
		}
	}
	if b, err := os.ReadFile("/proc/net/unix"); err == nil && strings.Contains(string(b), "/tmp/.X11-unix/X"+s.number()+"\n") {
		left = append(left, "a socket of the display")
	}
	return left
}

// filesOf returns the files of a user in public folders.
func filesOf(uid int) []string {
	var list []string
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/tmp/.X11-unix"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue
			}
			if int(info.Sys().(*syscall.Stat_t).Uid) == uid {
				list = append(list, filepath.Join(dir, e.Name()))
			}
		}
	}
	return list
}

// nothingLeft fails the test if there is anything of a session that is over.
func (s *session) nothingLeft() {
	s.h.t.Helper()
	if left := s.left(); len(left) > 0 {
		s.h.t.Errorf("of session %d there is left: %s", s.Key().Session, strings.Join(left, "; "))
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
