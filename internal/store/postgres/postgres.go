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
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"leasehold/internal/lease"
	"leasehold/internal/store"
	"leasehold/internal/store/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a PostgreSQL database.
type Store struct {
	db      *sql.DB
	dialect *sqldb.Dialect
	clock   *sqldb.Clock
	ticker  ticker
	log     *slog.Logger
}

var _ store.Store = (*Store)(nil)

// Option changes how Open opens.
type Option func(*Store)

// WithClock takes the wall clock from now instead of the database's, for tests.
func WithClock(now func() time.Time) Option {
	return func(s *Store) { s.dialect.Clock, s.dialect.Now = "", now }
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

// Open connects to the database at the URL, and brings its schema up to date under a
// lock, so that any number of nodes may start at once.
func Open(ctx context.Context, databaseURL string, opts ...Option) (*Store, error) {
	cfg, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	cfg.DialFunc = dialer.DialContext
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	s := &Store{log: slog.New(slog.DiscardHandler), db: db, ticker: ticker{db: stdlib.OpenDB(*cfg)}, clock: &sqldb.Clock{}, dialect: &sqldb.Dialect{
		Name:      "postgres",
		Rebind:    rebind,
		ForUpdate: " FOR UPDATE",
		TryUpdate: " FOR UPDATE SKIP LOCKED",
		TryShare:  " FOR SHARE SKIP LOCKED",
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
	if err := s.migrate(ctx, db); err != nil {
		s.Close()
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

func (s *Store) migrate(ctx context.Context, db *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("postgres: migrations: %w", err)
	}
	names := &sqldb.NamesMigration{Dialect: s.dialect, Collate: byBytes, After: compareByBytes()}
	audit := &sqldb.AuditMigration{Dialect: s.dialect, Collate: byBytes}
	p, err := goose.NewProvider(goose.DialectPostgres, db, sqldb.Sub(migrations), goose.WithGoMigrations(names.Migration(), audit.Migration()), goose.WithSessionLocker(locker), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("postgres: migrations: %w", err)
	}
	if err := sqldb.Migrate(ctx, p); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	names.Log(s.log)
	return nil
}

// byBytes makes a column compare byte by byte, as SQLite's do, whatever the locale of the
// database.
const byBytes = ` COLLATE "C"`

// compareByBytes are statements of migration 3 for the columns that sessions are sorted by,
// and for what is searched. Every row has its names by then, so that there is no default.
func compareByBytes() []string {
	var sorts []string
	for _, c := range []string{"user_sort", "email_sort", "app_sort", "provision_sort", "method_sort", "agent_sort", "status"} {
		sorts = append(sorts, "ALTER COLUMN "+c+" TYPE TEXT"+byBytes)
	}
	out := []string{"ALTER TABLE sessions " + strings.Join(sorts, ", "), "ALTER TABLE names ALTER COLUMN text TYPE TEXT" + byBytes}
	for _, t := range []string{"users", "user_groups", "apps", "provisions", "delivery_methods", "agents"} {
		out = append(out, "ALTER TABLE "+t+" ALTER COLUMN name_fold DROP DEFAULT")
	}
	return append(out, "ALTER TABLE users ALTER COLUMN username_fold DROP DEFAULT, ALTER COLUMN email_fold DROP DEFAULT")
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
	return s.run(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, viewLimits, fn)
}

// attempts is how often a transaction is run that PostgreSQL asks to be run again.
const attempts = 10

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	limits := updateLimits
	switch {
	case store.IsBeside(ctx):
		limits = besideLimits
	case store.IsSoon(ctx):
		limits = soonLimits
	}
	var err error
	for range attempts {
		// READ COMMITTED whatever the server's default is: the lease clock depends on it.
		err = s.run(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, limits, fn)
		switch c := code(err); {
		case c == "55P03":
			return fmt.Errorf("%w: %w", store.ErrLocked, err)
		case c != "40001" && c != "40P01" || ctx.Err() != nil:
			return err
		}
	}
	return err
}

func (s *Store) run(ctx context.Context, opts *sql.TxOptions, limits string, fn func(store.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("postgres: begin: %w", err)
	}
	defer tx.Rollback()
	t, err := sqldb.Begin(ctx, tx, s.dialect, s.clock, limits)
	if err != nil {
		return err
	}
	if !opts.ReadOnly {
		if err := t.Look(func(row lease.Row) error { return s.catch(ctx, row) }); err != nil {
			return err
		}
	}
	if err := fn(t); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("postgres: commit: %w", err)
	}
	return nil
}

// MarkSeen implements store.Store.
func (s *Store) MarkSeen(ctx context.Context, seen map[int64]store.Seen) error {
	ids := make([]int64, 0, len(seen))
	at := make([]int64, 0, len(seen))
	leaseAt := make([]int64, 0, len(seen))
	for id, t := range seen {
		ids, at, leaseAt = append(ids, id), append(at, t.At.UnixMicro()), append(leaseAt, int64(t.Lease))
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO agent_seen (agent_id, at, lease_at) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x (id, at, lease_at) ORDER BY id
		ON CONFLICT (agent_id) DO UPDATE SET at = excluded.at, lease_at = excluded.lease_at WHERE excluded.lease_at >= agent_seen.lease_at`, ids, at, leaseAt)
	if err != nil {
		return fmt.Errorf("postgres: last-seen times: %w", err)
	}
	return nil
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close implements store.Store.
func (s *Store) Close() error {
	s.ticker.drop()
	return errors.Join(s.ticker.db.Close(), s.db.Close())
}
