package account_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/account"
)

// holder makes the folder of a session.
func holder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A number is lent once, until it is given back or its holder is gone.
func TestReserve(t *testing.T) {
	registry := filepath.Join(t.TempDir(), "accounts")
	two := account.Range{First: 61000, Last: 61001}
	a, b, c := holder(t, "a"), holder(t, "b"), holder(t, "c")
	first, err := account.Reserve(registry, two, a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := account.Reserve(registry, two, b)
	if err != nil || second == first {
		t.Fatalf("%d and %d, %v", first, second, err)
	}
	if _, err := account.Reserve(registry, two, c); !errors.Is(err, account.ErrNone) {
		t.Errorf("a third of two: %v", err)
	}
	// Only its holder gives it back.
	if err := account.Release(registry, first, b); err != nil {
		t.Error(err)
	}
	if _, err := account.Reserve(registry, two, c); !errors.Is(err, account.ErrNone) {
		t.Errorf("given back by another: %v", err)
	}
	if err := account.Release(registry, first, a); err != nil {
		t.Error(err)
	}
	if err := account.Release(registry, first, a); err != nil {
		t.Errorf("given back twice: %v", err)
	}
	if got, err := account.Reserve(registry, two, c); err != nil || got != first {
		t.Errorf("%d, %v; want %d", got, err, first)
	}
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	if got, err := account.Reserve(registry, two, a); err != nil || got != second {
		t.Errorf("of a holder that is gone: %d, %v; want %d", got, err, second)
	}
	if _, err := account.Reserve(registry, account.Range{}, a); err == nil {
		t.Error("an account of no range, which is root's")
	}
}

// The accounts of sessions get through the folder in which those are kept that are lent.
func TestThroughTheRegistry(t *testing.T) {
	root := t.TempDir()
	registry := filepath.Join(root, "leasehold", "accounts")
	if _, err := account.Reserve(registry, account.Range{First: 61_000, Last: 61_500}, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]os.FileMode{filepath.Dir(registry): 0o011, registry: 0} {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o011 != want {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

// Numbers that the machine knows, or that something runs as, are not lent.
func TestNotLent(t *testing.T) {
	registry := filepath.Join(t.TempDir(), "accounts")
	me := os.Getuid()
	if me == 0 {
		me = 61002
		sleeper(t, me)
		if got, err := account.Reserve(registry, account.Range{First: 1, Last: 1}, holder(t, "a")); !errors.Is(err, account.ErrNone) {
			t.Errorf("lent the system's user %d: %v", got, err)
		}
	}
	if got, err := account.Reserve(registry, account.Range{First: me, Last: me}, holder(t, "b")); !errors.Is(err, account.ErrNone) {
		t.Errorf("lent %d, as which something runs: %v", got, err)
	}
}

// sleeper starts a process of another user.
func sleeper(t *testing.T, uid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// Processes that fork a successor and exit are ended too.
func TestClearEndsForkChains(t *testing.T) {
	if !account.Can() {
		t.Skip("processes of another account are started, which takes root: run these tests as root")
	}
	const uid = 61005
	dir, err := os.MkdirTemp("", "lh")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	chain := exec.Command("/bin/sh", "-c", `n=0; c() { : > beat; n=$((n+1)); if [ $n -lt 5000 ]; then sleep 0.002; c & fi; exit 0; }; c`)
	chain.Dir = dir
	chain.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := chain.Run(); err != nil {
		t.Fatal(err)
	}
	beat := func() time.Time {
		info, err := os.Stat(filepath.Join(dir, "beat"))
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	began := beat()
	for beat().Equal(began) {
		time.Sleep(time.Millisecond)
	}
	if err := account.Clear(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	last := beat()
	time.Sleep(300 * time.Millisecond)
	if again := beat(); !again.Equal(last) {
		t.Errorf("the chain goes on, %v after it was cleared up", again.Sub(last))
	}
	if pids, err := account.Processes(uid); err != nil || len(pids) > 0 {
		t.Errorf("left: %v, %v", pids, err)
	}
}

// Nothing of an account is left, and nothing of anybody else is touched.
func TestClear(t *testing.T) {
	if err := account.Clear(t.Context(), 0); err == nil {
		t.Fatal("cleared up behind root")
	}
	const uid = 61003
	if !account.Can() {
		// Of an account that has nothing there is nothing to be cleared, by anybody.
		if err := account.Clear(t.Context(), uid); err != nil {
			t.Error(err)
		}
		return
	}
	mine := sleeper(t, uid)
	other := sleeper(t, uid+1)
	script := exec.Command("/bin/sh", "-c", `mkdir -p /tmp/account-test.$$/deep && touch /tmp/account-test.$$/deep/er /dev/shm/account-test.$$ && ipcmk -M 4096 -S 2 -Q`)
	script.Dir = "/"
	script.SysProcAttr = mine.SysProcAttr
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if pids, err := account.Processes(uid); err != nil || len(pids) != 1 || pids[0] != mine.Process.Pid {
		t.Errorf("processes %v, %v", pids, err)
	}
	ipc := func() (n int) {
		for _, kind := range []string{"shm", "sem", "msg"} {
			b, err := os.ReadFile("/proc/sysvipc/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			n += strings.Count(string(b), " "+strconv.Itoa(uid)+" ")
		}
		return n
	}
	if ipc() == 0 {
		t.Error("no IPC; this test proves nothing")
	}
	if err := account.Clear(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if n := ipc(); n > 0 {
		t.Errorf("%d of IPC are left", n)
	}
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		left, _ := filepath.Glob(dir + "/account-test.*")
		for _, path := range left {
			if info, err := os.Lstat(path); err == nil && info.Sys().(*syscall.Stat_t).Uid == uid {
				t.Errorf("left: %s", path)
			}
		}
	}
	done := make(chan error, 1)
	go func() { done <- mine.Wait() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("its process lives")
	}
	if err := unix.Kill(other.Process.Pid, 0); err != nil {
		t.Errorf("another's process was ended: %v", err)
	}
	if err := account.Clear(t.Context(), uid); err != nil {
		t.Errorf("again: %v", err)
	}
}
