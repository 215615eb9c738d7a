// Package sqldb holds what the two databases share: the SQL that both read the same way,
// and the code that turns rows into the types of the pure packages and back. What is best
// said differently in each, a [Dialect] brings: how rows are locked, how text is searched,
// how the database's clock is read, which errors mean what. See docs/adr/0002.
//
// Times are whole microseconds since 1970 in columns of 64-bit integers, 0 for none, so
// that both databases compare and index them alike.
package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// Querier is what a transaction offers: a *sql.Tx, or one that prepares ahead.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Dialect is what differs between the databases.
type Dialect struct {
	Name string
	// Rebind turns ? placeholders into the database's.
	Rebind func(string) string
	// ForUpdate ends a SELECT that locks its rows; "" where a writer is alone anyway.
	ForUpdate string
	// Clock is an expression for the database's time in microseconds, or "" if Now
	// tells it.
	Clock string
	Now   func() time.Time
	// Unique reports whether an error is a broken unique constraint.
	Unique func(error) bool
	// Names selects ref from the table names for those of a kind, whose ids are from lo to
	// hi, whose text contains a term, which is in lower case.
	Names func(kind string, lo, hi int64, term string) (query string, args []any)
	// Position is the function that finds a text in another one; 0 if it is not there.
	Position string
	// In is a condition that a column has one of the ids that its argument lists.
	In func(ids []int64) (cond string, arg any)
	// Using makes a table read by an index, or by its key with "", where the database
	// takes such advice.
	Using func(index string) string
	// Advice is a statement before a list is looked for, for the rest of the transaction;
	// "" for none.
	Advice string
}

// Tx implements store.Tx over a Querier.
type Tx struct {
	ctx     context.Context
	q       Querier
	d       *Dialect
	now     time.Time
	version int64
	dirty   bool  // the version was raised in this transaction
	plan    *plan // of the last list, for its count
	advised bool
}

// Begin reads the lease clock and the version, and returns the transaction.
func Begin(ctx context.Context, q Querier, d *Dialect) (*Tx, error) {
	t := &Tx{ctx: ctx, q: q, d: d}
	now, hwm, version, err := t.clock("")
	if err != nil {
		return nil, err
	}
	t.now, t.version = lease.Clock(now, hwm, 0), version
	return t, nil
}

var _ store.Tx = (*Tx)(nil)

func (t *Tx) clock(lock string) (now, hwm time.Time, version int64, err error) {
	clock := t.d.Clock
	if clock == "" {
		clock = "0"
	}
	var n, h int64
	err = t.row("SELECT "+clock+", hwm, version FROM clock WHERE id = 1"+lock).Scan(&n, &h, &version)
	if err != nil {
		return now, hwm, 0, fmt.Errorf("read the clock: %w", err)
	}
	if t.d.Clock == "" {
		n = micros(t.d.Now())
	}
	return when(n), when(h), version, nil
}

// Tick lets the lease clock go on; see store.Store.
func (t *Tx) Tick(watched time.Duration) (unexplained time.Duration, err error) {
	now, hwm, _, err := t.clock(t.d.ForUpdate)
	if err != nil || !now.After(hwm) {
		return 0, err
	}
	if unexplained = lease.Unexplained(now, hwm, watched, 0); unexplained > 0 {
		u := unexplained.Microseconds()
		if _, err := t.exec("UPDATE leases SET expires_at = expires_at + ?, free_at = free_at + ?", u, u); err != nil {
			return 0, err
		}
		if _, err := t.exec("UPDATE orders SET eta = eta + ? WHERE closed_at = 0", u); err != nil {
			return 0, err
		}
	}
	_, err = t.exec("UPDATE clock SET hwm = ? WHERE id = 1", micros(now))
	return unexplained, err
}

// Now is the lease clock.
func (t *Tx) Now() time.Time { return t.now }

// Version implements store.Directory.
func (t *Tx) Version() (int64, error) { return t.version, nil }

