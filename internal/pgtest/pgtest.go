//go:build unix

// Package pgtest starts a real PostgreSQL from its programs for tests: one server a test
// binary, a new database a test. It listens on a socket in a temporary folder only.
package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"leasehold/internal/store/clocktest"
	"leasehold/internal/store/postgres"
)

// Server is a running PostgreSQL.
type Server struct {
	dir string
	env []string // beside the test's own
	cmd *exec.Cmd
	n   atomic.Int64
}

// programs is the folder of PostgreSQL's server programs. Debian keeps them out of the
// PATH, by version.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	p, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL's programs are missing: apt-get install postgresql")
	}
	if p, err = filepath.EvalSymlinks(p); err != nil {
		return "", err
	}
	return filepath.Dir(p), nil
}

// Start starts a server in a new temporary folder. Durability is off unless durable:
// tests that kill nothing of PostgreSQL itself need none.
func Start(durable bool) (*Server, error) { return start(durable, "") }

// StartFaked starts a server as Start does, whose wall clock Set moves. libfaketime does it;
// Debian has it in faketime.
func StartFaked() (*Server, error) {
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(found) == 0 {
		return nil, fmt.Errorf("libfaketime is missing: apt-get install faketime")
	}
	return start(false, found[0])
}

// offsetFile is where libfaketime reads by how much the wall clock is off, in s.dir.
const offsetFile = "offset"

// SetWall sets the wall clock of a server of StartFaked by so much off the machine's.
func (s *Server) SetWall(off time.Duration) error {
	// It is replaced, because the server reads it all the time.
	name := filepath.Join(s.dir, offsetFile)
	if err := os.WriteFile(name+".new", fmt.Appendf(nil, "%+d\n", int64(off.Seconds())), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// start starts a server, with the shared library that moves its clock unless that is "".
func start(durable bool, faker string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	// Short, because the path of a socket is limited to about a hundred bytes.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if err := giveAway(dir, data); err != nil {
		return nil, err
	}
	if out, err := s.as(bin, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync").CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	args := []string{"-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"}
	if !durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	if faker != "" {
		if err := s.SetWall(0); err != nil {
			return nil, err
		}
		s.env = []string{"LD_PRELOAD=" + faker, "FAKETIME_TIMESTAMP_FILE=" + filepath.Join(dir, offsetFile), "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	}
	s.cmd = s.as(bin, "postgres", args...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return s, s.await()
}

// as is a command of PostgreSQL, which refuses to run as root.
func (s *Server) as(bin, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = unprivileged()
	return cmd
}

func (s *Server) await() error {
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for end := time.Now().Add(30 * time.Second); ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			out, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.Stop()
			return fmt.Errorf("postgres does not answer: %w: %s", err, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) url(database string) string {
	return "postgres://postgres@/" + database + "?" + url.Values{"host": {s.dir}}.Encode()
}

// New makes a new database and returns its URL.
func (s *Server) New() (string, error) { return s.copy("template1") }

// copy makes a new database as another one is that nobody uses.
func (s *Server) copy(of string) (string, error) {
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return "", err
	}
	defer db.Close()
	name := fmt.Sprintf("t%d", s.n.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name + " TEMPLATE " + of); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return s.url(name), nil
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Signal(os.Interrupt) // a fast shutdown
		killed := time.AfterFunc(20*time.Second, func() { s.cmd.Process.Kill() })
		s.cmd.Wait()
		killed.Stop()
	}
	os.RemoveAll(s.dir)
}

// Main runs a test binary's tests with a PostgreSQL server that ends with them. Use it in
// TestMain; a machine without PostgreSQL fails the tests that ask for a database, not the
// others.
func Main(m *testing.M) int {
	defer func() {
		if shared != nil {
			shared.Stop()
		}
	}()
	return m.Run()
}

var (
	shared    *Server
	sharedErr error
	started   = make(chan struct{}, 1)
	made      string // a database with the store's tables; see Made
)

// Database returns the URL of a new database on the test binary's server, which the first
// call starts. The binary's TestMain must call Main, which stops it.
func Database(t testing.TB) string {
	t.Helper()
	return database(t, func() (string, error) { return shared.New() })
}

// Made is Database with the store's tables in it: the statements that make them take longer
// than most tests, so they are run once in a test binary and copied.
func Made(t testing.TB) string {
	t.Helper()
	return database(t, func() (string, error) {
		if made == "" {
			u, err := shared.New()
			if err != nil {
				return "", err
			}
			st, err := postgres.Open(context.Background(), u)
			if err != nil {
				return "", err
			}
			if err := st.Close(); err != nil {
				return "", err
			}
			made = fmt.Sprintf("t%d", shared.n.Load())
		}
		return shared.copy(made)
	})
}

// Locale is Database in a locale of its own, given as the options of CREATE DATABASE.
func Locale(t testing.TB, options string) string {
	t.Helper()
	return database(t, func() (string, error) { return shared.copy("template0 " + options) })
}

// Open returns a store on an empty database that can read its lease clock already.
func Open(t testing.TB) *postgres.Store {
	t.Helper()
	return clocktest.Ready(t, func(boot func() time.Duration) (*postgres.Store, error) {
		return postgres.Open(context.Background(), Made(t), postgres.WithBoot(boot))
	})
}

// database has the server make a database, one at a time.
func database(t testing.TB, make func() (string, error)) string {
	t.Helper()
	started <- struct{}{}
	defer func() { <-started }()
	if shared == nil && sharedErr == nil {
		shared, sharedErr = Start(false)
	}
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	u, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return u
}
