package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/callfilter"
)

// Program is the one that makes sandboxes. It must be version 0.8 or later.
const Program = "bwrap"

// settings are the files and folders of /etc that a session sees: how programs
// look and are found, and whom they trust. Nothing with a secret, and nothing
// about who uses the machine.
var settings = []string{
	"alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "chromium", "chromium.d", "crypto-policies", "dconf",
	"debian_version", "default/locale", "emacs", "environment", "firefox", "fonts", "gai.conf", "glvnd", "gtk-2.0", "gtk-3.0", "gtk-4.0", "host.conf",
	"ImageMagick-6", "ImageMagick-7", "inputrc", "java-*", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "libreoffice", "locale.alias",
	"locale.conf", "localtime", "lsb-release", "magic", "magic.mime", "mime.types", "OpenCL", "os-release", "papersize", "perl", "pki/ca-trust",
	"pki/tls/certs", "profile", "profile.d", "protocols", "python3*", "rpc", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "terminfo",
	"timezone", "vim", "vulkan", "X11", "xdg",
}

// Sandbox is a sandbox that is to be started.
type Sandbox struct {
	spec  Spec
	args  []string
	files []*os.File // the first of them are the program's own
	mine  []*os.File // of files, to be closed when it has started
}

// New returns the sandbox for a spec. The program in it has files as its
// descriptors from 3 on, as with exec.Cmd. The caller closes it.
func New(spec Spec, files ...*os.File) (*Sandbox, error) {
	s := &Sandbox{spec: spec, files: files}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes what New has opened. The sandbox lives on.
func (s *Sandbox) Close() error {
	var errs []error
	for _, f := range s.mine {
		errs = append(errs, f.Close())
	}
	s.mine = nil
	return errors.Join(errs...)
}

// Command is the command that runs a program in the sandbox. It must be started
// by the session's account.
func (s *Sandbox) Command(argv []string) *exec.Cmd {
	cmd := exec.Command(Program, append(append(s.args, "--"), argv...)...)
	cmd.Dir, cmd.ExtraFiles = "/", s.files
	return cmd
}

// Executable lets a program of the host be run in the sandbox without showing it
// there, and returns the name to run it by. The account need not get to where it
// lies, but must be allowed to read and execute it.
func (s *Sandbox) Executable(path string) (name string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	return "/proc/self/fd/" + s.give(f), nil
}

// Pipe gives bubblewrap a descriptor for the purpose of an option, such as
// --info-fd, and takes it along in Close.
func (s *Sandbox) Pipe(option string, f *os.File) { s.add(option, s.give(f)) }

func (s *Sandbox) add(args ...string) { s.args = append(s.args, args...) }

// give hands a file on and returns its number there.
func (s *Sandbox) give(f *os.File) string {
	s.files, s.mine = append(s.files, f), append(s.mine, f)
	return strconv.Itoa(2 + len(s.files))
}

// data hands on a file with that content.
func (s *Sandbox) data(content []byte) (number string, err error) {
	fd, err := unix.MemfdCreate("sandbox", unix.MFD_CLOEXEC)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), "sandbox")
	number = s.give(f)
	if _, err := f.Write(content); err != nil {
		return "", err
	}
	_, err = f.Seek(0, 0)
	return number, err
}

func (s *Sandbox) build() error {
	s.add("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", hostname,
		"--die-with-parent", "--uid", strconv.Itoa(s.spec.UID), "--gid", strconv.Itoa(s.spec.UID))
	if !s.spec.Network {
		s.add("--unshare-net")
	}
	if !s.spec.Nested {
		s.add("--disable-userns")
	}
	filter, err := callfilter.For(s.spec.Nested)
	if err != nil {
		return err
	}
	number, err := s.data(filter)
	if err != nil {
		return err
	}
	s.add("--seccomp", number)
	s.programs()
	if err := s.accounts(); err != nil {
		return err
	}
	s.add("--proc", "/proc", "--dev", "/dev")
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		s.scratch(Scratch{dir, s.spec.Size, "1777"})
	}
	for _, share := range s.spec.Shares {
		if share.Write {
			s.add("--bind", share.Path, share.Path)
		} else {
			s.add("--ro-bind", share.Path, share.Path)
		}
	}
	for _, dir := range s.spec.Own {
		s.add("--bind", dir, dir)
	}
	for _, dir := range s.spec.Scratch {
		s.scratch(dir)
	}
	s.add("--chdir", "/")
	return nil
}

