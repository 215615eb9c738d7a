package stage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/sessionnet"
	"leasehold/internal/agent/untrusted"
	"leasehold/internal/catalog"
)

// runSandboxed makes the sandbox and stays until it is gone. What the process in
// it tells is taken as what any app might say.
func (s *session) runSandboxed(ctx context.Context) Outcome {
	const what = "The host could not start the session: "
	if err := s.confine(); err != nil {
		return s.notUp(what, err)
	}
	conn, box, connected, err := s.startSandbox()
	if err != nil {
		return s.notUp(what, err)
	}
	defer conn.Close()
	out := json.NewEncoder(conn)
	config := s.config
	config.Account, config.Registry = 0, ""
	config.Login = s.config.login() // in the sandbox the name would look taken: by the account itself
	if err := out.Encode(task{s.dir, config}); err != nil {
		return s.notUp(what, errors.Join(err, errors.New(box.out.lastLine())))
	}
	messages := make(chan told)
	go listen(conn, messages)
	var outcome *Outcome
	closing, up := ctx.Done(), false
	for {
		select {
		case <-closing:
			closing, s.asked = nil, true
			_ = out.Encode(order{Close: true}) // force follows
		case m, ok := <-messages:
			switch {
			case !ok:
				// It says nothing any more: the sandbox goes, whatever is in it.
				_ = box.cmd.Process.Kill()
				<-box.done
				return s.sandboxOutcome(outcome, up, box)
			case m.Outcome != nil:
				outcome = m.Outcome
				conn.Close()
			case m.Display != "" && s.display == "":
				if err := s.showDisplay(m.Display); err != nil {
					return s.notUp("The display did not come up: ", err)
				}
				if err := <-connected; err != nil {
					return s.notUp(what, err)
				}
				_ = out.Encode(order{Go: true})
			case m.Ready != nil && s.display != "" && !up:
				if err := s.writeReady(s.hostNumbers(box.pid(), m.Ready)); err != nil {
					return s.notUp("The host could not tell that the app is up: ", err)
				}
				up = true
			}
		}
	}
}

// startSandbox starts the sandbox with the process inside, and returns the
// connection to that, and a channel that says once whether it has its network: the app
// does not start before.
func (s *session) startSandbox() (_ net.Conn, _ *child, connected <-chan error, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "inside"), os.NewFile(uintptr(pair[1]), "stage")
	conn, err := net.FileConn(ours)
	err = errors.Join(err, ours.Close())
	defer theirs.Close()
	if err != nil {
		return nil, nil, nil, err
	}
	c, connected, err := s.launch(theirs)
	if err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	return conn, c, connected, nil
}

// launch starts the sandbox, with the network that the session is to have.
func (s *session) launch(theirs *os.File) (*child, <-chan error, error) {
	network, servers, err := s.network()
	if err != nil {
		return nil, nil, err
	}
	connected := make(chan error, 1)
	box, argv, err := s.sandbox(theirs, network != nil || s.config.Network == string(catalog.HostNetwork), servers)
	if err != nil {
		if network != nil {
			err = errors.Join(err, network.Close())
		}
		return nil, nil, err
	}
	defer box.Close()
	cmd := box.Command(argv)
	cmd.Env = insideEnvironment()
	if network == nil {
		connected <- nil
		c, err := s.launcher.start(cmd, os.Stdout)
		return c, connected, err
	}
	network.Wrap(cmd)
	c, err := s.launcher.start(cmd, os.Stdout)
	if err != nil {
		return nil, nil, errors.Join(err, network.Close())
	}
	go func() {
		defer network.Close()
		connected <- s.connect(network, c)
	}()
	return c, connected, nil
}

// connect connects the network of the sandbox.
func (s *session) connect(network *sessionnet.Network, box *child) error {
	var helper *child
	err := network.Connect(box.pid(), s.uid(), func(cmd *exec.Cmd, uid int) (err error) {
		cmd.Dir, cmd.Env = "/", []string{}
		if uid == os.Getuid() {
			uid = 0 // ours
		}
		helper, err = s.launcher.startAs(uid, cmd, io.Discard)
		return err
	})
	if err == nil {
		return nil
	}
	last := ""
	if helper != nil {
		last = ": " + helper.out.lastLine()
	}
	return fmt.Errorf("%w: %w%s", errNoNetwork, err, last)
}

// errNoNetwork means that the host cannot give the session the network that it is to
// have. It gets no other instead.
var errNoNetwork = errors.New("the host cannot give the session a network")

// network begins the network of the session; nil if it is not one of its own.
func (s *session) network() (n *sessionnet.Network, servers []string, err error) {
	switch catalog.Network(s.config.Network) {
	case catalog.NoNetwork:
		return nil, nil, nil
	case catalog.HostNetwork:
		// Those of the host, as far as they are not written by somebody else.
		b, err := untrusted.ReadFile("/etc/resolv.conf", 64<<10)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 2 && f[0] == "nameserver" {
				servers = append(servers, f[1])
			}
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
			err = nil
		}
		return nil, servers, err
	}
	if err := sessionnet.Check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoNetwork, err)
	}
	p := sessionnet.Policy{Allow: s.config.Allow, Resolvers: s.config.Resolvers}
	if p.Host, err = sessionnet.HostAddresses(); err != nil {
		return nil, nil, err
	}
	n, err = sessionnet.New(p, s.uid())
	return n, p.Servers(), err
}

