//go:build linux

package host_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// small gives a machine, which does not run yet, a disk of its own. Only root can mount one,
// and only where the machine lets it.
func (m *machine) small(options string) {
	m.t.Helper()
	if os.Geteuid() != 0 {
		m.t.Skip("a small disk of its own is mounted, which takes root: run these tests as root")
	}
	state, err := os.ReadFile(filepath.Join(m.dir, "state", "agent.json"))
	if err != nil {
		m.t.Fatal(err)
	}
	marks, err := os.ReadFile(filepath.Join(m.dir, "state", "marks.json"))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := unix.Mount("none", m.dir, "tmpfs", 0, options+",mode=0711"); errors.Is(err, unix.EPERM) {
		m.t.Skipf("a small disk of its own cannot be mounted: this root lacks CAP_SYS_ADMIN (%v)", err)
	} else if err != nil {
		m.t.Fatalf("mount a small disk: %v", err)
	}
	m.beforeRemove = func() {
		if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
			m.t.Error(err)
		}
	}
	err = os.MkdirAll(filepath.Join(m.dir, "state", "sessions"), 0o700)
	for name, b := range map[string][]byte{"agent.json": state, "marks.json": marks} {
		err = errors.Join(err, os.WriteFile(filepath.Join(m.dir, "state", name), b, 0o600))
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// fill takes all the room on the disk, to the last byte, and returns how to give it back.
func (m *machine) fill() (free func()) {
	m.t.Helper()
	path := filepath.Join(m.dir, "big")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(bytes.Repeat([]byte("x"), size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			m.t.Error(err)
		}
	}
}

const fullDisk = "The host's disk is full"

// The disk is full before a session is launched: it fails and says so, and so does one whose
// app fills the disk at its start. With room again the next one comes up.
func TestDiskFullAtStart(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 5)
	m := enrol(t, s)
	m.small("size=40m")
	m.start()
	// The first session makes the folders, and shows that there was room.
	first := launch(t, s, app)
	is(t, s, first, session.Connected)
	s.Act(first, session.Kill, "")
	m.nothing(pids()...)
	m.forgotten()

	free := m.fill()
	id := launch(t, s, app)
	if st := is(t, s, id, session.Failed); st.Reason != fullDisk {
		t.Errorf("to the last byte: reason %q", st.Reason)
	}
	m.nothing()
	if m.cmd.Process.Signal(syscall.Signal(0)) != nil {
		t.Fatal("the host has ended")
	}
	free()
	m.wrote(t, long, "the disk has room again")
	next := launch(t, s, app)
	is(t, s, next, session.Connected)
	s.Act(next, session.Kill, "")
	m.nothing(pids()...)
	m.forgotten()
	if st := s.Session(id); st.Status != session.Failed || st.Run != 0 {
		t.Errorf("what had failed: %+v", st)
	}
}

// Little room: enough for the host's own, not for a session; and an app that fills the disk.
func TestDiskFullByApps(t *testing.T) {
	t.Parallel()
	s, app, _ := organisation(t, 5, "sh", "-c", `echo "writing $HOME"; cat /dev/zero > "$HOME/big"; exit 1`)
	m := enrol(t, s)
	m.small("size=40m")
	m.start()
	id := launch(t, s, app)
	if st := is(t, s, id, session.Failed); !strings.Contains(st.Reason, fullDisk) {
		t.Errorf("reason %q", st.Reason)
	}
	m.nothing()
	m.forgotten()
	if err := os.WriteFile(filepath.Join(m.dir, "big"), make([]byte, 30<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	id = launch(t, s, app)
	if st := is(t, s, id, session.Failed); !strings.Contains(st.Reason, fullDisk) {
		t.Errorf("reason %q", st.Reason)
	}
	m.nothing()
	m.forgotten()
}

// The disk fills up while sessions run. They go on under leases that are renewed, a kill is
// carried out, nothing that is not so is told, and with room again all that was is told.
func TestDiskFullWhileRunning(t *testing.T) {
	t.Parallel()
	s, app, pids := organisation(t, 5)
	m := enrol(t, s)
	m.small("size=64m")
	m.start()
	stays := launch(t, s, app)
	is(t, s, stays, session.Connected)
	pid := pids()[0]
	killed := launch(t, s, app)
	is(t, s, killed, session.Connected)
	m.displays()
	free := m.fill()
	m.wrote(t, long, "disk of the state folder is full")

	// One goes on for longer than a lease.
	l := s.Session(stays).Lease
	servertest.Eventually(t, long, "its lease is renewed, and again", func() bool {
		now := s.Session(stays)
		return now.Lease != nil && now.Lease.GrantedAt > l.ExpiresAt
	})
	if st := s.Session(stays); st.Status != session.Connected || !alive(pid) || st.Problem != fullDisk {
		t.Errorf("%s, its app is alive: %v, problem %q", st.Status, alive(pid), st.Problem)
	}
	// Nothing new is taken.
	if _, err := s.Control.Launch(t.Context(), s.User, app, 0); err == nil {
		t.Error("a session is launched on a host with two slots that has two")
	}
	// A kill is carried out, and not said to be stored as long as it is not.
	var other int
	for _, p := range pids() {
		if p != pid {
			other = p
		}
	}
	s.Act(killed, session.Kill, "it hangs")
	servertest.Eventually(t, long, "the kill is carried out", func() bool { return !alive(other) })
	ended := time.Now()
	if st := s.Session(killed); st.Observed != session.IsRunning || !st.Order.Open() || st.Stored != 0 {
		t.Errorf("told what is not on the disk: %+v", st)
	}
	if err := m.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("the host has ended: %v", err)
	}
	free()
	servertest.Eventually(t, long, "the order is closed", func() bool { return !s.Session(killed).Order.Open() })
	st := s.Session(killed)
	if st.Order.ClosedBy != session.ByAgent || st.Order.Already || st.ObservedSince.Sub(ended).Abs() > force {
		t.Errorf("ended at %v; observed since %v, order %+v", ended, st.ObservedSince, st.Order)
	}
	if st := is(t, s, stays, session.Connected); st.Run != 1 || !alive(pid) {
		t.Errorf("run %d, its app is alive: %v", st.Run, alive(pid))
	}
	servertest.Eventually(t, long, "all is well again", func() bool { return s.Session(stays).Problem == "" })
	next := launch(t, s, app)
	is(t, s, next, session.Connected)
	s.Act(next, session.Kill, "")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if st := is(t, s, stays, session.Disconnected); st.Reason != "the app was closed" {
		t.Errorf("reason %q", st.Reason)
	}
	m.nothing(pids()...)
	m.forgotten()
}
