//go:build linux

package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/agent"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/host"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/stage"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// The test binary is also the host, its guards and their stages.
const envRole = "LEASEHOLD_TEST_ROLE"

var sample string // the built sample app, where every account can run it

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(play(role, os.Args[1]))
	}
	dir, err := os.MkdirTemp("", "host-test")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		panic(err)
	}
	sample = filepath.Join(dir, "leasehold-sample")
	if out, err := exec.Command("go", "build", "-o", sample, "leasehold/cmd/leasehold-sample").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the sample app: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
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

// open is a host with two slots, whose state and sessions are in dir.
func open(dir string) (*host.Host, error) {
	as := func(role string) func(string) []string {
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		// The race detector would hold each for a second at its exit.
		return func(dir string) []string {
			return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", envRole + "=" + role, self, dir}
		}
	}
	return host.Open(host.Config{
		Dir: filepath.Join(dir, "state"), Slots: 2, Out: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Displays: display.Config{Sessions: filepath.Join(dir, "s"), Guard: as("guard"), Stage: as("stage"), Clean: as("clean")},
	})
}

// machine is a host's process and its folder.
type machine struct {
	t   *testing.T
	dir string
	mu  sync.Mutex
	out bytes.Buffer
	cmd *exec.Cmd
}

func (m *machine) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.Write(b)
}

// enrol makes a stream host of a server's. At the end of the test nothing of it is left.
func enrol(t *testing.T, s *servertest.Server) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "lh")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir}
	if _, err := agent.Enrol(t.Context(), filepath.Join(dir, "state"), s.URL, s.EnrolmentKeyFor(wire.Host), "HOST-1", "test", wire.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.kill(syscall.SIGKILL)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		r, err := display.New(display.Config{
			Runs: filepath.Join(dir, "state", "runs"), Sessions: filepath.Join(dir, "s"),
			Clean: func(dir string) []string { return []string{"true"} },
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
	m.cmd.Env = append(os.Environ(), envRole+"=host", "GORACE=atexit_sleep_ms=0")
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

// nothing waits until nothing of any session is on the machine.
func (m *machine) nothing(pids ...int) {
	m.t.Helper()
	servertest.Eventually(m.t, long, "nothing is left of it", func() bool {
		entries, err := os.ReadDir(filepath.Join(m.dir, "s"))
		for _, pid := range pids {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(b), ") Z ") {
				return false
			}
		}
		return err == nil && len(entries) == 0
	})
}

const long = 60 * time.Second

// organisation is a server with a streamed app, whose processes write their numbers down. Its
// leases live three heartbeats, which are in seconds.
func organisation(t *testing.T, heartbeat int, args ...string) (s *servertest.Server, app int64, pids func() []int) {
	s = servertest.New(t, control.Config{Force: 3 * time.Second, Wait: 30 * time.Second, Heartbeat: time.Second})
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
		// Each session has an account of its own.
		args = []string{"sh", "-c", `exec "$0" --pid-file "$1/$$"`, sample, dir}
	}
	a, _ := s.App("Sample", servertest.Terms{
		Packages: []catalog.Package{{Type: catalog.Command, Command: args}},
		Stream:   &catalog.StreamSettings{Geometry: "800x600", ReconnectSeconds: 300}, Heartbeat: heartbeat,
	})
	return s, a.ID, func() (list []int) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			n, _ := strconv.Atoi(e.Name())
			list = append(list, n)
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

// A session comes up on a real display, goes on under renewed leases, and is killed.
func TestStreamIsKilled(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 1)
	m := enrol(t, s)
	m.start()
	id := launch(t, s, app)
	st := is(t, s, id, session.Connected)
	if st.Observed != session.IsRunning || st.UnwatchedSince.IsZero() || st.Viewers != 0 || len(pids()) != 1 {
		t.Errorf("%+v, processes %v", st, pids())
	}
	first := st.Lease
	servertest.Eventually(t, long, "its lease is renewed", func() bool {
		l := s.Session(id).Lease
		return l != nil && first != nil && l.GrantedAt.After(first.ExpiresAt.Add(-time.Second)) || first == nil && l != nil
	})
	s.Act(id, session.Kill, "it hangs")
	if got := s.Session(id).Status; got != session.Killed {
		t.Errorf("status %s at once", got)
	}
	servertest.Eventually(t, long, "the order is closed", func() bool { return !s.Session(id).Order.Open() })
	if o := s.Session(id).Order; o.ClosedBy != session.ByAgent || o.DeliveredAt.IsZero() {
		t.Errorf("order %+v", o)
	}
	m.nothing(pids()...)
	servertest.Eventually(t, long, "the host has forgotten it", func() bool { return s.Session(id).Observed == session.IsAbsent })
}

// The app ends, its user ends it, its display is killed: each says why.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, s *servertest.Server, id int64, pid int)
		want string
	}{
		{"the app exits", func(t *testing.T, _ *servertest.Server, _ int64, pid int) {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}, "the app was closed"},
		{"its user", func(t *testing.T, s *servertest.Server, id int64, _ int) {
			if err := s.Control.EndStream(t.Context(), s.User, id); err != nil {
				t.Error(err)
			}
		}, "ended by its user"},
		{"its display is killed", func(t *testing.T, _ *servertest.Server, _ int64, pid int) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if err != nil {
				t.Fatal(err)
			}
			for v := range strings.SplitSeq(string(b), "\x00") {
				if d, ok := strings.CutPrefix(v, "DISPLAY=:"); ok {
					lock, err := os.ReadFile("/tmp/.X" + d + "-lock")
					if err != nil {
						t.Fatal(err)
					}
					n, _ := strconv.Atoi(strings.TrimSpace(string(lock)))
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
			}
		}, "The display server ended unexpectedly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, app, pids := organisation(t, 1)
			m := enrol(t, s)
			m.start()
			id := launch(t, s, app)
			is(t, s, id, session.Connected)
			tt.end(t, s, id, pids()[0])
			st := is(t, s, id, session.Disconnected)
			if st.Reason != tt.want || st.EndedAt.IsZero() {
				t.Errorf("reason %q, ended %v", st.Reason, st.EndedAt)
			}
			m.nothing(pids()...)
		})
	}
}

