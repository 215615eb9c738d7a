//go:build linux

package display_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// target is what an app that means harm knows of the host and of another session.
type target struct {
	Display  string   // of the other session
	Token    []byte   // in the environment of its processes
	Paths    []string // that a session must not see
	Abstract string   // an abstract socket of the host
	Services []string // addresses where the host listens
	Shared   int      // key of shared memory
	PIDs     []int    // of the other session and its guard
	Nested   bool
	Account  bool // sessions have accounts
}

// attack runs in a session, tries everything, and writes down what succeeded. What is to
// outlive a session is in TestHowASessionEnds.
func attack(argument string) error {
	var t target
	if err := json.Unmarshal([]byte(argument), &t); err != nil {
		return err
	}
	broken := map[string]string{}
	for name, try := range attacks(t) {
		if got := try(); got != "" {
			broken[name] = got
		}
	}
	b, err := json.Marshal(broken)
	if err != nil {
		return err
	}
	path := filepath.Join(os.Getenv("HOME"), "attacks")
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// attacks are what is tried; each says what it achieved, or "".
func attacks(t target) map[string]func() string {
	number := strings.TrimPrefix(t.Display, ":")
	dial := func(network, address string) string {
		c, err := net.DialTimeout(network, address, 2*time.Second)
		if err != nil {
			return ""
		}
		c.Close()
		return "connected to " + address
	}
	call := func(want syscall.Errno, number uintptr, args ...uintptr) string {
		var a [6]uintptr
		copy(a[:], args)
		r, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != want {
			return fmt.Sprintf("%d, %v; want %v", int(r), errno, want)
		}
		return ""
	}
	run := func(argv ...string) string {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err == nil {
			return fmt.Sprintf("%v: %s", argv, out)
		}
		return ""
	}
	all := map[string]func() string{
		"another display by its socket":        func() string { return dial("unix", "/tmp/.X11-unix/X"+number) },
		"another display by its abstract name": func() string { return dial("unix", "@/tmp/.X11-unix/X"+number) },
		"an abstract socket of the host":       func() string { return dial("unix", "@"+t.Abstract) },
		"another display by TCP": func() string {
			for _, s := range append(t.Services, "127.0.0.1:0", "10.0.2.2:0") {
				host, _, _ := net.SplitHostPort(s)
				if got := dial("tcp", net.JoinHostPort(host, "6001")); got != "" {
					return got
				}
			}
			return ""
		},
		"services of the host": func() (got string) {
			for _, s := range t.Services {
				host, port, _ := net.SplitHostPort(s)
				got += dial("tcp", s) + dial("tcp6", "[::ffff:"+host+"]:"+port) + dial("tcp", "10.0.2.2:"+port)
			}
			return got
		},
		"private addresses": func() (got string) {
			for _, a := range []string{"169.254.169.254:80", "10.0.0.1:80", "172.16.0.1:80", "192.168.0.1:80", "100.64.0.1:80", "[fd00::1]:80", "[fe80::1%tap0]:80", "10.0.2.2:53"} {
				began := time.Now()
				got += dial("tcp", a)
				if took := time.Since(began); took > time.Second && a[0] != '[' {
					got += fmt.Sprintf("%s is not refused, but silent", a)
				}
			}
			return got
		},
		"a name server of its own choice": func() string {
			c, err := net.Dial("udp", "192.0.2.53:53")
			if err != nil {
				return ""
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(2 * time.Second))
			if _, err := c.Write([]byte("x")); err != nil {
				return ""
			}
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				return "it is sent"
			}
			return ""
		},
		"to change the rules of its network": func() string {
			return run("nft", "flush", "ruleset") + run("unshare", "-Ur", "nft", "flush", "ruleset")
		},
		"to see other processes": func() (got string) {
			dirs, _ := filepath.Glob("/proc/[0-9]*")
			for _, dir := range dirs {
				for _, file := range []string{"environ", "cmdline"} {
					b, _ := os.ReadFile(filepath.Join(dir, file))
					if bytes.Contains(b, t.Token) || bytes.Contains(b, []byte(envRole+"=guard")) {
						got += fmt.Sprintf("%s/%s: %.100q ", dir, file, b)
					}
				}
			}
			if len(dirs) > 20 {
				got += fmt.Sprintf("%d processes", len(dirs))
			}
			return got
		},
		"to reach other processes": func() (got string) {
			for _, pid := range t.PIDs {
				if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
					continue // a number of its own
				}
				if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
					got += fmt.Sprintf("kill %d: %v ", pid, err)
				}
				if err := unix.PtraceAttach(pid); err == nil {
					got += fmt.Sprintf("ptrace %d ", pid)
				}
			}
			return got
		},
		"files of the host and of others": func() (got string) {
			for _, path := range append(t.Paths, "/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/ssl/private", "/root", "/home", "/boot", "/sys/kernel", "/var/lib", "/var/log",
				"/run/dbus/system_bus_socket", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/user", "/run/systemd", "/dev/mem", "/dev/kmsg", "/dev/net/tun", "/dev/vda", "/dev/fuse") {
				if _, err := os.Lstat(path); err == nil {
					got += path + " "
				}
			}
			return got
		},
		"D-Bus": func() string {
			return os.Getenv("DBUS_SESSION_BUS_ADDRESS") + os.Getenv("DBUS_SYSTEM_BUS_ADDRESS") + run("dbus-send", "--system", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames")
		},
		"to write where it may not": func() (got string) {
			for _, dir := range []string{"/", "/dev", "/usr/bin", "/etc", "/opt", "/run", "/proc/sys/kernel"} {
				if f, err := os.Create(filepath.Join(dir, "intruder")); err == nil {
					f.Close()
					got += dir + " "
				}
			}
			for _, file := range []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/etc/passwd", "/etc/resolv.conf"} {
				if f, err := os.OpenFile(file, os.O_WRONLY, 0); err == nil {
					f.Close()
					got += file + " "
				}
			}
			return got
		},
		"shared memory of others": func() string { return call(unix.ENOENT, unix.SYS_SHMGET, uintptr(t.Shared), 1, 0) },
		"setuid programs": func() string {
			status, _ := os.ReadFile("/proc/self/status")
			got := run("su", "-c", "true") + run("sudo", "-n", "true") + run("pkexec", "true") + run("mount", "-t", "tmpfs", "none", "/tmp")
			for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapAmb:\t0000000000000000", "Seccomp:\t2"} {
				if !strings.Contains(string(status), want) {
					got += "no " + want
				}
			}
			return got
		},
		"mounts": func() string {
			if err := unix.Mount("none", "/tmp", "tmpfs", 0, ""); err == nil {
				return "mounted"
			}
			return call(unix.ENOSYS, unix.SYS_FSOPEN) + call(unix.ENOSYS, unix.SYS_CLONE3)
		},
		"raw sockets": func() (got string) {
			for _, s := range [][2]int{{unix.AF_INET, unix.SOCK_RAW}, {unix.AF_PACKET, unix.SOCK_RAW}, {unix.AF_VSOCK, unix.SOCK_STREAM}, {unix.AF_ALG, unix.SOCK_SEQPACKET}} {
				if fd, err := unix.Socket(s[0], s[1], 0); err == nil {
					unix.Close(fd)
					got += fmt.Sprint(s)
				}
			}
			return got
		},
		"io_uring":    func() string { return call(unix.EPERM, unix.SYS_IO_URING_SETUP, 1, 0) },
		"keyctl":      func() string { return call(unix.EPERM, unix.SYS_KEYCTL) + call(unix.EPERM, unix.SYS_ADD_KEY) },
		"bpf":         func() string { return call(unix.EPERM, unix.SYS_BPF) },
		"perf":        func() string { return call(unix.EPERM, unix.SYS_PERF_EVENT_OPEN) },
		"userfaultfd": func() string { return call(unix.EPERM, unix.SYS_USERFAULTFD) },
		"setns":       func() string { return call(unix.EPERM, unix.SYS_SETNS, 0, 0) },
		"to type into a terminal": func() string {
			f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
			if err != nil {
				return err.Error()
			}
			defer f.Close()
			c := byte('x')
			return call(unix.EPERM, unix.SYS_IOCTL, f.Fd(), unix.TIOCSTI, uintptr(unsafe.Pointer(&c))) +
				call(unix.EPERM, unix.SYS_IOCTL, f.Fd(), unix.TIOCSTI|1<<32, uintptr(unsafe.Pointer(&c)))
		},
		"terminals of others": func() string {
			names, _ := filepath.Glob("/dev/pts/*")
			if slices.ContainsFunc(names, func(n string) bool { return n != "/dev/pts/ptmx" }) {
				return fmt.Sprint(names)
			}
			return ""
		},
		"core dumps": func() string {
			var l unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil || l.Max != 1 {
				return fmt.Sprintf("%+v, %v", l, err)
			}
			return ""
		},
		"open files that it was not given": func() (got string) {
			for fd := 3; fd < 100; fd++ {
				link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
				// This program's own are closed when it runs another.
				flags, ferr := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
				if err == nil && ferr == nil && flags&unix.FD_CLOEXEC == 0 {
					got += fmt.Sprintf("%d: %s ", fd, link)
				}
			}
			return got
		},
		"to fill /tmp": func() string {
			f, err := os.Create("/tmp/big")
			if err != nil {
				return err.Error()
			}
			defer os.Remove("/tmp/big")
			defer f.Close()
			block := make([]byte, 1<<20)
			for range 64 {
				if _, err := f.Write(block); err != nil {
					return ""
				}
			}
			return "64 MiB"
		},
		"to be root": func() string {
			u, err := user.Current()
			if err != nil || u.Username != "root_u" || u.Uid == "0" || os.Getenv("USER") != "root_u" {
				return fmt.Sprintf("%+v, %v", u, err)
			}
			return ""
		},
		"to put something in the place of its display's socket": func() string {
			socket := filepath.Join(filepath.Dir(os.Getenv("HOME")), "display", "rfb.sock")
			if err := os.Rename(socket, socket+".mine"); err != nil {
				return ""
			}
			if t.Account {
				return "renamed"
			}
			// Without an account of its own the folder is the session's. It only harms
			// itself: see TestSocketReplaced.
			if err := os.Rename(socket+".mine", socket); err != nil {
				return err.Error()
			}
			return ""
		},
	}
	if t.Nested {
		// It may make namespaces, which give it no rights to what is around them.
		all["a nested sandbox"] = func() string {
			if out, err := exec.Command("unshare", "-Ur", "true").CombinedOutput(); err != nil {
				return fmt.Sprintf("there is none: %v: %s", err, out)
			}
			return run("unshare", "-Ur", "chmod", "777", "/etc/passwd") + run("unshare", "-Ur", "mount", "-o", "remount,rw", "/usr") + run("unshare", "-Ur", "ip", "link", "set", "lo", "down")
		}
	} else {
		all["new user namespaces"] = func() string {
			return run("unshare", "-U", "true") + call(unix.EPERM, unix.SYS_UNSHARE, unix.CLONE_NEWUSER) + call(unix.EPERM, unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD))
		}
	}
	return all
}
