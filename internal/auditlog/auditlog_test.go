package auditlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"leasehold/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines reads a file of entries.
func lines(t *testing.T, name string) (out []store.AuditEntry) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var e store.AuditEntry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		out = append(out, e)
	}
	return out
}

// TestFile: entries are appended, a line each, to a file that its owner alone reads; after it
// was renamed and opened again the next ones are in a new one.
func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(name, []byte(`{"id":1}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(name, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Add(store.AuditEntry{ID: 2, Name: "<a>\n\"", Changes: []store.Change{{Field: "name", After: "x"}}})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := lines(t, name)
	if len(got) != 2 || got[1].Name != "<a>\n\"" || len(got[1].Changes) != 1 {
		t.Fatalf("%+v", got)
	}
	if l, err = Open(name, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for { // the writer takes either first, so until it has opened the file
		if _, err := os.Stat(name); err == nil {
			break
		}
	}
	l.Add(store.AuditEntry{ID: 3})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, name); len(got) != 1 || got[0].ID != 3 || len(lines(t, name+".1")) != 2 {
		t.Errorf("%+v", got)
	}
	if s, err := os.Stat(name); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", s.Mode(), err)
	}
	if _, err := Open(filepath.Join(name, "no"), nil, nil); err == nil {
		t.Error("a file below a file was opened")
	}
}

// stuck is a disk that takes nothing before it is freed, and then fails.
type stuck struct{ free chan struct{} }

func (s stuck) Write([]byte) (int, error) { <-s.free; return 0, errors.New("no space left on device") }
func (s stuck) Close() error              { return nil }

// TestSlowDisk: nobody waits for a disk that takes nothing; what does not fit into the queue
// and what cannot be written is counted and logged.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		disk := stuck{make(chan struct{})}
		l, err := start(func() (io.WriteCloser, error) { return disk, nil }, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		l.Add(store.AuditEntry{})
		synctest.Wait() // the writer has it
		for range queued + 10 {
			l.Add(store.AuditEntry{})
		}
		if l.Dropped() != 10 {
			t.Errorf("dropped %d", l.Dropped())
		}
		if err := l.Close(t.Context()); err == nil {
			t.Error("closed, though nothing was written")
		}
		close(disk.free)
		<-l.done
		if l.Dropped() != queued+11 || !strings.Contains(log.String(), "no space left") || !strings.Contains(log.String(), "were dropped") || strings.Count(log.String(), "\n") > 5 {
			t.Errorf("dropped %d, logged %s", l.Dropped(), log.String())
		}
	})
}