// What never comes up fails, and says why.
func TestStreamFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no such program", []string{"/no/such/app"}, "/no/such/app"},
		{"it exits at once", []string{"sh", "-c", "echo no licence here >&2; exit 3"}, "no licence here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, app, _ := organisation(t, 1, tt.args...)
			m := enrol(t, s)
			m.start()
			id := launch(t, s, app)
			if st := is(t, s, id, session.Failed); !strings.Contains(st.Reason, tt.want) {
				t.Errorf("reason %q", st.Reason)
			}
			m.nothing()
		})
	}
}

// A host that dies: its sessions are unknown, and what they truly are when it is back. One
// that was killed meanwhile is ended then.
func TestHostDies(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 20)
	m := enrol(t, s)
	m.start()
	stays, killed := launch(t, s, app), launch(t, s, app)
	is(t, s, stays, session.Connected)
	is(t, s, killed, session.Connected)
	if _, err := s.Control.Launch(t.Context(), s.User, app, 0); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a third session on two slots: %v", err)
	}
	began := pids()
	m.kill(syscall.SIGKILL)
	is(t, s, stays, session.Unknown)
	is(t, s, killed, session.Unknown)
	s.Act(killed, session.Kill, "")
	if st := s.Session(killed); st.Status != session.Killed || !st.Order.Open() {
		t.Errorf("killed while the host is away: %s, order %+v", st.Status, st.Order)
	}
	m.start()
	if st := is(t, s, stays, session.Connected); st.Run != 1 || st.Observed != session.IsRunning {
		t.Errorf("back: %+v", st)
	}
	servertest.Eventually(t, long, "the kill is carried out", func() bool { return !s.Session(killed).Order.Open() })
	if by := s.Session(killed).Order.ClosedBy; by != session.ByAgent {
		t.Errorf("closed by %q", by)
	}
	alive := 0
	for _, pid := range began {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(b), ") Z ") {
			alive++
		}
	}
	if now := pids(); alive != 1 || len(now) != 2 {
		t.Errorf("%d of %v are alive, now there are %v", alive, began, now)
	}
	s.Act(stays, session.Kill, "")
	m.nothing(began...)
}

// A host that dies and never comes back: the guards end its sessions with their leases, and
// so does the server.
func TestHostNeverComesBack(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 5)
	m := enrol(t, s)
	m.start()
	id := launch(t, s, app)
	is(t, s, id, session.Connected)
	m.kill(syscall.SIGKILL)
	m.nothing(pids()...)
	if st := is(t, s, id, session.Disconnected); st.Reason != "lease lapsed" || st.Lease != nil {
		t.Errorf("%q, %+v", st.Reason, st.Lease)
	}
}