// uid is the user number of the session.
func (s *session) uid() int {
	if s.config.Account > 0 {
		return s.config.Account
	}
	return os.Getuid()
}

// sandbox makes the sandbox and the command line of the process inside.
func (s *session) sandbox(theirs *os.File, shared bool, servers []string) (box *sandbox.Sandbox, argv []string, err error) {
	in := func(name string) string { return filepath.Join(s.dir, name) }
	size := s.config.Scratch
	if size == 0 {
		size = DefaultScratch
	}
	box, err = sandbox.New(sandbox.Spec{
		UID: s.uid(), Login: s.config.login(), Name: s.config.Name, Home: in(homeDir),
		Own:     []string{in(homeDir), in(displayDir)},
		Scratch: []sandbox.Scratch{{Path: in(tmpDir), Bytes: size, Mode: "0700"}, {Path: in(runDir), Bytes: size, Mode: "0700"}},
		Shares:  s.config.Shares, Size: size, Nested: s.config.Nested, Network: shared, Resolvers: servers,
	}, theirs)
	if err != nil {
		return nil, nil, err
	}
	self, err := os.Executable()
	var name string
	if err == nil {
		name, err = box.Executable(self)
	}
	if err != nil {
		return nil, nil, errors.Join(err, box.Close())
	}
	for _, arg := range s.config.Inside {
		if arg == self {
			arg = name
		}
		argv = append(argv, arg)
	}
	box.Seal()
	return box, argv, nil
}

// insideEnvironment is what the process inside sees of ours.
func insideEnvironment() []string {
	env := []string{"PATH=" + os.Getenv("PATH")}
	for _, kv := range os.Environ() {
		k, _, _ := strings.Cut(kv, "=")
		if k == "LANG" || k == "TZ" || k == "LANGUAGE" || strings.HasPrefix(k, "LC_") || k == guard.EnvRun || k == guard.EnvToken {
			env = append(env, kv)
		}
	}
	return env
}

// listen passes on what the process inside says, as long as it makes sense.
func listen(conn net.Conn, messages chan<- told) {
	defer close(messages)
	lines := bufio.NewScanner(io.LimitReader(conn, 16*messageLimit))
	lines.Buffer(nil, messageLimit)
	for lines.Scan() {
		var m told
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			return
		}
		messages <- m
		if m.Outcome != nil {
			return
		}
	}
}

var displayName = regexp.MustCompile(`^:[0-9]{1,5}$`)

// showDisplay notes which display the session has, and protects its socket.
func (s *session) showDisplay(name string) error {
	if !displayName.MatchString(name) {
		return errors.New("it has no number")
	}
	s.display = name
	return s.protect()
}

// sandboxOutcome is how the session has ended.
func (s *session) sandboxOutcome(o *Outcome, up bool, box *child) Outcome {
	if o == nil {
		reason := "The session's processes were ended"
		if !up {
			reason = "The host could not start the session: " + box.out.lastLine()
			return Outcome{Cause: NotUp, Code: ExitStart, Reason: reason}
		}
		return Outcome{Cause: AppEnded, Code: 128 + int(syscall.SIGKILL), Reason: reason}
	}
	clear := Outcome{Cause: o.Cause, Code: min(max(o.Code, 0), 255), Reason: clean([]byte(o.Reason))}
	if !slices.Contains([]Cause{AppEnded, Asked, NotUp, DisplayEnded, ManagerEnded}, o.Cause) {
		clear.Cause = AppEnded
	}
	if s.asked {
		clear.Reason = ""
	}
	return clear
}

// hostNumbers translates process numbers of the sandbox below the process root
// into those of this machine. Those that are not there are left out.
func (s *session) hostNumbers(root int, inside map[string]int) map[string]int {
	pids := make(map[string]int)
	procs, err := procfs.AllProcs()
	if err != nil {
		return pids
	}
	parent, inner := make(map[int]int), make(map[int]int)
	for _, p := range procs {
		parent[p.PID], inner[p.PID] = numbers(p.PID)
	}
	below := func(pid int) bool {
		for range len(procs) {
			if pid = parent[pid]; pid == root {
				return true
			}
		}
		return false
	}
	for pid, number := range inner {
		if number == 0 || !below(pid) {
			continue
		}
		for _, name := range []string{"display", "manager", "app", "inside"} {
			if inside[name] == number {
				pids[name] = pid
			}
		}
	}
	return pids
}

// numbers returns a process's parent, and its number one namespace further in; 0
// if it is in none.
func numbers(pid int) (parent, inner int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		switch {
		case len(f) == 2 && f[0] == "PPid:":
			parent, _ = strconv.Atoi(f[1])
		case len(f) > 2 && f[0] == "NSpid:":
			inner, _ = strconv.Atoi(f[2])
		}
	}
	return parent, inner
}
