package guard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that fills up while a run goes on: what is lost is not the last event, which has
// its room from the beginning, and none is spoiled by half of another.
func TestEventsOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small disk of its own is mounted, which takes root: run these tests as root")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk of its own cannot be mounted: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	l, err := openEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.append(Event{Type: Starting}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	told := 1
	for range 10_000 {
		if l.append(Event{Type: Extended, Reason: strings.Repeat("x", 500)}) != nil {
			break
		}
		told++
	}
	if told == 1 || told > 2*roomStep/500 {
		t.Errorf("%d events have room on a full disk", told)
	}
	if err := l.append(Event{Type: Exited, Outcome: ByItself, Reason: strings.Repeat("y", 1000)}); err != nil {
		t.Errorf("the last event: %v", err)
	}
	events, _, err := ReadEvents(dir, 0)
	if err != nil || len(events) != told+1 || events[told].Type != Exited {
		t.Errorf("%d events are read of %d, %v", len(events), told+1, err)
	}
}
