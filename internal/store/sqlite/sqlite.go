// Package sqlite is the embedded database: one file, no server, one process.
//
// SQLite has one writer at a time, so all updates go through one goroutine. It runs those
// that wait together in one transaction, each in its own savepoint, and commits once: a
// commit costs an fsync, and concurrent check-ins share it. Readers have connections of
// their own and are never in the way (WAL).
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"leasehold/internal/filelock"
	"leasehold/internal/store"
	"leasehold/internal/store/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// How many updates share one commit, and for how long a transaction takes more of them.
const (
	maxShared = 256
	maxTurn   = 20 * time.Millisecond
)

// Store is a database in a file.
type Store struct {
	read    *sql.DB
	write   *sql.DB
	conn    *sql.Conn    // the writer's
	idle    chan *reader // nil: one that is still to be opened
	wstmts  *statements
	dialect *sqldb.Dialect
	clock   *sqldb.Clock
	jobs    chan *job
	ticks   chan *job // served before jobs, each in a transaction of its own
	done    chan struct{}
	closing chan struct{}
	once    sync.Once
	lock    *os.File // of the folder
	log     *slog.Logger
}

var _ store.Store = (*Store)(nil)

type job struct {
	ctx  context.Context
	fn   func(store.Tx) error
	tick func(sqldb.Querier) error // in place of fn: a tick of the lease clock
	err  error
	done chan struct{}
	// panicked is what fn panicked with, nil if it did not. It is the caller's: Update panics
	// with it, and the writer goes on.
	panicked any
}

// errPanicked ends the savepoint of an update that panicked.
var errPanicked = errors.New("sqlite: panic in an update")

// Option changes how Open opens.
type Option func(*Store)

// WithClock takes the wall clock from now instead of the system's.
func WithClock(now func() time.Time) Option {
	return func(s *Store) { s.dialect.Now = now }
}

// WithBoot takes the boot-time clock from boot instead of the system's, and lets one tick
// add any time, for tests that step hours.
func WithBoot(boot func() time.Duration) Option {
	return func(s *Store) { s.clock.Boot, s.clock.MaxStep = boot, math.MaxInt64 }
}

// WithLog logs what the administrator should know of the migrations; nothing is logged
// without it.
func WithLog(log *slog.Logger) Option {
	return func(s *Store) { s.log = log }
}

// ErrInUse: another process has the folder open. Pages and agents would not hear of what
// the other one changes: with this database, changes are told within the process.
var ErrInUse = errors.New("another server is using this folder")

// FileName is the database's name in its folder.
const FileName = "leasehold.db"

// Open opens the database file in the folder, and brings its schema up to date. It returns
// ErrInUse while another process has it open.
func Open(ctx context.Context, folder string, opts ...Option) (*Store, error) {
	lock, err := filelock.Take(filepath.Join(folder, "leasehold.lock"))
	if errors.Is(err, filelock.ErrLocked) {
		return nil, fmt.Errorf("sqlite: %s: %w", folder, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s, err := open(ctx, folder, opts...)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.lock = lock
	return s, nil
}

func open(ctx context.Context, folder string, opts ...Option) (*Store, error) {
	dsn := func(extra ...string) string {
		v := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-65536)", "temp_store(MEMORY)"}, extra...)}
		// Escaped: in a folder's name # and ? are letters as others are.
		path := (&url.URL{Path: filepath.ToSlash(filepath.Join(folder, FileName))}).EscapedPath()
		return "file:" + path + "?" + v.Encode()
	}
	s := &Store{
		log: slog.New(slog.DiscardHandler), clock: &sqldb.Clock{}, jobs: make(chan *job), ticks: make(chan *job), done: make(chan struct{}), closing: make(chan struct{}),
		dialect: &sqldb.Dialect{
			Name:   "sqlite",
			Rebind: func(q string) string { return q },
			Now:    func() time.Time { return time.Now().UTC() },
			Unique: unique,
			Names:  names,

			Position: "instr",
			In: func(ids []int64) (string, any) {
				b, _ := json.Marshal(ids)
				return "IN (SELECT value FROM json_each(?))", string(b)
			},
			// Without statistics its planner knows nothing of how common a value is.
			Using: func(index string) string {
				if index == "" {
					return " NOT INDEXED"
				}
				return " INDEXED BY " + index
			},
		},
	}
	for _, o := range opts {
		o(s)
	}
	var err error
	if s.write, err = sql.Open("sqlite", dsn()+"&_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	if err := s.migrate(ctx, s.write); err != nil {
		s.write.Close()
		return nil, err
	}
	if s.read, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s.read.SetMaxOpenConns(readers + 1) // and one for Ping
	if s.conn, err = s.write.Conn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: %w", err), s.read.Close(), s.write.Close())
	}
	s.idle = make(chan *reader, readers)
	for range readers {
		s.idle <- nil
	}
	s.wstmts = &statements{prepare: s.conn.PrepareContext, kept: map[string]*sql.Stmt{}}
	go s.writer()
	return s, nil
}

