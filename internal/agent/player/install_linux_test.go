package player

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The desktop's entry opens links with the player of this state folder, whatever
// characters its path has.
func TestInstallHandler(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	t.Setenv("PATH", t.TempDir()) // no xdg-mime: the user is told what to do instead
	var out bytes.Buffer
	if err := installHandler(t.Context(), "/opt/lease hold/leasehold", `/home/ann/a "b" $c`, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "leasehold player launch LINK --state") {
		t.Errorf("says %q", out.String())
	}
	path := filepath.Join(data, "applications", desktopName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"MimeType=x-scheme-handler/leasehold;\n",
		`Exec="/opt/lease hold/leasehold" player launch --state "/home/ann/a \\"b\\" \\$c" -- %u` + "\n",
	} {
		if !strings.Contains(string(b), line) {
			t.Errorf("no line %q in\n%s", line, b)
		}
	}
	for range 2 { // a second time is no error
		if err := uninstallHandler(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the entry is still there: %v", err)
	}
}
