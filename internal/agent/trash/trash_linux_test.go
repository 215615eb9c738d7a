package trash_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/trash"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a folder in memory, where there is one: these tests make a hundred
// thousand folders, which says nothing more on a disk.
func place(t *testing.T) string {
	t.Helper()
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil || os.Getenv("TMPDIR") != "" {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "trash")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// nested makes a tree of that depth, with a file on each hundredth level.
func nested(t *testing.T, dir string, depth int) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o700))
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	for i := range depth {
		name := strings.Repeat("d", 1+i%200)
		must(t, unix.Mkdirat(fd, name, 0o700))
		if i%100 == 0 {
			f, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
			must(t, err)
			must(t, unix.Close(f))
		}
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd))
}

// A tree that is deeper than there are descriptors, or than a path is long.
func TestDeep(t *testing.T) {
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: old.Max}))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	dir := filepath.Join(place(t), "deep")
	nested(t, dir, 45_000)
	must(t, trash.Remove(t.Context(), dir))
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What is broken off is taken up again, and the name is free at once.
func TestTakenUpAgain(t *testing.T) {
	root := place(t)
	dir, bin := filepath.Join(root, "1.1"), filepath.Join(root, ".trash")
	nested(t, dir, 20_000)
	must(t, trash.Move(dir, bin))
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its name is not free: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if err := trash.Empty(ctx, bin); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it was not broken off: %v", err)
	}
	must(t, trash.Empty(t.Context(), bin))
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	must(t, trash.Empty(t.Context(), bin))
	must(t, trash.Move(dir, bin))
	must(t, trash.Empty(t.Context(), bin))
}

// Many files, links, pipes, and folders without rights to them: only they go.
func TestMixed(t *testing.T) {
	root := place(t)
	outside := filepath.Join(root, "outside")
	must(t, os.WriteFile(outside, []byte("precious"), 0o600))
	must(t, os.Mkdir(filepath.Join(root, "photos"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "photos", "one"), nil, 0o600))
	dir := filepath.Join(root, "home")
	for i := range 20 {
		sub := filepath.Join(dir, fmt.Sprint(i), "sub")
		must(t, os.MkdirAll(sub, 0o700))
		for j := range 300 {
			must(t, os.WriteFile(filepath.Join(sub, fmt.Sprint(j)), nil, 0))
		}
		must(t, os.Symlink(outside, filepath.Join(sub, "link")))
		must(t, os.Symlink(filepath.Join(root, "photos"), filepath.Join(sub, "folder")))
		must(t, syscall.Mkfifo(filepath.Join(sub, "pipe"), 0))
		must(t, os.WriteFile(filepath.Join(sub, "line\nbreak\x1b[31m"), nil, 0))
		must(t, os.Chmod(sub, 0))
		must(t, os.Chmod(filepath.Dir(sub), []os.FileMode{0, 0o500, 0o300, 0o1777}[i%4]))
	}
	must(t, trash.Remove(t.Context(), dir))
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(root, "photos", "one")); err != nil {
		t.Error(err)
	}
}

// The same as a user who is not root, for whom rights matter.
func TestMixedWithoutRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it runs without root anyway")
	}
	dir := place(t)
	self := filepath.Join(dir, "test")
	b, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(self, b, 0o755))
	must(t, os.Chmod(dir, 0o755))
	tmp := filepath.Join(dir, "tmp")
	must(t, os.Mkdir(tmp, 0o700))
	must(t, os.Chown(tmp, 61007, 61007))
	cmd := exec.Command(self, "-test.run=^TestMixed$|^TestDeep$")
	cmd.Env, cmd.Dir = []string{"TMPDIR=" + tmp}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61007, Gid: 61007}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A process that goes on writing loses, or is told of in one short line.
func TestWriter(t *testing.T) {
	dir := filepath.Join(place(t), "home")
	must(t, os.Mkdir(dir, 0o700))
	writer := exec.Command("/bin/sh", "-c", `cd "$1"; i=0; while :; do i=$((i+1)); mkdir -p "$1/a/$i/b" 2>/dev/null; mkdir -p x/$i/b; : > x/$i/f; done 2>/dev/null`, "sh", dir)
	must(t, writer.Start())
	defer func() {
		_ = writer.Process.Kill()
		_ = writer.Wait()
	}()
	time.Sleep(50 * time.Millisecond)
	bin := filepath.Join(filepath.Dir(dir), "bin")
	must(t, trash.Move(dir, bin))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := trash.Empty(ctx, bin); err != nil && len(err.Error()) > 1000 {
		t.Errorf("%d bytes of error", len(err.Error()))
	}
	_ = writer.Process.Kill()
	_ = writer.Wait()
	must(t, trash.Empty(t.Context(), bin))
	if _, err := os.Lstat(bin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}