func (s *Store) migrate(ctx context.Context, db *sql.DB) error {
	names := &sqldb.NamesMigration{Dialect: s.dialect, Before: dropNamesText, After: makeNamesText}
	audit := &sqldb.AuditMigration{Dialect: s.dialect}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sqldb.Sub(migrations), goose.WithGoMigrations(names.Migration(), audit.Migration()), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("sqlite: migrations: %w", err)
	}
	if err := sqldb.Migrate(ctx, p); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	names.Log(s.log)
	return nil
}

// Of migration 3: the index of trigrams is made again once the names are folded. It compares
// them as they are, for it folds in its own way otherwise.
var (
	dropNamesText = []string{"DROP TRIGGER names_insert", "DROP TRIGGER names_delete", "DROP TABLE names_text"}
	makeNamesText = []string{
		"CREATE VIRTUAL TABLE names_text USING fts5 (text, content = 'names', content_rowid = 'id', tokenize = 'trigram case_sensitive 1')",
		`CREATE TRIGGER names_insert AFTER INSERT ON names BEGIN
			INSERT INTO names_text (rowid, text) VALUES (new.id, new.text);
		END`,
		`CREATE TRIGGER names_delete AFTER DELETE ON names BEGIN
			INSERT INTO names_text (names_text, rowid, text) VALUES ('delete', old.id, old.text);
		END`,
		"INSERT INTO names_text (names_text) VALUES ('rebuild')",
	}
)

func unique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// names finds by the trigram index, in which a kind is a range of row ids. A term of one
// or two letters has no trigram and is looked for among the names of the kind, which are
// few beside the sessions.
func names(_ string, lo, hi int64, term string) (string, []any) {
	if len([]rune(term)) < 3 {
		return `SELECT ref FROM names WHERE id BETWEEN ? AND ? AND instr(text, ?) > 0`, []any{lo, hi, term}
	}
	// In quotes, so that it is one string of characters and not a query.
	return `SELECT rowid - ? FROM names_text WHERE names_text MATCH ? AND rowid BETWEEN ? AND ?`, []any{lo, `"` + strings.ReplaceAll(term, `"`, `""`) + `"`, lo, hi}
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	r, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer s.giveBack(r)
	q := &prepared{r.conn, r.stmts, itself}
	if _, err := q.ExecContext(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("sqlite: begin: %w", err)
	}
	t, err := sqldb.Begin(ctx, q, s.dialect, s.clock, "")
	if err != nil {
		return err
	}
	return fn(t)
}

// itself binds a statement that was prepared on the connection that it runs on.
func itself(_ context.Context, st *sql.Stmt) *sql.Stmt { return st }

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.do(ctx, s.jobs, &job{ctx: ctx, fn: fn})
}

