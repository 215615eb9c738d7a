//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/player"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/process"
)

// line is a line that a program wrote, and when.
type line struct {
	at   time.Time
	text string
}

// output collects what a program writes, by lines.
type output struct {
	mu    sync.Mutex
	lines []line
	rest  string
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.rest += string(b)
	for {
		text, rest, ok := strings.Cut(o.rest, "\n")
		if !ok {
			return len(b), nil
		}
		o.lines, o.rest = append(o.lines, line{now, text}), rest
	}
}

// find returns the lines that contain a text.
func (o *output) find(text string) []line {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []line
	for _, l := range o.lines {
		if strings.Contains(l.text, text) {
			found = append(found, l)
		}
	}
	return found
}

// tail is the end of what was written, for the log of a test that failed.
func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for _, l := range o.lines[max(0, len(o.lines)-n):] {
		fmt.Fprintf(&b, "%s %s\n", l.at.Format("15:04:05.000"), l.text)
	}
	return b.String()
}

// program is a long-running leasehold command, which can be killed and started again.
type program struct {
	t    testing.TB
	name string
	args []string
	env  []string
	out  output

	mu  sync.Mutex
	cmd *exec.Cmd
	end chan error
}

func (p *program) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(leasehold, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	// What it started may hold its output open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	p.cmd, p.end = cmd, end
	return nil
}

// signal sends a signal and waits until the process is gone.
func (p *program) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(sig) // it may be gone
	select {
	case err := <-p.end:
		p.cmd = nil
		if sig == syscall.SIGTERM && err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			return fmt.Errorf("%s ended badly: %w", p.name, err)
		}
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s does not end", p.name)
	}
}

// freeze stops the process for a time, in which it does nothing, and has it go on.
func (p *program) freeze(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
}

func (p *program) stop(sig syscall.Signal) {
	p.t.Helper()
	if err := p.signal(sig); err != nil {
		p.t.Error(err)
	}
}

// logTail shows what the program wrote if the test failed.
func (p *program) logTail() {
	if p.t.Failed() {
		p.t.Logf("%s wrote:\n%s", p.name, p.out.tail(150))
	}
}

// freePort finds a port outside the range that connections take theirs from, so that it is
// still free when a killed server wants it again.
func freePort(t testing.TB) string {
	t.Helper()
	for range 200 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// force is the force margin of the servers here.
const force = 2 * time.Second

const (
	adminName     = "olga"
	adminPassword = "correct horse battery"
	userPassword  = "staple of the horse"
)

// server is leasehold server.
type server struct {
	program
	addr string
	url  string
	http *http.Client
}

// newServer starts a server on a database of its own. more may name another database.
func newServer(t testing.TB, more ...string) *server {
	t.Helper()
	s := &server{addr: freePort(t), http: &http.Client{Timeout: 10 * time.Second}}
	s.url = "http://" + s.addr
	args := []string{"server", "--listen", s.addr, "--force", force.String(), "--wait", "5s", "--heartbeat", "1s", "--log-level", "warn"}
	if all := strings.Join(more, " "); !strings.Contains(all, "--database-url") && !strings.Contains(all, "--data ") {
		args = append(args, "--data", filepath.Join(t.TempDir(), "data"))
	}
	s.program = program{t: t, name: "the server", args: append(args, more...),
		env: []string{"LEASEHOLD_ADMIN_USER=" + adminName, "LEASEHOLD_ADMIN_PASSWORD=" + adminPassword}}
	t.Cleanup(s.logTail)
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	return s
}

func (s *server) ready() bool {
	resp, err := s.http.Get(s.url + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (s *server) up() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 30*time.Second, "the server is ready", s.ready)
}

// device is leasehold player run, and its state folder.
type device struct {
	program
	dir string
}

// enrol makes a device of the server at a URL.
func enrol(t testing.TB, a *api, url, name string, env ...string) *device {
	t.Helper()
	d := &device{dir: filepath.Join(t.TempDir(), "state")}
	if out, err := command(t, env, "player", "enroll", "--server", url, "--key", a.enrolmentKey("player"), "--name", name, "--state", d.dir); err != nil {
		t.Fatalf("enroll: %v: %s", err, out)
	}
	d.program = program{t: t, name: "the player", args: []string{"player", "run", "--state", d.dir}, env: env}
	t.Cleanup(d.logTail)
	t.Cleanup(func() {
		d.stop(syscall.SIGTERM)
		d.endApps()
	})
	return d
}

// endApps ends what outlives the player: its apps.
func (d *device) endApps() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runs, err := process.New(filepath.Join(d.dir, "runs"), func(dir string) []string { return []string{leasehold, "guard", "--dir", dir} }).Recover(ctx)
	if err != nil {
		d.t.Error(err)
	}
	var ends sync.WaitGroup
	for _, r := range runs {
		ends.Go(func() {
			if _, err := runner.End(ctx, r, "end of the test"); err != nil {
				d.t.Error(err)
			}
		})
	}
	ends.Wait()
}

// running reports whether the player answers.
func (d *device) running() bool {
	l, err := player.ListSessions(context.Background(), d.dir)
	return err == nil && l.Running
}

func (d *device) up() {
	d.t.Helper()
	if err := d.start(); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, 30*time.Second, "the player takes commands", d.running)
}

// do runs a player command on this device.
func (d *device) do(args ...string) {
	d.t.Helper()
	if args[0] == "launch" {
		args = append(args, "--accept") // there is nobody to ask
	}
	if out, err := command(d.t, d.env, append(append([]string{"player"}, args...), "--state", d.dir)...); err != nil {
		d.t.Fatalf("player %v: %v: %s", args, err, out)
	}
}
