//go:build unix

package player_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

	"leasehold/internal/agent"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/player"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/process"
	"leasehold/internal/agent/sampletest"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// The roles of this test's own program.
const (
	envGuard  = "LEASEHOLD_TEST_GUARD"
	envPlayer = "LEASEHOLD_TEST_PLAYER"
)

var sample string // the built sample app

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(envGuard) != "":
		os.Exit(status(guard.Main(context.Background(), os.Args[1])))
	case os.Getenv(envPlayer) != "":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		os.Exit(status(runPlayer(ctx, os.Args[1])))
	}
	// No dialogs: the warnings are looked for on the terminal.
	os.Unsetenv("DISPLAY")
	os.Unsetenv("WAYLAND_DISPLAY")
	os.Exit(sampletest.Run(m, &sample))
}

func status(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func guardCommand(dir string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// The race detector would hold each guard for a second at its exit.
	return []string{"/usr/bin/env", "-u", envPlayer, "GORACE=atexit_sleep_ms=0", envGuard + "=1", self, dir}
}

func runPlayer(ctx context.Context, dir string) error {
	p, err := player.Open(player.Config{Dir: dir, Guard: guardCommand, Out: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Run(ctx)
}

// output collects what a player writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// device is a player's process and its state folder.
type device struct {
	t   *testing.T
	dir string
	out output
	cmd *exec.Cmd
}

func enrol(t *testing.T, s *servertest.Server) *device {
	t.Helper()
	d := &device{t: t, dir: filepath.Join(t.TempDir(), "state")}
	if _, err := agent.Enrol(t.Context(), d.dir, s.URL, s.EnrolmentKey(), "LAB-1", "test", wire.Player); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.kill(syscall.SIGKILL)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		runs, err := process.New(filepath.Join(d.dir, "runs"), guardCommand).Recover(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, r := range runs {
			if _, err := runner.End(ctx, r, "end of the test"); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("the player wrote:\n%s", d.out.String())
		}
	})
	return d
}

// start starts the player and waits until it takes commands.
func (d *device) start() {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(self, d.dir)
	d.cmd.Env = append(os.Environ(), envPlayer+"=1", "GORACE=atexit_sleep_ms=0")
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	// Guards hold the output open for nobody.
	d.cmd.WaitDelay = time.Second
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	servertest.Eventually(d.t, 20*time.Second, "the player takes commands", func() bool {
		l, err := player.ListSessions(d.t.Context(), d.dir)
		return err == nil && l.Running
	})
}

func (d *device) kill(sig syscall.Signal) {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(sig)
	_ = d.cmd.Wait()
	d.cmd = nil
}

// pids are the processes that the sample app wrote down.
func pids(file string) []int {
	b, _ := os.ReadFile(file)
	var list []int
	for _, f := range strings.Fields(string(b)) {
		n, _ := strconv.Atoi(f)
		list = append(list, n)
	}
	return list
}

func alive(list []int) (left []int) {
	for _, pid := range list {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(b), ") Z ") {
			left = append(left, pid)
		}
	}
	return left
}

// organisation is a server with the sample app, whose processes write their numbers down.
func organisation(t *testing.T) (*servertest.Server, *catalog.App, string) {
	s := servertest.New(t, control.Config{Force: 2 * time.Second, Wait: 5 * time.Second, Heartbeat: time.Second})
	s.Serve(nil)
	file := filepath.Join(t.TempDir(), "pids")
	app, _ := s.App("Sample", servertest.Terms{Packages: []catalog.Package{{
		Type: catalog.Command, Command: []string{sample, "--terminal", "--children", "2", "--pid-file", file},
	}}})
	return s, app, file
}

const long = 30 * time.Second

func launch(t *testing.T, s *servertest.Server, d *device, app int64) int64 {
	t.Helper()
	l := s.Launch(app)
	got, err := player.LaunchLink(t.Context(), d.dir, l.Link, accepted)
	if err != nil {
		t.Fatal(err)
	}
	if got.Session != l.Session.ID || !got.New {
		t.Errorf("launched %+v, want session %d", got, l.Session.ID)
	}
	return got.Session
}

func awaitStatus(t *testing.T, s *servertest.Server, id int64, want session.Status) {
	t.Helper()
	servertest.Eventually(t, long, fmt.Sprintf("session %d is %s", id, want), func() bool { return s.Session(id).Status == want })
}

func awaitClosed(t *testing.T, s *servertest.Server, id int64) {
	t.Helper()
	servertest.Eventually(t, long, "the order is closed", func() bool { return !s.Session(id).Order.Open() })
	o := s.Session(id).Order
	if o.ClosedBy != session.ByAgent {
		t.Errorf("the order was closed by %q: %+v", o.ClosedBy, o)
	}
	if o.DeliveredAt.Before(o.RequestedAt) || o.WarnedAt.Before(o.RequestedAt) || o.ClosedAt.Before(o.WarnedAt) {
		t.Errorf("the order's times are out of order: %+v", o)
	}
}

func TestLaunchRunEvict(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	d := enrol(t, s)
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })

	list, err := player.ListSessions(t.Context(), d.dir)
	if err != nil || len(list.Sessions) != 1 || list.Sessions[0].Status != agent.Running || !list.Link.OK || list.Sessions[0].LeaseSeconds == nil {
		t.Errorf("list %+v, %v", list, err)
	}
	if err := player.StartSession(t.Context(), d.dir, id); err == nil || !strings.Contains(err.Error(), agent.ErrRunning.Error()) {
		t.Errorf("started twice: %v", err)
	}
	// It lives longer than the first lease: that is renewed.
	first := s.Session(id).Lease.ExpiresAt
	servertest.Eventually(t, long, "the lease is renewed after its first end", func() bool {
		l := s.Session(id).Lease
		return l != nil && l.GrantedAt > first
	})
	if st := s.Session(id); st.Status != session.Running || len(alive(pids(file))) < 5 {
		t.Fatalf("after a lease's length: %s, %v", st.Status, st.Lease)
	}

	s.Act(id, session.Evict, "maintenance tonight")
	if got := s.Session(id).Status; got != session.Evicted {
		t.Errorf("status %s at once", got)
	}
	awaitClosed(t, s, id)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	out := d.out.String()
	two, one := strings.Index(out, "will close in 2 seconds"), strings.Index(out, "will close in 1 second.")
	if two < 0 || one < two || !strings.Contains(out, "maintenance tonight") {
		t.Errorf("warnings at %d and %d", two, one)
	}

	// The user may run it again, under the next generation.
	if err := player.StartSession(t.Context(), d.dir, id); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, id, session.Running)
	if g := s.Session(id).Lease.Generation; g != 2 {
		t.Errorf("generation %d", g)
	}
	if err := player.RemoveSession(t.Context(), d.dir, id); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, id, session.Removed)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	d.kill(syscall.SIGTERM)
	if l, err := player.ListSessions(t.Context(), d.dir); err != nil || l.Running || len(l.Sessions) != 0 {
		t.Errorf("after the end: %+v, %v", l, err)
	}
}