// touch raises the version: the catalogue or the directory changed.
func (t *Tx) touch() error {
	if t.dirty {
		return nil
	}
	t.dirty = true
	_, err := t.exec("UPDATE clock SET version = version + 1 WHERE id = 1")
	return err
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	t.plan = nil
	r, err := t.q.ExecContext(t.ctx, t.d.Rebind(query), args...)
	if err != nil {
		if t.d.Unique(err) {
			return 0, store.ErrNameTaken
		}
		return 0, fmt.Errorf("%s: %w", firstWords(query), err)
	}
	return r.RowsAffected()
}

func (t *Tx) row(query string, args ...any) *sql.Row {
	return t.q.QueryRowContext(t.ctx, t.d.Rebind(query), args...)
}

// insert runs an INSERT … RETURNING id.
func (t *Tx) insert(query string, args ...any) (id int64, err error) {
	t.plan = nil
	err = t.row(query+" RETURNING id", args...).Scan(&id)
	if err != nil {
		if t.d.Unique(err) {
			return 0, store.ErrNameTaken
		}
		return 0, fmt.Errorf("%s: %w", firstWords(query), err)
	}
	return id, nil
}

// one runs a query for one row and turns "no rows" into store.ErrNotFound.
func (t *Tx) one(query string, args []any, dest ...any) error {
	err := t.row(query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", firstWords(query), err)
	}
	return nil
}

// each runs a query and calls scan for every row.
func (t *Tx) each(query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := t.q.QueryContext(t.ctx, t.d.Rebind(query), args...)
	if err != nil {
		return fmt.Errorf("%s: %w", firstWords(query), err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("%s: %w", firstWords(query), err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", firstWords(query), err)
	}
	return nil
}

// ids runs a query for a column of numbers.
func (t *Tx) ids(query string, args ...any) ([]int64, error) {
	var out []int64
	err := t.each(query, args, func(r *sql.Rows) error {
		var id int64
		out = append(out, 0)
		err := r.Scan(&id)
		out[len(out)-1] = id
		return err
	})
	return out, err
}

// firstWords names a statement in an error without its arguments.
func firstWords(q string) string {
	w := strings.Fields(q)
	return strings.Join(w[:min(len(w), 4)], " ")
}

// micros is a time as it is kept. 0 stands for none, so the first instant of 1970 is kept as
// the microsecond after.
func micros(t time.Time) int64 {
	switch us := t.UnixMicro(); {
	case t.IsZero():
		return 0
	case us == 0:
		return 1
	default:
		return us
	}
}

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// holds reports whether a database can hold a text at all. PostgreSQL has no NUL in one, and
// refuses one that is to be compared, too.
func holds(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sqldb: " + err.Error()) // plain structs and slices of ours
	}
	return string(b)
}

// marks is "?, ?, ?" for n values.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func anys(ids []int64) []any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// nameKinds are the kinds of things that are found by name. The kind is the upper part of
// the id in the table names, so that those of a kind are a range.
var nameKinds = map[string]int64{"user": 1, "email": 2, "app": 3, "provision": 4, "agent": 5, "method": 6, "group": 7}

// nameBase is where the ids of a kind begin.
func nameBase(kind string) int64 { return nameKinds[kind] << 40 }

// setName keeps the text by which something is found.
func (t *Tx) setName(kind string, id int64, text string) error {
	if err := t.dropName(kind, id); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO names (id, kind, ref, text) VALUES (?, ?, ?, ?)", nameBase(kind)+id, kind, id, strings.ToLower(text))
	return err
}

func (t *Tx) dropName(kind string, id int64) error {
	_, err := t.exec("DELETE FROM names WHERE id = ?", nameBase(kind)+id)
	return err
}

// named is a subquery for the refs of a kind whose text contains the term.
func (t *Tx) named(kind, term string) (string, []any) {
	if !holds(term) {
		return "SELECT 0 WHERE 1 = 0", nil
	}
	lo := nameBase(kind)
	return t.d.Names(kind, lo, lo+1<<40-1, strings.ToLower(term))
}

// Like escapes a term for LIKE '%…%' ESCAPE '\'.
func Like(term string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(term) + "%"
}
