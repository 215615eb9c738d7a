//go:build linux

package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"leasehold/internal/agent"
	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/host"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/sampletest"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/stage"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// The test binary is also the host, its guards and their stages.
const (
	envRole   = "LEASEHOLD_TEST_ROLE"
	envSample = "LEASEHOLD_TEST_SAMPLE" // the folder of the sample app, for the host
)

var sample string // the built sample app, where every account can run it

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(play(role, os.Args[1]))
	}
	// They wait for real clocks, most of the time.
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", "4")
	}
	os.Exit(sampletest.Run(m, &sample))
}

func play(role, dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	code := 0
	var err error
	switch role {
	case "guard":
		err = guard.Main(ctx, dir)
	case "stage":
		code, err = stage.Run(ctx, dir)
	case "inside":
		code, err = stage.Inside(ctx)
	case "clean":
		err = stage.Clean(ctx, dir)
	case "host":
		var h *host.Host
		if h, err = open(dir); err == nil {
			err = h.Run(ctx)
			h.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// as is the command line of this binary in another role.
func as(role string) func(dir string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// The race detector would hold each for a second at its exit.
	return func(dir string) []string {
		return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", envRole + "=" + role, self, dir}
	}
}

// open is a host with two slots, whose state and sessions are in dir.
func open(dir string) (*host.Host, error) {
	return host.Open(host.Config{
		Dir: filepath.Join(dir, "state"), Slots: 2, Out: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Displays: display.Config{Sessions: filepath.Join(dir, "s"), Guard: as("guard"), Stage: as("stage"), Clean: as("clean"),
			Separate: true, Inside: as("inside")(""), Shares: []sandbox.Share{{Path: os.Getenv(envSample)}}},
	})
}

// machine is a host's process and its folder.
type machine struct {
	t   *testing.T
	dir string
	mu  sync.Mutex
	out bytes.Buffer
	cmd *exec.Cmd
	// seen are the numbers of the displays that sessions had.
	seen []int
	// beforeRemove is done when everything has ended.
	beforeRemove func()
}

func (m *machine) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.Write(b)
}

// enrol makes a stream host of a server's. At the end of the test nothing of it is left.
func enrol(t *testing.T, s *servertest.Server) *machine {
	t.Helper()
	return enrolAt(t, s, s.URL)
}

// enrolAt is enrol for a host that reaches its server at an address of its own.
func enrolAt(t *testing.T, s *servertest.Server, url string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "lh")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir}
	if _, err := agent.Enrol(t.Context(), filepath.Join(dir, "state"), url, s.EnrolmentKeyFor(wire.Host), "HOST-1", "test", wire.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.kill(syscall.SIGKILL)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		r, err := display.New(display.Config{
			Runs: filepath.Join(dir, "state", "runs"), Sessions: filepath.Join(dir, "s"),
			Clean: as("clean"),
		})
		if err != nil {
			t.Error(err)
			return
		}
		runs, err := r.Recover(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, run := range runs {
			if _, err := runner.End(ctx, run, "end of the test"); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			m.mu.Lock()
			t.Logf("the host wrote:\n%s", m.out.String())
			m.mu.Unlock()
		}
		if m.beforeRemove != nil {
			m.beforeRemove()
		}
		os.RemoveAll(dir)
	})
	return m
}

func (m *machine) start() {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	m.cmd = exec.Command(self, m.dir)
	m.cmd.Env = append(os.Environ(), envRole+"=host", envSample+"="+filepath.Dir(sample), "GORACE=atexit_sleep_ms=0")
	m.cmd.Stdout, m.cmd.Stderr = m, m
	m.cmd.WaitDelay = time.Second // guards hold the output open for nobody
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) kill(sig syscall.Signal) {
	if m.cmd != nil {
		_ = m.cmd.Process.Signal(sig)
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// alive reports whether a process is there and has not ended.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// nothing waits until nothing of any session is on the machine: no folder, no process, no
// display and no account that is lent.
func (m *machine) nothing(pids ...int) {
	m.t.Helper()
	var left []string
	ok := func() bool {
		left = m.left()
		for _, pid := range pids {
			if alive(pid) {
				left = append(left, fmt.Sprintf("process %d", pid))
			}
		}
		return len(left) == 0
	}
	for deadline := time.Now().Add(long); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("left after %v: %q", long, left)
		}
	}
}

// left lists what there is of sessions.
func (m *machine) left() (left []string) {
	sessions := filepath.Join(m.dir, "s")
	entries, err := os.ReadDir(sessions)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, "folder "+e.Name())
	}
	// Stages, displays, window managers and apps all name their session's folder.
	for _, name := range []string{"environ", "cmdline"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + name)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(sessions+"/")) {
				left = append(left, f)
			}
		}
	}
	lent, _ := filepath.Glob(filepath.Join(account.Registry, "[0-9]*"))
	for _, f := range lent {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), sessions+"/") {
			left = append(left, "account "+filepath.Base(f))
		}
	}
	for _, d := range m.displays() {
		left = append(left, fmt.Sprintf("display %d", d))
	}
	return left
}

