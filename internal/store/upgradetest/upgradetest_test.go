//go:build unix

package upgradetest_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/pgtest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/store/upgradetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// A migration that has shipped never changes: a database that has it would be left as it was.
func TestShippedMigrationsAreFrozen(t *testing.T) {
	for path, want := range map[string]string{
		"sqlite/migrations/00001_init.sql":           "6d5d4635e96b249e7e711d3c8e82fa34bd7c5a28d1ed9d14741da5eba5b58fd4",
		"postgres/migrations/00001_init.sql":         "8f8a8f66bd448e178e8a73287df17ba807b096a101ce1d63c2d4d4e69328c17a",
		"sqlite/migrations/00002_lease_clock.sql":    "2f63fe46ea10849610d4b1aecf33d2ed6afa78c07b4e8160a58183ef42fc643f",
		"postgres/migrations/00002_lease_clock.sql":  "a46236f5fa8dcc671102dda729e4fcda0bfa1909335d068a5af411edfb0f8b90",
		"postgres/migrations/00004_time_zone.sql":    "b4b1627f7e5c88815d999fd0129d9f59adb4488710c8fae4ae0604a7da052a90",
		"postgres/migrations/00005_sign_in.sql":      "cf81ba27169a3bde38b0c09bc0f1b7f5238c190e40ca19eaa801256c21bbe40c",
		"postgres/migrations/00006_machines.sql":     "f8c923b817837c1050e5b8da91836de29afac729b78edc305f02dd3acbea8e4b",
		"postgres/migrations/00007_host_missing.sql": "6031176e3688414f01fa348d667bc5fbfdcafb3e4e510bc183866d142713d3e8",
		"postgres/migrations/00008_key_rotation.sql": "b496acf5c552a6793b4a1be80289cf8b3ba4f1f9cd18a804d3382feaa7422cd6",
		"sqlite/migrations/00004_time_zone.sql":      "b4b1627f7e5c88815d999fd0129d9f59adb4488710c8fae4ae0604a7da052a90",
		"sqlite/migrations/00005_sign_in.sql":        "0153bdd2bf4dba9385335366ec14f4aba1d3a95cbe19bc10920aa5afb4008c49",
		"sqlite/migrations/00006_machines.sql":       "ca5b153c64959c85d476689c88c2d156da7a713844a49ec8daf3f38410eb9232",
		"sqlite/migrations/00007_host_missing.sql":   "6031176e3688414f01fa348d667bc5fbfdcafb3e4e510bc183866d142713d3e8",
		"sqlite/migrations/00008_key_rotation.sql":   "9d5d3d896a342372895a73646d1814bb7faf5f603d91d93ea8b0744993d308bb",
	} {
		b, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256(b)
		if got := hex.EncodeToString(h[:]); got != want {
			t.Errorf("%s is %s, want %s: it has shipped; make a new migration", path, got, want)
		}
	}
	// Both databases have the same numbers.
	var names [2][]string
	for i, db := range []string{"sqlite", "postgres"} {
		found, err := filepath.Glob(filepath.Join("..", db, "migrations", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			names[i] = append(names[i], filepath.Base(f))
		}
	}
	if strings.Join(names[0], " ") != strings.Join(names[1], " ") {
		t.Errorf("migrations differ: %v, %v", names[0], names[1])
	}
}

// What a database of the version before says of leases and orders holds after the upgrade.
func TestLeasesSurviveTheUpgrade(t *testing.T) {
	for _, v := range upgradetest.Versions {
		for _, db := range []string{"sqlite", "postgres"} {
			t.Run(v+" "+db, func(t *testing.T) {
				var st store.Store
				var k upgradetest.Known
				var err error
				boot := time.Duration(0)
				clock := func() time.Duration { return boot }
				if db == "sqlite" {
					var dir string
					dir, k = upgradetest.SQLite(t, v)
					st, err = sqlite.Open(t.Context(), dir, sqlite.WithBoot(clock))
				} else {
					var url string
					url, k = upgradetest.Postgres(t, v)
					st, err = postgres.Open(t.Context(), url, postgres.WithBoot(clock))
				}
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				pass := func(d time.Duration) {
					t.Helper()
					boot += d
					if err := st.Tick(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				pass(lease.Period)
				pass(lease.Period)
				get := func(id int64) (s *session.Session, n lease.Now) {
					t.Helper()
					if err := st.View(t.Context(), func(tx store.Tx) (err error) {
						n = tx.LeaseNow()
						s, err = tx.Session(id)
						return err
					}); err != nil {
						t.Fatal(err)
					}
					return s, n
				}
				s, now := get(k.IDs.Running)
				if s.Status != session.Running || s.Lease == nil || s.Lease.Over(now, 0) || !now.Signs {
					t.Fatalf("the running app: %s, lease %+v, now %+v", s.Status, s.Lease, now)
				}
				if left := s.Lease.ExpiresAt.Sub(now.Earliest); left < 3*time.Hour || left > 4*time.Hour {
					t.Errorf("%v are left of a lease of 3 h 2 min that was just granted", left)
				}
				o, _ := get(k.IDs.Evicted)
				if !o.Order.Open() || o.Order.ETA != o.Lease.FreeAt || o.Order.Promised.IsZero() {
					t.Errorf("the open order: %+v", o.Order)
				}
				pass(s.Lease.FreeAt.Sub(now.Earliest) + time.Minute) // the other one was granted a moment later
				if s, now = get(k.IDs.Running); !s.Lease.Over(now, 0) {
					t.Error("its lease does not end")
				}
				if err := st.View(t.Context(), func(tx store.Tx) error {
					due, err := tx.OrdersDue(10)
					if len(due) != 1 || due[0] != k.IDs.Evicted {
						t.Errorf("orders due: %v", due)
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// A node of the version before that is still up reads no clock any more: it grants nothing.
func TestEarlierNodesStopGranting(t *testing.T) {
	url, _ := upgradetest.Postgres(t, "1edb56e")
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const clock = "SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint, hwm, version FROM clock WHERE id = 1"
	look := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}) error {
		var now, mark, version int64
		return q.QueryRowContext(t.Context(), clock).Scan(&now, &mark, &version)
	}
	// One of its transactions is under way as the new version starts, which waits for it.
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := look(tx); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		st, err := postgres.Open(context.Background(), url)
		if err == nil {
			err = st.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("opened while a transaction reads the old clock: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if err := look(db); err == nil || !strings.Contains(err.Error(), "hwm") {
		t.Errorf("the version before reads its clock: %v", err)
	}
}

// A program that is older than the database says so and changes nothing.
func TestNewerDatabase(t *testing.T) {
	dir := sqlitetest.Folder(t)
	url := pgtest.Made(t)
	for driver, dsn := range map[string]string{"sqlite": filepath.Join(dir, sqlite.FileName), "pgx": url} {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)"); err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	st, err := sqlite.Open(t.Context(), dir)
	if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "version 999") {
		t.Errorf("sqlite: %v %v", st, err)
	}
	st2, err := postgres.Open(t.Context(), url)
	if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "version 999") {
		t.Errorf("postgres: %v %v", st2, err)
	}
}
