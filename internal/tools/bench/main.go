//go:build unix

// Command bench measures Leasehold on this machine, on both databases, and prints beside
// each figure the machine's own limit from the same run: the ratio says more than the
// figure. Everything it starts is on loopback, in temporary folders, bounded in time and
// number, and gone when it ends. Run it by make bench; docs/performance.md keeps a table.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"leasehold/internal/pgtest"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/sqlite"
)

type options struct {
	sessions int
	agents   int
	workers  int
	seconds  int
	repeats  int
	only     string
	part     string
	bin      string
}

func main() {
	var o options
	flag.IntVar(&o.sessions, "sessions", 1_000_000, "sessions that lists are measured on")
	flag.IntVar(&o.agents, "agents", 4000, "agents that check in")
	flag.IntVar(&o.workers, "workers", 32, "concurrent requests")
	flag.IntVar(&o.seconds, "seconds", 8, "seconds of each load")
	flag.IntVar(&o.repeats, "repeats", 40, "how often each list is asked for")
	flag.StringVar(&o.only, "db", "sqlite,postgres", "databases")
	flag.StringVar(&o.part, "part", "checkins,lists,life,batches,streams", "what to measure")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs, for the real player")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	begin := time.Now()
	printMachine(os.Stdout)
	has := func(list, s string) bool { return slices.Contains(strings.Split(list, ","), s) }
	for _, name := range []string{"sqlite", "postgres"} {
		if !has(o.only, name) {
			continue
		}
		if err := runOn(ctx, o, name, has); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if has(o.part, "streams") {
		t := &report{title: "Streams"}
		if err := benchStreams(ctx, o, t); err != nil {
			return fmt.Errorf("streams: %w", err)
		}
		t.print(os.Stdout)
	}
	fmt.Printf("\nTook %v.\n", time.Since(begin).Round(time.Second))
	return nil
}

// runOn measures on one database.
func runOn(ctx context.Context, o *options, name string, has func(list, s string) bool) (err error) {
	t := &report{title: map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}[name]}
	databases, err := newDatabases(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, databases.close()) }()
	for _, part := range []struct {
		name string
		fn   func(context.Context, *options, *database, *report) error
	}{{"checkins", benchCheckIns}, {"life", benchLife}, {"lists", benchLists}, {"batches", benchBatches}} {
		if !has(o.part, part.name) {
			continue
		}
		db, err := databases.open(ctx)
		if err != nil {
			return err
		}
		err = part.fn(ctx, o, db, t)
		if err = errors.Join(err, db.Close()); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	t.print(os.Stdout)
	return nil
}

// databases makes new databases of one kind.
type databases struct {
	name string
	dirs []string
	pg   *pgtest.Server
}

// database is a store and another way into the same database.
type database struct {
	store.Store
	raw  *sql.DB
	load func(ctx context.Context, n int) (rowsPerSecond float64, err error)
}

func newDatabases(name string) (*databases, error) {
	d := &databases{name: name}
	var err error
	if name == "postgres" {
		d.pg, err = pgtest.Start(true)
	}
	return d, err
}

func (d *databases) open(ctx context.Context) (*database, error) {
	if d.pg != nil {
		url, err := d.pg.New()
		if err != nil {
			return nil, err
		}
		st, err := postgres.Open(ctx, url)
		if err != nil {
			return nil, err
		}
		raw, err := sql.Open("pgx", url)
		if err != nil {
			return nil, errors.Join(err, st.Close())
		}
		return &database{st, raw, func(ctx context.Context, n int) (float64, error) {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return 0, err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			return fill(ctx, &pgLoader{conn}, n)
		}}, nil
	}
	dir, err := os.MkdirTemp("", "leasehold-bench-")
	if err != nil {
		return nil, err
	}
	d.dirs = append(d.dirs, dir)
	st, err := sqlite.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	l, err := openSQLiteLoader(dir)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &database{st, l.db, func(ctx context.Context, n int) (float64, error) { return fill(ctx, l, n) }}, nil
}

// Close closes both ways in.
func (d *database) Close() error { return errors.Join(d.raw.Close(), d.Store.Close()) }

func (d *databases) close() error {
	if d.pg != nil {
		d.pg.Stop()
	}
	var err error
	for _, dir := range d.dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
