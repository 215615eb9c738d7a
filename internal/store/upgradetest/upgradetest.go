//go:build unix

// Package upgradetest has databases as earlier versions of the program made them, so that
// tests can show that they open and that everything works on them. scripts/make-dump.mjs
// makes them; testdata has two files each, the dump and what its agent knew.
package upgradetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"leasehold/internal/pgtest"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/wire"
)

//go:embed testdata
var testdata embed.FS

// Versions are those that there are dumps of, oldest first.
var Versions = []string{"1edb56e"}

// Password is that of every account in the dumps; the administrator is root, and ann has
// all the sessions.
const Password = "correct horse"

// Known is what the one agent in a dump goes on with, and the numbers of its sessions.
type Known struct {
	Agent      int64
	Credential string
	Number     uint64 // of its last check-in
	Seq        uint64 // of its last journal entry
	Token      string
	Granted    uint64
	Sessions   []wire.SessionState
	// Renamed is the user name that somebody has since migration 3, "" if nobody collided.
	Renamed string
	IDs     struct{ Launched, Running, Evicted, Added, Expired int64 }
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(name) != ".gz" {
		return b
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return b
}

func known(t testing.TB, name string) (k Known) {
	t.Helper()
	if err := json.Unmarshal(read(t, name), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// SQLite returns a folder with the database of a version.
func SQLite(t testing.TB, version string) (string, Known) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sqlite.FileName), read(t, version+"-sqlite.db.gz"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := known(t, version+"-sqlite.json")
	k.Renamed = "émile-2" // on SQLite Émile and émile were two
	return dir, k
}

// Postgres returns the URL of a database of a version.
func Postgres(t testing.TB, version string) (string, Known) {
	t.Helper()
	url := pgtest.Database(t)
	ctx := context.Background()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.PgConn().Exec(ctx, string(read(t, version+"-postgres.sql.gz"))).ReadAll(); err != nil {
		t.Fatal(err)
	}
	return url, known(t, version+"-postgres.json")
}
