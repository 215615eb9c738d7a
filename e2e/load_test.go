//go:build linux

package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What the program may do before it begins: every command, player, host and guard pays for it.
const (
	maxLoadMillis = 15
	maxLoadBytes  = 4 << 20
)

// initLine is what the runtime says of a package's initialization with GODEBUG=inittrace=1.
var initLine = regexp.MustCompile(`^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes`)

// TestNothingIsComputedAtLoad bounds what all packages together take to be initialized. Of
// several runs the quickest counts: the machine may be busy.
func TestNothingIsComputedAtLoad(t *testing.T) {
	best, most, slow := 1e9, 0, ""
	for range 7 {
		cmd := exec.Command(leasehold, "version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		millis, bytes, packages := 0.0, 0, 0
		for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
			m := initLine.FindStringSubmatch(s.Text())
			if m == nil {
				continue
			}
			ms, err := strconv.ParseFloat(m[2], 64)
			n, err2 := strconv.Atoi(m[3])
			if err != nil || err2 != nil {
				t.Fatalf("%q", s.Text())
			}
			millis, bytes, packages = millis+ms, bytes+n, packages+1
		}
		if packages < 50 {
			t.Fatalf("only %d packages are told of:\n%s", packages, out)
		}
		most = max(most, bytes)
		if millis < best {
			best, slow = millis, string(out)
		}
	}
	t.Logf("%.1f ms, %d bytes", best, most)
	if best > maxLoadMillis || most > maxLoadBytes {
		t.Errorf("the program takes %.1f ms and %d bytes before it begins, want at most %d ms and %d bytes:\n%s", best, most, maxLoadMillis, maxLoadBytes, slow)
	}
}
