// Package postgres is the database for many nodes. Rows are locked where rules need it,
// commits are shared by the server itself, and transactions that PostgreSQL asks to be
// run again are run again.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"leasehold/internal/store"
	"leasehold/internal/store/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a PostgreSQL database.
type Store struct {
	db      *sql.DB
	dialect *sqldb.Dialect
}

var _ store.Store = (*Store)(nil)

// Option changes how Open opens.
type Option func(*Store)

// WithClock takes the time from now instead of the database's clock, for tests.
func WithClock(now func() time.Time) Option {
	return func(s *Store) { s.dialect.Clock, s.dialect.Now = "", now }
}

// Open connects to the database at the URL, and brings its schema up to date under a
// lock, so that any number of nodes may start at once.
func Open(ctx context.Context, databaseURL string, opts ...Option) (*Store, error) {
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	s := &Store{db: db, dialect: &sqldb.Dialect{
		Name:      "postgres",
		Rebind:    rebind,
		ForUpdate: " FOR UPDATE",
		Clock:     "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
		Unique:    func(err error) bool { return code(err) == "23505" },
		Names:     names,
		Position:  "strpos",
		In:        func(ids []int64) (string, any) { return "= ANY(?)", ids },
		Using:     func(string) string { return "" },
		// A plan made for any value reads the whole table where most values are common,
		// though the one that is asked for is rare.
		Advice: "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)",
	}}
	for _, o := range opts {
		o(s)
	}
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// names finds users, e-mails and machines by a trigram index of their own kind, which the
// planner takes only where the kind is written out. Other names, and terms of one or two
// letters, which have no trigram, are looked for among the names of the kind.
func names(kind string, lo, hi int64, term string) (string, []any) {
	switch kind {
	case "user", "email", "agent":
		if len([]rune(term)) >= 3 {
			return `SELECT ref FROM names WHERE kind = '` + kind + `' AND text LIKE ? ESCAPE '\'`, []any{sqldb.Like(term)}
		}
	}
	return "SELECT ref FROM names WHERE id BETWEEN ? AND ? AND strpos(text, ?) > 0", []any{lo, hi, term}
}

func migrate(ctx context.Context, db *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("postgres: migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, sqldb.Sub(migrations), goose.WithSessionLocker(locker), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("postgres: migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	return nil
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// rebind turns ? into $1, $2 … None of our statements has a ? inside a text.
func rebind(q string) string {
	if !strings.Contains(q, "?") {
		return q
	}
	var b strings.Builder
	n := 0
	for _, r := range q {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.run(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, fn)
}

// attempts is how often a transaction is run that PostgreSQL asks to be run again.
const attempts = 10

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	var err error
	for range attempts {
		err = s.run(ctx, nil, fn)
		if c := code(err); c != "40001" && c != "40P01" || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *Store) run(ctx context.Context, opts *sql.TxOptions, fn func(store.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("postgres: begin: %w", err)
	}
	defer tx.Rollback()
	t, err := sqldb.Begin(ctx, tx, s.dialect)
	if err != nil {
		return err
	}
	if err := fn(t); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("postgres: commit: %w", err)
	}
	return nil
}

// Tick implements store.Store.
func (s *Store) Tick(ctx context.Context, watched time.Duration) (unexplained time.Duration, err error) {
	err = s.Update(ctx, func(tx store.Tx) error {
		unexplained, err = tx.(*sqldb.Tx).Tick(watched)
		return err
	})
	return unexplained, err
}

// MarkSeen implements store.Store.
func (s *Store) MarkSeen(ctx context.Context, seen map[int64]time.Time) error {
	ids := make([]int64, 0, len(seen))
	at := make([]int64, 0, len(seen))
	for id, t := range seen {
		ids, at = append(ids, id), append(at, t.UnixMicro())
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO agent_seen (agent_id, at) SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS x (id, at) ORDER BY id
		ON CONFLICT (agent_id) DO UPDATE SET at = excluded.at WHERE excluded.at > agent_seen.at`, ids, at)
	if err != nil {
		return fmt.Errorf("postgres: last-seen times: %w", err)
	}
	return nil
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close implements store.Store.
func (s *Store) Close() error { return s.db.Close() }