// Seal makes what is around the mounts unwritable. Nothing can be shown after it.
func (s *Sandbox) Seal() { s.add("--remount-ro", "/dev", "--remount-ro", "/") }

func (s *Sandbox) scratch(d Scratch) {
	s.add("--perms", d.Mode, "--size", strconv.FormatInt(max(d.Bytes, 1<<20), 10), "--tmpfs", d.Path)
}

// hostname is what every session calls its machine.
const hostname = "session"

// programs shows the programs of the host, and their settings.
func (s *Sandbox) programs() {
	for _, dir := range []string{"/usr", "/opt"} {
		if there(dir) {
			s.add("--ro-bind", dir, dir)
		}
	}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		// On most systems they are links into /usr.
		if target, err := os.Readlink(dir); err == nil {
			s.add("--symlink", target, dir)
		} else if there(dir) {
			s.add("--ro-bind", dir, dir)
		}
	}
	for _, pattern := range settings {
		found, _ := filepath.Glob(filepath.Join("/etc", pattern))
		for _, path := range found {
			s.add("--ro-bind-try", path, path)
		}
	}
	if there("/var/cache/fontconfig") {
		s.add("--ro-bind", "/var/cache/fontconfig", "/var/cache/fontconfig")
	}
}

// accounts writes the files that say who is who, and where names come from.
func (s *Sandbox) accounts() error {
	id := make([]byte, 16)
	if _, err := unix.Getrandom(id, 0); err != nil {
		return err
	}
	shell := "/bin/sh"
	if there("/bin/bash") {
		shell = "/bin/bash"
	}
	var resolvers strings.Builder
	for _, address := range s.spec.Resolvers {
		fmt.Fprintf(&resolvers, "nameserver %s\n", address)
	}
	for path, content := range map[string]string{
		"/etc/passwd": fmt.Sprintf("root:x:0:0:root:/:/usr/sbin/nologin\n%s:x:%d:%[2]d:%[3]s:%[4]s:%[5]s\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
			s.spec.Login, s.spec.UID, gecos(s.spec.Name), s.spec.Home, shell),
		"/etc/group":         fmt.Sprintf("root:x:0:\n%s:x:%d:\nnogroup:x:65534:\n", s.spec.Login, s.spec.UID),
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
		"/etc/hosts":         "127.0.0.1 localhost " + hostname + "\n::1 localhost\n",
		"/etc/hostname":      hostname + "\n",
		"/etc/resolv.conf":   resolvers.String(),
		"/etc/machine-id":    fmt.Sprintf("%x\n", id),
	} {
		number, err := s.data([]byte(content))
		if err != nil {
			return err
		}
		s.add("--ro-bind-data", number, path)
	}
	return nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkWithin bounds the attempt to make a sandbox.
const checkWithin = 10 * time.Second

// Check makes a sandbox for an account and runs nothing in it. The error is
// [ErrUnsupported], with the reason.
func Check(ctx context.Context, uid int, nested bool) error {
	if _, err := exec.LookPath(Program); err != nil {
		return fmt.Errorf("%w: %s is not installed (Debian: bubblewrap)", ErrUnsupported, Program)
	}
	s, err := New(Spec{UID: uid, Login: "user", Home: "/", Size: 1 << 20, Nested: nested})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer s.Close()
	s.Seal()
	cmd := s.Command([]string{"/bin/sh", "-c", "exit 0"})
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() != uid {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	killed := time.AfterFunc(checkWithin, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	defer killed.Stop()
	defer context.AfterFunc(ctx, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})()
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w: %s", ErrUnsupported, err, strings.TrimSpace(strings.ToValidUTF8(string(out[:min(len(out), 300)]), "")))
}
