//go:build linux

package display_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/catalog"
)

// neighbour is a machine beside this one, at a private address: a network namespace.
func neighbour(t *testing.T) (listen func() net.Listener) {
	t.Helper()
	name := fmt.Sprintf("lh%d", os.Getpid()%100000)
	ip := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	ip("link", "add", name, "type", "veth", "peer", "name", "out", "netns", name)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
	ip("addr", "add", "10.213.87.1/30", "dev", name)
	ip("link", "set", name, "up")
	ip("-n", name, "addr", "add", "10.213.87.2/30", "dev", "out")
	ip("-n", name, "link", "set", "out", "up")
	return func() net.Listener {
		type result struct {
			l   net.Listener
			err error
		}
		done := make(chan result)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread goes with its namespace
			ns, err := os.Open("/run/netns/" + name)
			if err == nil {
				defer ns.Close()
				err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			}
			var l net.Listener
			if err == nil {
				l, err = net.Listen("tcp4", "10.213.87.2:0")
			}
			done <- result{l, err}
		}()
		r := <-done
		if r.err != nil {
			t.Fatal(r.err)
		}
		t.Cleanup(func() { r.l.Close() })
		return r.l
	}
}

// A licence server at a private address is reached at the port that is allowed; the same
// machine at another port, and this host at any, are not.
func TestLicenceServer(t *testing.T) {
	if !account.Can() {
		t.Skip("a machine beside this one is made, which takes root: run these tests as root")
	}
	listen := neighbour(t)
	allowed, other := listen().Addr().(*net.TCPAddr), listen().Addr().(*net.TCPAddr)
	own, err := net.Listen("tcp4", "10.213.87.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	h := newHarness(t)
	sp := spec(1, "/bin/sh", "-c", `for a in "$@"; do perl -MIO::Socket::INET -e 'print "$ARGV[0] ", IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 3) ? "yes" : "no", "\n"' "$a"; done > "$HOME/reached"; : > "$HOME/done"; exec "$0"`,
		sample, allowed.String(), other.String(), own.Addr().String())
	sp.Stream = &guard.Stream{Network: string(catalog.Internet), Allow: []string{
		fmt.Sprintf("10.213.87.0/30:%d", allowed.Port), fmt.Sprintf("10.213.87.0/30:%d", own.Addr().(*net.TCPAddr).Port)}}
	s := h.up(sp)
	home := filepath.Join(s.dir, "home")
	await(t, "the attempts", func() bool { return exists(filepath.Join(home, "done")) })
	want := fmt.Sprintf("%v yes\n%v no\n%v no\n", allowed, other, own.Addr())
	if got := readFile(t, filepath.Join(home, "reached")); got != want {
		t.Errorf("reached:\n%swant:\n%s", got, want)
	}
	s.stop()
	s.exit()
	s.nothingLeft()
	if log := readFile(t, filepath.Join(h.root, "runs", "1.1", "guard.log")); strings.Contains(log, "cgroup stays") {
		t.Error(log)
	}
}
