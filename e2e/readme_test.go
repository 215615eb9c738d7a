//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readmeAddress is where the README has its server.
const readmeAddress = "http://127.0.0.1:8080"

// shows is a command whose comment says what its output has in the end.
var shows = regexp.MustCompile(`(?m)^(bin/\S.*\S) {2,}# (\S.*)$`)

// TestReadme does what the README says about one's own machine, in three terminals, with
// the README's own commands: from an empty folder to an app that was seen running and was
// evicted. Only the address differs.
func TestReadme(t *testing.T) {
	blocks := readmeBlocks(t, "On your own machine")
	if len(blocks) != 4 {
		t.Fatalf("%d blocks of commands, want 4", len(blocks))
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{leasehold, sample} {
		b, err := os.ReadFile(program)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "bin", filepath.Base(program)), b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	t.Cleanup(func() { killIn(t, dir) })

	const build = "make build\n"
	if !strings.HasPrefix(blocks[0], build) {
		t.Fatalf("it does not begin with %s", build)
	}
	server := terminal(t, dir, address, strings.TrimPrefix(blocks[0], build))
	eventually(t, 30*time.Second, "the server is ready", func() bool {
		resp, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	player := terminal(t, dir, address, blocks[1])
	eventually(t, 30*time.Second, "the device is enrolled", func() bool { return len(player.find("is enrolled")) > 0 })

	third := blocks[2] + blocks[3]
	if n := len(shows.FindAllString(third, -1)); n < 3 {
		t.Errorf("%d commands say what they show", n)
	}
	// What a command shows takes a moment, so it is repeated until it does.
	third = shows.ReplaceAllString(third, `for i in $(seq 300); do out=$$($1); grep -qF "$2" <<<"$$out" && break; sleep 0.1; done; echo "$$out"; grep -F "$2" <<<"$$out"`)
	cmd := bash(t, dir, address, third)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "My app") {
		t.Fatalf("third terminal: %v\n%s\nserver:\n%s\nplayer:\n%s", err, out, server.tail(50), player.tail(100))
	}
	if len(player.find("First try")) == 0 {
		t.Errorf("the player does not warn with the reason:\n%s", player.tail(100))
	}
}

// readmeBlocks are the blocks of commands in a section of the README.
func readmeBlocks(t *testing.T, section string) (out []string) {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("the README has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for i, part := range strings.Split(text, "\n```\n") {
		if i%2 == 1 {
			out = append(out, part+"\n")
		}
	}
	return out
}

// bash is a shell that runs a script in a folder, and gives up at what fails.
func bash(t *testing.T, dir, address, script string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, readmeAddress, "http://"+address))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LEASEHOLD_LISTEN="+address, "LEASEHOLD_SERVER=http://"+address)
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// terminal runs a script that ends with a program which does not end by itself.
func terminal(t *testing.T, dir, address, script string) *output {
	t.Helper()
	out := &output{}
	cmd := bash(t, dir, address, script)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
	})
	return out
}

// killIn ends what still runs of the programs in a folder.
func killIn(t *testing.T, dir string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(exe, dir+"/") {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
