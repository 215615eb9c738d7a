package repotest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requirements is how many OWASP ASVS 5.0.0 has of levels 1 and 2.
const requirements = 253

var (
	securityRow  = regexp.MustCompile(`(?m)^\| (V\d+\.\d+\.\d+) \| ([a-z/]+) \| (.+) \|$`)
	testNamed    = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	testDeclared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// TestSecurityMap: docs/security.md has each requirement once, with a state and a reason, and
// the tests that it names are there.
func TestSecurityMap(t *testing.T) {
	declared := map[string]bool{}
	for _, dir := range []string{"internal", "cmd", "e2e"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "test/") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range testDeclared.FindAllSubmatch(b, -1) {
				declared[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range securityRow.FindAllStringSubmatch(string(b), -1) {
		if seen[m[1]] {
			t.Errorf("%s is there twice", m[1])
		}
		seen[m[1]] = true
		switch m[2] {
		case "met", "partly", "not", "n/a":
		default:
			t.Errorf("%s: the state is %q", m[1], m[2])
		}
	}
	if len(seen) != requirements {
		t.Errorf("%d requirements, want %d", len(seen), requirements)
	}
	for _, m := range testNamed.FindAllStringSubmatch(string(b), -1) {
		if !declared[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
}
