//go:build linux

package display_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/sessionnet"
	"leasehold/internal/catalog"
)

// A session gets the network that it is to have, or is refused; never another.
func TestNoSuchNetwork(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	sp := spec(1, sample)
	sp.Stream = &guard.Stream{Network: string(catalog.Internet), Allow: []string{"10.1.2.3"}}
	_, err := h.Start(t.Context(), sp)
	reason := `"10.1.2.3" has no port`
	if why := sessionnet.Check(); why != nil {
		reason = why.Error()
	}
	h.refused(err, reason)
}

// A host that cannot separate sessions gives none a network that its delivery method does
// not name.
func TestUnseparatedNetwork(t *testing.T) {
	t.Parallel()
	for _, network := range []catalog.Network{"", catalog.Internet, catalog.NoNetwork} {
		h := newHarness(t, func(c *display.Config) { c.Separate, c.Network = false, "" })
		sp := spec(1, sample)
		sp.Stream = &guard.Stream{Network: string(network)}
		_, err := h.Start(t.Context(), sp)
		h.refused(err, "this host cannot separate its sessions")
	}
	h := newHarness(t, func(c *display.Config) { c.Separate, c.Network = false, "" })
	sp := spec(1, sample)
	sp.Stream = &guard.Stream{Network: string(catalog.HostNetwork)}
	s := h.up(sp)
	s.stop()
	s.exit()
	s.nothingLeft()
}

