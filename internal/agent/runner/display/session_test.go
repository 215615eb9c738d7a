//go:build linux

package display_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner/display"
)

// dial connects to the session's RFB socket.
func (s *session) dial() net.Conn {
	s.h.t.Helper()
	conn, err := s.h.Dial(s.h.t.Context(), s.Key())
	if err != nil {
		s.h.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// rfb says hello to the display as a viewer does.
func (s *session) rfb() (name string, width, height uint16) {
	s.h.t.Helper()
	conn := s.dial()
	defer conn.Close()
	r := bufio.NewReader(conn)
	fail := func(what string, err error) {
		if err != nil {
			s.h.t.Fatalf("RFB: %s: %v", what, err)
		}
	}
	version := make([]byte, 12)
	_, err := io.ReadFull(r, version)
	fail("version", err)
	if string(version) != "RFB 003.008\n" {
		s.h.t.Fatalf("RFB version %q", version)
	}
	_, err = conn.Write(version)
	fail("version", err)
	types := make([]byte, 2)
	_, err = io.ReadFull(r, types)
	fail("security", err)
	if types[0] != 1 || types[1] != 1 {
		s.h.t.Fatalf("RFB security %v", types)
	}
	_, err = conn.Write([]byte{1})
	fail("security", err)
	var result uint32
	fail("security", binary.Read(r, binary.BigEndian, &result))
	if result != 0 {
		s.h.t.Fatalf("RFB refused: %d", result)
	}
	_, err = conn.Write([]byte{1})
	fail("start", err)
	var hello struct {
		Width, Height uint16
		Format        [16]byte
		Name          uint32
	}
	fail("start", binary.Read(r, binary.BigEndian, &hello))
	text := make([]byte, hello.Name)
	_, err = io.ReadFull(r, text)
	fail("name", err)
	return string(text), hello.Width, hello.Height
}

// x runs an X program on the session's display.
func (s *session) x(argv ...string) string {
	cmd := s.enter(argv...)
	cmd.Env = append(os.Environ(), "DISPLAY="+s.ready.Display, "XAUTHORITY="+filepath.Join(s.dir, "display", "xauthority"))
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func (s *session) manages(title string) bool {
	return strings.Contains(s.x("xprop", "-name", title, "WM_STATE"), "Normal")
}

// child returns the process of that name below the one inside the sandbox; 0 if there is none.
func (s *session) child(name string) int {
	procs, _ := procfs.AllProcs()
	for _, p := range procs {
		stat, err := p.Stat()
		if err == nil && stat.PPID == s.ready.PIDs["inside"] && stat.Comm == name && stat.State != "Z" {
			return p.PID
		}
	}
	return 0
}

// A session has what it should have, and no way in or out but the one.
func TestASession(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(c *display.Config) { c.Processes = 400 })
	sp := spec(1, "/bin/sh", "-c", `
		env > "$HOME/env"; id -u > "$HOME/id"; id -G >> "$HOME/id"
		umask > "$HOME/umask"; grep 'Max processes' /proc/self/limits > "$HOME/limit"; grep NoNewPrivs /proc/self/status > "$HOME/privs"
		pwd > "$HOME/pwd"; echo done > "$HOME/done"
		exec xterm -T Typewriter`)
	sp.Env = []string{"COLOUR=blue"}
	sp.Stream = &guard.Stream{Geometry: "1000x700"}
	s := h.up(sp)
	home := filepath.Join(s.dir, "home")
	await(t, "the window", func() bool { return s.manages("Typewriter") })

	if name, w, h := s.rfb(); name != "The App" || w != 1000 || h != 700 {
		t.Errorf("a display %q of %dx%d", name, w, h)
	}
	for name, mode := range map[string]os.FileMode{"home": 0o700, "tmp": 0o700, "run": 0o700, "display/rfb.sock": 0o600, "stage.json": 0o600} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	env := "\n" + readFile(t, filepath.Join(home, "env"))
	for _, want := range []string{
		"HOME=" + home, "TMPDIR=" + filepath.Join(s.dir, "tmp"), "XDG_RUNTIME_DIR=" + filepath.Join(s.dir, "run"),
		"XDG_CONFIG_HOME=" + home + "/.config", "DISPLAY=" + s.ready.Display, "COLOUR=blue",
		guard.EnvRun + "=1.1", guard.EnvToken + "=" + s.token,
	} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("%s is not in the app's environment", want)
		}
	}
	if strings.Contains(env, envRole) || strings.Contains(env, "GORACE") {
		t.Errorf("the host's environment reaches the app:%s", env)
	}
	if got := strings.TrimSpace(readFile(t, filepath.Join(home, "pwd"))); got != home {
		t.Errorf("the app runs in %s", got)
	}
	if got := readFile(t, filepath.Join(home, "umask")); !strings.HasSuffix(strings.TrimSpace(got), "077") {
		t.Errorf("umask %s", got)
	}
	if got := readFile(t, filepath.Join(home, "privs")); !strings.HasSuffix(strings.TrimSpace(got), "1") {
		t.Errorf("privileges can be had: %s", got)
	}
	if account.Can() {
		uid := strconv.Itoa(s.ready.Account)
		if got := strings.Fields(readFile(t, filepath.Join(home, "id"))); len(got) != 2 || got[0] != uid || got[1] != uid {
			t.Errorf("the app runs as %v", got)
		}
		if got := strings.Fields(readFile(t, filepath.Join(home, "limit"))); len(got) < 4 || got[2] != "400" || got[3] != "400" {
			t.Errorf("limits %v", got)
		}
		for _, name := range []string{"display", "manager", "app"} {
			p, err := procfs.NewProc(s.ready.PIDs[name])
			if err != nil {
				t.Fatal(err)
			}
			if status, err := p.NewStatus(); err != nil || status.UIDs != [4]uint64{uint64(s.ready.Account), uint64(s.ready.Account), uint64(s.ready.Account), uint64(s.ready.Account)} {
				t.Errorf("%s runs as %v, %v", name, status.UIDs, err)
			}
		}
		s.writesOnlyItsOwn()
	}
	s.listensNowhere()
	s.letsNobodyIn()
	s.stop()
	s.exit()
	s.nothingLeft()
}

