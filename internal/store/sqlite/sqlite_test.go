package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/store"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store {
		s, err := sqlite.Open(t.Context(), sqlitetest.Folder(t), sqlite.WithClock(clock.Now), sqlite.WithBoot(clock.Boot))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// More readers at once than there are connections, each with a statement that is new:
// none waits for a connection that another holds while it waits too.
func TestManyReaders(t *testing.T) {
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				err := s.View(ctx, func(tx store.Tx) error {
					if _, err := tx.Setting("x"); err != nil {
						return err
					}
					if _, err := tx.SessionsOfAgent(1); err != nil {
						return err
					}
					_, err := tx.CountAdmins()
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	// A reader whose caller goes away in the middle leaves the others in order.
	gone, leave := context.WithCancel(t.Context())
	_ = s.View(gone, func(tx store.Tx) error { leave(); _, err := tx.Setting("x"); return err })
	for range 20 {
		if err := s.View(ctx, func(tx store.Tx) error { _, err := tx.Setting("x"); return err }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneProcess: a folder is open once at a time, and free again when whoever had it open
// has gone, however.
func TestOneProcess(t *testing.T) {
	if dir := os.Getenv("HOLD_OPEN"); dir != "" {
		if _, err := sqlite.Open(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		fmt.Println("open")
		select {}
	}
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir); !errors.Is(err, sqlite.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command(os.Args[0], "-test.run=^TestOneProcess$")
	other.Env = append(os.Environ(), "HOLD_OPEN="+dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := sqlite.Open(t.Context(), dir); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("opened beside another process: %v", err)
	}
	other.Process.Kill()
	other.Wait()
	if s, err = sqlite.Open(t.Context(), dir); err != nil {
		t.Fatalf("after the other was killed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFolderNames: the database is in the folder that was named, whatever its name.
func TestFolderNames(t *testing.T) {
	for _, name := range []string{"plain", "a#b", "a?b", "a%41b", "a b", "ä;&=+"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(t.Context(), dir)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "leasehold.db")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
