package page

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 100 0 0 10 0
   2: 0100007F:C351 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 3 1 0 100 0 0 10 0
   3: 0100007F:C352 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
`

// Another user of the machine who has read an address off a command line gets nothing.
func TestUserOfAConnection(t *testing.T) {
	for local, want := range map[string]bool{
		"0100007F:C350": true,  // ours
		"0100007F:C351": false, // another's
		"0100007F:C352": true,  // root's, who can do anything anyhow
		"0100007F:C353": true,  // not known
	} {
		if got := mayBe(strings.NewReader(table), local, 1001); got != want {
			t.Errorf("%s: %v, want %v", local, got, want)
		}
	}
	if sameUser("[::1]:80") || sameUser("nothing") {
		t.Error("what is no IPv4 address is taken for ours")
	}
}

// TestOtherUsers tries it with a process of this user's, and where the test may become
// another user with one of theirs.
func TestOtherUsers(t *testing.T) {
	if at := os.Getenv("CONNECT_TO"); at != "" {
		c, err := net.Dial("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, c) // until the other side has looked
		return
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// A copy that another user can run.
	dir, err := os.MkdirTemp("", "page")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "page.test")
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	users := map[uint32]bool{uint32(os.Getuid()): true}
	if os.Getuid() == 0 {
		users[65534] = false
	}
	for uid, want := range users {
		cmd := exec.Command(exe, "-test.run=^TestOtherUsers$")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CONNECT_TO="+l.Addr().String())
		if uid != uint32(os.Getuid()) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := sameUser(conn.RemoteAddr().String()); got != want {
			t.Errorf("a process of user %d: %v, want %v", uid, got, want)
		}
		conn.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