// forgotten waits until the host, which runs, has no trace of any session on its disk.
func (m *machine) forgotten() {
	m.t.Helper()
	for _, name := range []string{"runs", "sessions"} {
		servertest.Eventually(m.t, long, name+" is empty", func() bool {
			entries, err := os.ReadDir(filepath.Join(m.dir, "state", name))
			return err == nil && len(entries) == 0
		})
	}
}

// leaseEnd is until when the host holds a lease of a session, as it has it on disk; zero if
// it holds none.
func (m *machine) leaseEnd(session int64) time.Time {
	m.t.Helper()
	var record struct {
		Holder lease.Holder `json:"holder"`
	}
	b, err := os.ReadFile(filepath.Join(m.dir, "state", "sessions", fmt.Sprintf("%d.json", session)))
	if err == nil {
		err = json.Unmarshal(b, &record)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if record.Holder.Lease == nil {
		return time.Time{}
	}
	return time.Unix(0, record.Holder.Lease.End)
}

// wrote waits until the host's log says something.
func (m *machine) wrote(t *testing.T, within time.Duration, what string) {
	t.Helper()
	servertest.Eventually(t, within, "the host says: "+what, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return bytes.Contains(m.out.Bytes(), []byte(what))
	})
}

// displays are those that this machine's sessions have had and that are still there. Their
// numbers are from the folders, as long as these were seen.
func (m *machine) displays() (list []int) {
	files, _ := filepath.Glob(filepath.Join(m.dir, "s", "*", "ready.json"))
	for _, f := range files {
		var ready stage.Ready
		if b, err := os.ReadFile(f); err == nil && json.Unmarshal(b, &ready) == nil {
			var n int
			if _, err := fmt.Sscanf(ready.Display, ":%d", &n); err == nil && !slices.Contains(m.seen, n) {
				m.seen = append(m.seen, n)
			}
		}
	}
	for _, n := range m.seen {
		for _, f := range []string{fmt.Sprintf("/tmp/.X%d-lock", n), fmt.Sprintf("/tmp/.X11-unix/X%d", n)} {
			if _, err := os.Lstat(f); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

const (
	long  = 60 * time.Second
	force = 3 * time.Second // from the polite close to force
)

// organisation is a server with a streamed app, whose processes write their numbers down. Its
// leases live three heartbeats, which are in seconds.
func organisation(t *testing.T, heartbeat int, args ...string) (s *servertest.Server, app int64, pids func() []int) {
	s = servertest.New(t, control.Config{Force: force, Wait: 30 * time.Second, Heartbeat: time.Second})
	s.Serve(nil)
	dir, err := os.MkdirTemp("", "pids")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if args == nil {
		// The folder is the test's mark, by which it finds the app outside the sandbox.
		args = []string{"sh", "-c", `mkdir -p "$1"; exec "$0" --pid-file "$1/$$"`, sample, dir}
	}
	a, _ := s.App("Sample", servertest.Terms{
		Packages: []catalog.Package{{Type: catalog.Command, Command: args}},
		Stream:   &catalog.StreamSettings{Geometry: "800x600", ReconnectSeconds: 300}, Heartbeat: heartbeat,
	})
	var list []int // each that was seen, in the order of their starts
	return s, a.ID, func() []int {
		procs, _ := procfs.AllProcs()
		for _, p := range procs {
			line, _ := p.CmdLine()
			if len(line) == 3 && line[0] == sample && strings.HasPrefix(line[2], dir+"/") && !slices.Contains(list, p.PID) {
				list = append(list, p.PID)
			}
		}
		return list
	}
}

// launch waits until a host takes sessions, and launches.
func launch(t *testing.T, s *servertest.Server, app int64) int64 {
	t.Helper()
	var l *control.Launched
	servertest.Eventually(t, long, "a host has room", func() bool {
		var err error
		l, err = s.Control.Launch(t.Context(), s.User, app, 0)
		var refused *session.Refusal
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		return err == nil
	})
	if want := fmt.Sprintf("%s/streams/%d", s.URL, l.Session.ID); l.URL != want || l.Link != "" || l.Session.Status != session.Starting || l.Session.AgentName != "HOST-1" {
		t.Errorf("launched %+v, want %s", l, want)
	}
	return l.Session.ID
}

func is(t *testing.T, s *servertest.Server, id int64, want session.Status) *session.Session {
	t.Helper()
	servertest.Eventually(t, long, fmt.Sprintf("session %d is %s", id, want), func() bool { return s.Session(id).Status == want })
	return s.Session(id)
}