// The app's account cannot put anything in the place of what root opens.
func (s *session) writesOnlyItsOwn() {
	s.h.t.Helper()
	for _, dir := range []string{s.dir, filepath.Join(s.dir, "display")} {
		if err := s.as(s.ready.Account, "touch", filepath.Join(dir, "intruder")); err == nil {
			s.h.t.Errorf("the account writes into %s", dir)
		}
	}
	if err := s.as(s.ready.Account, "rm", "-f", filepath.Join(s.dir, "display", "rfb.sock")); err == nil {
		s.h.t.Error("the account removes the socket")
	}
	if err := s.as(s.ready.Account, "touch", filepath.Join(s.dir, "home", "mine")); err != nil {
		s.h.t.Errorf("the account does not write into its home: %v", err)
	}
}

// as runs a program as another user.
func (s *session) as(uid int, argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "XAUTHORITY=" + filepath.Join(s.dir, "display", "xauthority")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Nobody without the cookie gets onto the display, nobody else to the socket.
func (s *session) letsNobodyIn() {
	t := s.h.t
	t.Helper()
	cmd := s.enter("xprop", "-display", s.ready.Display, "-root")
	cmd.Env = append(os.Environ(), "XAUTHORITY=/dev/null")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("the display is open: %s", out)
	}
	if !strings.Contains(s.x("xprop", "-root", "_NET_WM_NAME"), "_NET") {
		t.Error("with the cookie it is not")
	}
	if !account.Can() {
		return // there is no other user to be had
	}
	const other = 61000 // below the range of sessions
	intruder := s.enter("setpriv", "--reuid", strconv.Itoa(other), "--regid", strconv.Itoa(other), "--clear-groups", "xprop", "-display", s.ready.Display, "-root")
	intruder.Env = append(os.Environ(), "XAUTHORITY="+filepath.Join(s.dir, "display", "xauthority"))
	if err := intruder.Run(); err == nil {
		t.Error("another user gets onto the display")
	}
	if err := s.as(other, "cat", filepath.Join(s.dir, "display", "xauthority")); err == nil {
		t.Error("another user reads the cookie")
	}
	path, _ := s.h.Socket(s.Key())
	sock := exec.Command("perl", "-MIO::Socket::UNIX", "-e", `exit(IO::Socket::UNIX->new(Peer => $ARGV[0]) ? 0 : 3)`, path)
	if out, err := sock.CombinedOutput(); err != nil {
		t.Errorf("root does not reach the socket, this test proves nothing: %v, %s", err, out)
	}
	sock = exec.Command("perl", "-MIO::Socket::UNIX", "-e", `exit(IO::Socket::UNIX->new(Peer => $ARGV[0]) ? 0 : 3)`, path)
	sock.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}}
	sock.Dir = "/"
	if err := sock.Run(); err == nil {
		t.Error("another user reaches the socket")
	}
}

