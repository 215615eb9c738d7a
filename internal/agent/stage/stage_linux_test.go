package stage

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"leasehold/internal/agent/account"
)

func TestValid(t *testing.T) {
	for geometry, ok := range map[string]bool{
		"": true, "1280x800": true, "16384x16384": true, "10x10": true,
		"0x0": false, "1280": false, "1280x800x24": false, "-1x5": false, "16385x800": false, "99999x99999": false,
		"1280x800 -rfbport 5900": false, "1280x800\n": false,
	} {
		err := Config{Argv: []string{"true"}, Geometry: geometry}.Valid()
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", geometry, err)
		}
	}
	if err := (Config{}).Valid(); !errors.Is(err, ErrInvalid) {
		t.Errorf("no command: %v", err)
	}
}

// What a program printed last is remembered, however it prints it.
func TestLastLine(t *testing.T) {
	for _, c := range []struct{ printed, want string }{
		{"", ""},
		{"one\ntwo\n", "two"},
		{"one\ntwo", "two"},
		{"one\n\n  \n", "one"},
		{"bell\a and \x1b[31mred\r\n", "bell and [31mred"},
		{strings.Repeat("x", 100000) + "\n", strings.Repeat("x", lineLimit)},
		{"not \xff UTF-8", "not  UTF-8"},
	} {
		out, err := newTail(io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out.w, c.printed); err != nil {
			t.Fatal(err)
		}
		out.w.Close()
		if got := out.lastLine(); got != c.want {
			t.Errorf("%.20q: %.40q, want %.40q", c.printed, got, c.want)
		}
	}
}

// The X authority file is one that X programs read.
func TestAuthority(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, displayDir), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &session{dir: dir}
	if err := s.writeAuthority(4711); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.authority())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	out, err := exec.Command("xauth", "-f", s.authority(), "nlist").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "0100 ") || !strings.HasPrefix(lines[1], "ffff ") {
		t.Errorf("xauth reads %q", lines)
	}
}

// Only what is a session's folder is taken away, by however many at once.
func TestClean(t *testing.T) {
	root := place(t)
	if err := Clean(t.Context(), filepath.Join(root, "none")); err != nil {
		t.Errorf("a folder that is gone: %v", err)
	}
	precious := filepath.Join(root, "precious")
	if err := os.MkdirAll(filepath.Join(precious, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Clean(t.Context(), precious); !errors.Is(err, ErrInvalid) {
		t.Errorf("a folder that is no session's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(precious, "photos")); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(root, "1.1")
	lend := Lending{Registry: filepath.Join(root, "accounts")}
	if err := Prepare(dir, Config{Argv: []string{"true"}}, lend); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir, Config{Argv: []string{"true"}}, lend); !errors.Is(err, ErrExists) {
		t.Errorf("prepared twice: %v", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Clean(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

// Where the accounts of sessions could not reach it, no session is prepared.
func TestPassable(t *testing.T) {
	closed := filepath.Join(place(t), "closed")
	if err := os.MkdirAll(filepath.Join(closed, "sessions"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := Prepare(filepath.Join(closed, "sessions", "1.1"), Config{Argv: []string{"true"}}, Lending{Registry: filepath.Join(closed, "accounts")})
	if account.Can() && (err == nil || !strings.Contains(err.Error(), "cannot pass through")) || !account.Can() && err != nil {
		t.Errorf("got %v", err)
	}
}
