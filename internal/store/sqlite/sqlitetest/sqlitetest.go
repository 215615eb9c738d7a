// Package sqlitetest gives tests databases that are made already: the statements that make
// one take longer than most tests, so they are run once in a test binary and copied.
package sqlitetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"leasehold/internal/store/clocktest"
	"leasehold/internal/store/sqlite"
)

var made = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "leasehold-sqlite")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := sqlite.Open(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, sqlite.FileName))
})

// Folder returns a folder with an empty database, for [sqlite.Open].
func Folder(t testing.TB) string {
	t.Helper()
	db, err := made()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sqlite.FileName), db, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Open returns a store on an empty database that can read its lease clock already.
func Open(t testing.TB) *sqlite.Store {
	t.Helper()
	return clocktest.Ready(t, func(boot func() time.Duration) (*sqlite.Store, error) {
		return sqlite.Open(context.Background(), Folder(t), sqlite.WithBoot(boot))
	})
}