// listensNowhere: no process of the session has a socket on the network, and
// none an abstract one, which every user could reach.
func (s *session) listensNowhere() {
	t := s.h.t
	t.Helper()
	inodes := make(map[string]bool)
	for _, pid := range s.pids {
		p, err := procfs.NewProc(pid)
		if err != nil {
			t.Fatal(err)
		}
		targets, err := p.FileDescriptorTargets()
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range targets {
			if n, ok := strings.CutPrefix(target, "socket:["); ok {
				inodes[strings.TrimSuffix(n, "]")] = true
			}
		}
	}
	if len(inodes) < 3 {
		t.Errorf("only %d sockets seen, this test proves nothing", len(inodes))
	}
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", s.ready.PIDs["app"], name))
		if errors.Is(err, os.ErrNotExist) {
			continue // a machine without
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 9 && inodes[f[9]] {
				t.Errorf("a socket of %s: %s", name, line)
			}
		}
	}
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/net/unix", s.ready.PIDs["app"]))) {
		if f := strings.Fields(line); len(f) > 7 && inodes[f[6]] && strings.HasPrefix(f[7], "@") {
			t.Errorf("an abstract socket: %s", line)
		}
	}
}

// The window manager fills the display with the app, gives dialogs a frame, and
// takes no key.
func TestTheWindowManager(t *testing.T) {
	h := newHarness(t)
	sp := spec(1, "/bin/sh", "-c", "xterm -T Typewriter & exec zenity --info --title Question --text 'Save?'")
	sp.Stream = &guard.Stream{Geometry: "1000x700", Clipboard: true}
	s := h.up(sp)
	await(t, "both windows", func() bool { return s.manages("Typewriter") && s.manages("Question") })
	extents := func(title string) string {
		_, v, _ := strings.Cut(s.x("xprop", "-name", title, "_NET_FRAME_EXTENTS"), "= ")
		return strings.TrimSpace(v)
	}
	await(t, "a window without a frame", func() bool { return extents("Typewriter") == "0, 0, 0, 0" })
	await(t, "a dialog with a frame", func() bool {
		e := extents("Question")
		return e != "" && e != "0, 0, 0, 0"
	})
	if out := s.x("xwininfo", "-name", "Question"); strings.Contains(out, "Width: 1000") {
		t.Errorf("a dialog fills the display: %s", out)
	}
	await(t, "a window that fills the display", func() bool {
		out := s.x("xwininfo", "-name", "Typewriter")
		return strings.Contains(out, "Width: 1000") && strings.Contains(out, "Height: 700")
	})
	if err := grabEveryKey(s); err != nil {
		t.Errorf("the window manager has keys of its own: %v", err)
	}
	line, err := procfs.NewProc(s.ready.PIDs["display"])
	if err != nil {
		t.Fatal(err)
	}
	args, err := line.CmdLine()
	if err != nil || !strings.Contains(strings.Join(args, " "), "-AcceptCutText=1 -SendCutText=1") {
		t.Errorf("clipboard: %v, %v", args, err)
	}
	s.stop()
	s.exit()
	s.nothingLeft()
}

// Two sessions have nothing in common.
func TestTwoSessions(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a, b := h.up(spec(1, sample)), h.up(spec(2, sample))
	if c, err := h.Capacity(); err != nil || c.Live != 2 || c.Cores < 1 || c.MemoryFree == 0 || c.MemoryTotal < c.MemoryFree {
		t.Errorf("capacity %+v, %v", c, err)
	}
	if a.ready.Display == b.ready.Display || a.dir == b.dir {
		t.Errorf("%+v and %+v", a.ready, b.ready)
	}
	if account.Can() {
		if a.ready.Account == b.ready.Account {
			t.Errorf("both run as %d", a.ready.Account)
		}
		for _, path := range []string{"home", "display/xauthority", "display/rfb.sock", "run"} {
			if err := a.as(a.ready.Account, "ls", filepath.Join(b.dir, path)+"/"); err == nil {
				t.Errorf("one session sees the other's %s", path)
			}
		}
	}
	a.stop()
	a.exit()
	a.nothingLeft()
	if !b.Alive() {
		t.Error("one session ended with the other")
	}
	b.rfb()
	b.stop()
	b.exit()
	b.nothingLeft()
}