// Sessions run wherever their folder is: in a sandbox /tmp is writable, and what is around the
// folders of a session elsewhere is not.
func TestSessionsOutsideTmp(t *testing.T) {
	base := "/var/lib"
	if !account.Can() {
		var err error
		if base, err = os.UserHomeDir(); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.MkdirTemp(base, "lh")
	if err == nil {
		err = os.Chmod(root, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	r, err := display.New(config(root))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{Runner: r, t: t, root: root}
	t.Cleanup(h.end)
	s := h.up(spec(1, sample))
	s.stop()
	s.exit()
	s.nothingLeft()
}

// What a delivery method allows is reached, at that port alone; and nothing of it without.
func TestAllowance(t *testing.T) {
	if err := sessionnet.Check(); err != nil {
		t.Skipf("sessions get no network here without root: %v", err)
	}
	t.Parallel()
	h := newHarness(t)
	sp := spec(1, "/bin/sh", "-c", `getent hosts localhost > "$HOME/hosts"; cat /etc/resolv.conf /etc/passwd > "$HOME/etc"; echo "$USER $LOGNAME $(id -un)" > "$HOME/names"; ip route > "$HOME/route"; : > "$HOME/done"; exec `+sample)
	sp.Stream = &guard.Stream{Network: string(catalog.Internet), Allow: []string{"10.1.2.3:27000"}, Login: "ann", Name: "Ann Berg"}
	s := h.up(sp)
	home := filepath.Join(s.dir, "home")
	await(t, "the app", func() bool { return exists(filepath.Join(home, "done")) })
	if got := readFile(t, filepath.Join(home, "route")); !strings.Contains(got, "default via 10.0.2.2") {
		t.Errorf("routes %q", got)
	}
	if got := readFile(t, filepath.Join(home, "etc")); !strings.Contains(got, "nameserver 10.0.2.3\n") || !strings.Contains(got, "\nann:x:") || !strings.Contains(got, ":Ann Berg:") {
		t.Errorf("settings %q", got)
	}
	if got := readFile(t, filepath.Join(home, "names")); got != "ann ann ann\n" {
		t.Errorf("names %q", got)
	}
	s.stop()
	s.exit()
	s.nothingLeft()
}

// What a host has inherited from whoever started it is in no process of a session, of which
// each may use the files of another.
func TestInheritedFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "lock-of-a-script"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Low numbers are taken again by what a session is given.
	inherited, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	h := newHarness(t)
	s := h.up(spec(1, "/bin/sh", "-c", `ls -l /proc/[0-9]*/fd > "$HOME/files"; : > "$HOME/done"; exec `+sample))
	home := filepath.Join(s.dir, "home")
	await(t, "the app", func() bool { return exists(filepath.Join(home, "done")) })
	if got := readFile(t, filepath.Join(home, "files")); strings.Contains(got, "lock-of-a-script") || !strings.Contains(got, "/dev/null") {
		t.Errorf("files %s", got)
	}
	s.stop()
	s.exit()
	s.nothingLeft()
}

// An app tries whatever is known to have led out of sessions, from within one, and
// gets nowhere.
func TestAttacks(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var attacker string
	h := newHarness(t, func(c *display.Config) {
		// A copy that the accounts of sessions can get to.
		attacker = filepath.Join(filepath.Dir(c.Runs), "attacker")
		b, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(attacker, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Processes, c.Scratch = 200, 32<<20
		c.Shares = append(c.Shares, sandbox.Share{Path: attacker})
	})
	victim := h.up(spec(1, sample))
	goal := target{
		Display: victim.ready.Display, Token: []byte(victim.token), Account: account.Can(),
		Paths:    []string{victim.dir, filepath.Join(h.root, "runs"), filepath.Join(h.root, "runs", "1.1", "guard.sock")},
		Abstract: fmt.Sprintf("leasehold-test-%d", os.Getpid()), PIDs: victim.pids, Shared: os.Getpid(),
	}
	abstract, err := net.Listen("unix", "@"+goal.Abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	service, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	addresses, err := sessionnet.HostAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range append(addresses, "127.0.0.1") {
		goal.Services = append(goal.Services, fmt.Sprintf("%s:%d", a, service.Addr().(*net.TCPAddr).Port))
	}
	memory, _, errno := unix.Syscall(unix.SYS_SHMGET, uintptr(goal.Shared), 4096, 0o1000|0o666)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Syscall(unix.SYS_SHMCTL, memory, 0, 0)
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		f, err := os.CreateTemp(dir, "leasehold-canary")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(f.Name())
		f.Close()
		goal.Paths = append(goal.Paths, f.Name())
	}
	for i, nested := range []bool{false, true} {
		t.Run(map[bool]string{false: "strict", true: "nested"}[nested], func(t *testing.T) {
			goal := goal
			goal.Nested = nested
			argument, err := json.Marshal(goal)
			if err != nil {
				t.Fatal(err)
			}
			sp := spec(int64(i + 2))
			sp.Argv = append([]string{"/bin/sh", "-c", `env "$@"; printf 'bye\033[31m\302\233m\342\200\256' >&2; exec "$0"`, sample}, "GORACE=atexit_sleep_ms=0", envRole+"=attack", attacker, string(argument))
			sp.Stream = &guard.Stream{Nested: nested, Login: "root", Name: "root:x:0:0"}
			s := h.up(sp)
			file := filepath.Join(s.dir, "home", "attacks")
			await(t, "the attacks", func() bool { return exists(file) })
			var broken map[string]string
			if err := json.Unmarshal([]byte(readFile(t, file)), &broken); err != nil {
				t.Fatal(err)
			}
			for name, how := range broken {
				t.Errorf("%s: %s", name, how)
			}
			s.rfb() // it is still the session's own display
			s.kill("app")
			e := s.exit()
			s.nothingLeft()
			if !strings.Contains(e.Reason, "bye") || strings.ContainsAny(e.Reason, "\x1b\u009b\u202e") {
				t.Errorf("reason %q", e.Reason)
			}
		})
	}
	victim.rfb()

	// The same without a sandbox, or none of this shows anything.
	h.Runner, err = display.New(func() display.Config {
		c := config(h.root)
		c.Separate, c.Network = false, string(catalog.HostNetwork)
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	argument, err := json.Marshal(goal)
	if err != nil {
		t.Fatal(err)
	}
	s := h.up(spec(9, "/bin/sh", "-c", `env "$@"; exec "$0"`, sample, "GORACE=atexit_sleep_ms=0", envRole+"=attack", attacker, string(argument)))
	file := filepath.Join(s.dir, "home", "attacks")
	await(t, "the attacks", func() bool { return exists(file) })
	var broken map[string]string
	if err := json.Unmarshal([]byte(readFile(t, file)), &broken); err != nil {
		t.Fatalf("%v: %s", err, readFile(t, file))
	}
	for _, name := range []string{"services of the host", "an abstract socket of the host", "files of the host and of others", "shared memory of others", "io_uring", "to fill /tmp", "to see other processes"} {
		if broken[name] == "" && !(name == "to see other processes" && account.Can()) {
			t.Errorf("without a sandbox it is held as well: %s", name)
		}
	}
}
