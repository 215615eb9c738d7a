package sessionnet

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// programs are those that a network needs, and the Debian packages they are in.
var programs = []struct{ name, pkg string }{{"slirp4netns", "slirp4netns"}, {"nft", "nftables"}, {"ip", "iproute2"}, {"unshare", "util-linux"}}

// path is where they are; nft is not in every user's.
const path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

// Check reports why this machine can give no session a network of its own; nil if it can.
func Check() error {
	for _, p := range programs {
		if look(p.name) == "" {
			return fmt.Errorf("%s is not installed (Debian: %s)", p.name, p.pkg)
		}
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("no network for sessions: %w", err)
	}
	return f.Close()
}

// look returns where a program is.
func look(name string) string {
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"} {
		if info, err := os.Stat(dir + "/" + name); err == nil && info.Mode()&0o111 != 0 {
			return dir + "/" + name
		}
	}
	return ""
}

// script prepares the network namespace, in which and around which it is root of a
// user namespace that the session is not in, and becomes the session's command, which waits
// for neither: its display comes up meanwhile. Not every sh can redirect a descriptor of two
// digits, so they are opened by their paths.
const script = `PATH=` + path + `
{ nft -f "/proc/self/fd/$1" && ip link set lo up && echo ready || echo failed; } > "/proc/self/fd/$2" &
shift 2
exec "$@"`

// Network is one that is being made.
type Network struct {
	files  []*os.File // of the process: rules, status
	status *os.File
}

// New begins a network for a session of the account uid.
func New(p Policy, uid int) (*Network, error) {
	rules, err := p.Rules()
	if err != nil {
		return nil, err
	}
	n := &Network{}
	fd, err := unix.MemfdCreate("rules", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "rules")
	n.files = append(n.files, f)
	if _, err := f.WriteAt([]byte(rules), 0); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	statusR, statusW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.status, n.files = statusR, append(n.files, statusW)
	for _, f := range n.files {
		// The account opens them anew.
		if err := f.Chown(uid, uid); err != nil && os.Geteuid() == 0 {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// Close closes what New has opened.
func (n *Network) Close() error {
	var errs []error
	for _, f := range append(n.files, n.status) {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	n.files, n.status = nil, nil
	return errors.Join(errs...)
}

// Wrap makes a command run in the network. It must be started by the session's account.
// Until Connect has returned nothing may run in it that could tell a network from none.
func (n *Network) Wrap(cmd *exec.Cmd) {
	args := []string{"unshare", "--user", "--map-root-user", "--net", "--", "/bin/sh", "-c", script, "sh"}
	for _, f := range n.files {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		args = append(args, strconv.Itoa(2+len(cmd.ExtraFiles)))
	}
	cmd.Args = append(args, cmd.Args...)
	cmd.Path = look("unshare")
}

// connectWithin bounds each step of Connect.
const connectWithin = 10 * time.Second

// ownDevice gives slirp4netns a device node of its own, where that of the host is root's alone: in
// a mount namespace, which nobody else sees. Who reads packets must not be root, so it then
// becomes the account.
const ownDevice = `PATH=` + path + `
mount -t tmpfs -o size=64k,mode=0755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200 || exit 97
uid=$1
shift
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --pdeathsig KILL "$@"`

// Connect connects the network of a wrapped command that has been started as the process
// pid: start starts slirp4netns, as the account uid or as root.
func (n *Network) Connect(pid, uid int, start func(cmd *exec.Cmd, uid int) error) error {
	for _, f := range n.files {
		f.Close() // the process has its own; so we see when that is gone
	}
	n.files = nil
	_ = n.status.SetReadDeadline(time.Now().Add(connectWithin))
	if line, err := bufio.NewReader(n.status).ReadString('\n'); err != nil || line != "ready\n" {
		return errors.New("the rules of the session's network cannot be made")
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyR.Close()
	args := []string{look("slirp4netns"), "--configure", "--mtu=1500", "--disable-host-loopback", "--enable-seccomp", "--ready-fd=3",
		fmt.Sprintf("--userns-path=/proc/%d/ns/user", pid), "--netns-type=path", fmt.Sprintf("/proc/%d/ns/net", pid), device}
	as := uid
	if info, err := os.Stat("/dev/net/tun"); err == nil && os.Geteuid() == 0 && info.Mode()&0o006 != 0o006 {
		args, as = append([]string{look("unshare"), "--mount", "--propagation", "private", "--", "/bin/sh", "-c", ownDevice, "sh", strconv.Itoa(uid)}, args...), 0
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{readyW}
	err = start(cmd, as)
	readyW.Close()
	if err != nil {
		return err
	}
	_ = readyR.SetReadDeadline(time.Now().Add(connectWithin))
	if _, err := readyR.Read(make([]byte, 1)); err != nil {
		return errors.New("slirp4netns gives the session no network")
	}
	return nil
}