// do has the writer run a job.
func (s *Store) do(ctx context.Context, lane chan *job, j *job) error {
	j.done = make(chan struct{})
	select {
	case lane <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return errClosed
	}
	<-j.done
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

var errClosed = errors.New("sqlite: closed")

// writer runs the updates, those that wait together in one transaction. A tick of the
// lease clock that waits goes before them, alone.
func (s *Store) writer() {
	defer close(s.done)
	for {
		select {
		case j := <-s.ticks:
			s.share(j)
			continue
		default:
		}
		select {
		case <-s.closing:
			return
		case j := <-s.ticks:
			s.share(j)
		case j := <-s.jobs:
			s.share(j)
		}
	}
}

// another returns a job that waits and may share the transaction of those before it.
func (s *Store) another(began time.Time) *job {
	if time.Since(began) > maxTurn {
		return nil
	}
	select {
	case j := <-s.jobs:
		return j
	default:
		return nil
	}
}

// share runs a job in a transaction, and in the same one those that wait meanwhile. It
// takes no more once the transaction has gone on for maxTurn, so that a tick waits for one
// job at the most.
func (s *Store) share(first *job) {
	began := time.Now()
	var batch []*job
	err := func() error {
		// Not the callers' contexts: one that ends must not take the others with it.
		ctx := context.Background()
		q := &prepared{s.conn, s.wstmts, itself}
		if _, err := q.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return fmt.Errorf("sqlite: begin: %w", err)
		}
		committed := false
		defer func() {
			if !committed {
				s.conn.ExecContext(ctx, "ROLLBACK")
			}
		}()
		for j := first; j != nil; j = s.another(began) {
			batch = append(batch, j)
			if j.err = j.ctx.Err(); j.err != nil {
				continue
			}
			if j.tick != nil {
				if j.err = j.tick(q); j.err != nil {
					return j.err
				}
				break
			}
			if len(batch) == maxShared {
				began = time.Time{}
			}
			if _, err := q.ExecContext(ctx, "SAVEPOINT one"); err != nil {
				return err
			}
			j.err = s.run(ctx, q, j)
			end := "RELEASE one"
			if j.err != nil {
				end = "ROLLBACK TO one"
			}
			if _, err := q.ExecContext(ctx, end); err != nil {
				return err
			}
		}
		if _, err := q.ExecContext(ctx, "COMMIT"); err != nil {
			return fmt.Errorf("sqlite: commit: %w", err)
		}
		committed = true
		return nil
	}()
	if len(batch) == 0 {
		batch = append(batch, first) // the transaction did not begin
	}
	for _, j := range batch {
		if err != nil && j.err == nil {
			j.err = err
		}
		close(j.done)
	}
}

func (s *Store) run(ctx context.Context, q sqldb.Querier, j *job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			// The stack of the caller says nothing of where it happened.
			j.panicked, err = fmt.Sprintf("%v\n\nin an update of the database:\n%s", v, debug.Stack()), errPanicked
		}
	}()
	t, err := sqldb.Begin(ctx, q, s.dialect, s.clock, "")
	if err != nil {
		return err
	}
	return j.fn(t)
}

// Tick implements store.Store.
func (s *Store) Tick(ctx context.Context) error {
	return s.clock.Tick(ctx, s.dialect, s.transact)
}

// RestartClock implements store.Store.
func (s *Store) RestartClock(ctx context.Context) error {
	return s.clock.Restart(ctx, s.dialect, s.transact)
}

// transact runs a tick in the writer's own lane. The readings belong to the writer's
// connection, which lives as long as the store.
func (s *Store) transact(ctx context.Context, fn func(context.Context, sqldb.Querier) error) error {
	return s.do(ctx, s.ticks, &job{ctx: ctx, tick: func(q sqldb.Querier) error { return fn(context.WithoutCancel(ctx), q) }})
}

// MarkSeen implements store.Store.
func (s *Store) MarkSeen(ctx context.Context, seen map[int64]store.Seen) error {
	return s.Update(ctx, func(tx store.Tx) error { return tx.(*sqldb.Tx).MarkSeen(seen) })
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error { return s.read.PingContext(ctx) }

// Close implements store.Store.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		<-s.done
		s.wstmts.close()
		err = errors.Join(s.closeReaders(), s.conn.Close(), s.read.Close(), s.write.Close(), s.lock.Close())
	})
	return err
}
