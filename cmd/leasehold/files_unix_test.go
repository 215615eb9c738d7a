//go:build unix

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The signing key was readable by everybody in a folder that was made by hand.
func TestServersFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, err := range []error{
		os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777),
		os.WriteFile(filepath.Join(dir, "leasehold.db-journal"), nil, 0o644), os.Chmod(filepath.Join(dir, "leasehold.db-journal"), 0o666),
		os.Symlink("/etc/hostname", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.Stat("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	was077 := syscall.Umask(0)
	defer syscall.Umask(was077)
	privateFiles()
	c := &serverCmd{Data: dir}
	st, err := c.open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	n := 0
	filepath.WalkDir(dir, func(path string, d os.DirEntry, werr error) error {
		if werr != nil {
			t.Fatal(werr)
		}
		info, err := d.Info()
		if err != nil || info.Mode()&os.ModeSymlink != 0 {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if n++; info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v", d.Name(), info.Mode())
		}
		return nil
	})
	if n < 4 {
		t.Errorf("%d files", n)
	}
	if is, err := os.Stat("/etc/hostname"); err != nil || is.Mode() != was.Mode() {
		t.Errorf("a link was followed: %v, %v", is.Mode(), err)
	}
}