func TestKillPlayer(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	d := enrol(t, s)
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })
	run := s.Session(id).Run

	d.kill(syscall.SIGKILL)
	s.Act(id, session.Evict, "gone fishing")
	d.start()
	awaitClosed(t, s, id)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	if got := s.Session(id).Run; got != run {
		t.Errorf("run %d, was %d", got, run)
	}
}

// Killed for good, the player's app ends with its lease.
func TestPlayerNeverComesBack(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	d := enrol(t, s)
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })
	d.kill(syscall.SIGKILL)
	servertest.Eventually(t, long, "the app is gone", func() bool { return len(alive(pids(file))) == 0 })
	if b, _ := os.ReadFile(filepath.Join(d.dir, "warnings.log")); !strings.Contains(string(b), "will close in 2 seconds") {
		t.Errorf("warnings.log: %s", b)
	}
	awaitStatus(t, s, id, session.Stopped)
}

// A check-in may bring the app before the redemption's own answer comes: the launch is new
// all the same.
func TestLaunchAnsweredLate(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	direct, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var d *device
	redeemed := 0
	slow := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(direct) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path != wire.PathRedeem {
				return nil
			}
			if redeemed++; redeemed == 1 {
				return nil // it says only that the user is new to this device
			}
			for r.Request.Context().Err() == nil { // the player waits for so long
				if l, err := player.ListSessions(t.Context(), d.dir); err == nil && len(l.Sessions) == 1 {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		},
	}
	proxy := httptest.NewServer(slow)
	t.Cleanup(proxy.Close)
	s.URL, s.Control.PublicURL = proxy.URL, proxy.URL
	d = enrol(t, s)
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })
}

// Without a player the link is redeemed and waits.
func TestLaunchBeforeRun(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	d := enrol(t, s)
	l := s.Launch(app.ID)
	got, err := player.LaunchLink(t.Context(), d.dir, l.Link, accepted)
	if err != nil || !got.Waits {
		t.Fatal(got, err)
	}
	if list, err := player.ListSessions(t.Context(), d.dir); err != nil || len(list.Sessions) != 1 || list.Sessions[0].Status != agent.Adding {
		t.Errorf("%+v, %v", list, err)
	}
	d.start()
	awaitStatus(t, s, got.Session, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })
	if again, err := player.LaunchLink(t.Context(), d.dir, l.Link, accepted); err != nil || again.New {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := agent.Open(agent.Config{Dir: d.dir}); err == nil {
		t.Error("two players on one folder")
	}
}

// An expired session that is started runs at once, warns and is closed; it holds nothing.
func TestExpiredIsStarted(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	d := enrol(t, s)
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })
	s.Act(id, session.Evict, "first this")
	awaitClosed(t, s, id)
	s.Act(id, session.Expire, "the course is over")
	before := strings.Count(d.out.String(), "WARNING (session")
	if err := player.StartSession(t.Context(), d.dir, id); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, long, "it runs at once", func() bool { return len(alive(pids(file))) >= 5 })
	servertest.Eventually(t, long, "it is closed", func() bool {
		l, err := player.ListSessions(t.Context(), d.dir)
		return err == nil && len(l.Sessions) == 1 && l.Sessions[0].Status == agent.Stopped && l.Sessions[0].Run == 2
	})
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	if n := strings.Count(d.out.String(), "WARNING (session") - before; n != 2 {
		t.Errorf("%d warnings, want two", n)
	}
	if st := s.Session(id); st.Status != session.Expired || st.Lease != nil {
		t.Errorf("session %+v", st)
	}
}

// The running player opens its page to whoever holds an address; without one it says so.
func TestPage(t *testing.T) {
	t.Parallel()
	s, app, _ := organisation(t)
	d := enrol(t, s)
	if _, err := player.PageAddress(t.Context(), d.dir); !errors.Is(err, player.ErrNoPlayer) {
		t.Errorf("without a player: %v", err)
	}
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	address, err := player.PageAddress(t.Context(), d.dir)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(method, address string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, _ := get("GET", address); status != http.StatusOK {
		t.Fatalf("open: %d", status)
	}
	root := address[:strings.LastIndex(address, "/")+1]
	if status, body := get("GET", root); status != http.StatusOK || !strings.Contains(body, "Apps on LAB-1") || !strings.Contains(body, "running") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get("POST", fmt.Sprintf("%ssessions/%d/remove", root, id)); status != http.StatusOK || !strings.Contains(body, "is being removed") {
		t.Errorf("%d %s", status, body)
	}
	awaitStatus(t, s, id, session.Removed)
}
