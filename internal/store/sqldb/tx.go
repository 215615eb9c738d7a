// Package sqldb holds what the two databases share: the SQL that both read the same way,
// and the code that turns rows into the types of the pure packages and back. What is best
// said differently in each, a [Dialect] brings: how rows are locked, how text is searched,
// how its wall clock is read, which errors mean what. See docs/adr/0002.
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

	"leasehold/internal/fold"
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
	// TryUpdate and TryShare end a SELECT that locks its rows, or leaves out those that
	// somebody else has locked; "" where a writer is alone anyway.
	TryUpdate, TryShare string
	// Clock is an expression for the database's wall clock in microseconds, or "" if Now
	// tells it. No lease depends on it.
	Clock string
	Now   func() time.Time
	// Unique reports whether an error is a broken unique constraint.
	Unique func(error) bool
	// Names selects ref from the table names for those of a kind, whose ids are from lo to
	// hi, whose text contains a term, which is folded.
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
	clock   *Clock
	look    lease.Row // of the lease clock, as this transaction saw it
	now     lease.Now
	version int64
	dirty   bool  // the version was raised in this transaction
	plan    *plan // of the last list, for its count
	advised bool
}

// Begin looks at both clocks and reads the version, and returns the transaction. limits,
// which may be empty, are columns of the same statement that bound what the transaction
// waits for.
func Begin(ctx context.Context, q Querier, d *Dialect, clock *Clock, limits string) (*Tx, error) {
	t := &Tx{ctx: ctx, q: q, d: d, clock: clock}
	wall := d.Clock
	if wall == "" {
		wall = "0"
	}
	var us int64
	dest := []any{&us, &t.version, &t.look.Mark, &t.look.Nonce}
	if limits != "" {
		limits = ", " + limits
		for range strings.Count(limits, "set_config(") {
			dest = append(dest, new(string))
		}
	}
	err := t.row("SELECT " + wall + ", c.version, l.mark, l.nonce" + limits + " FROM clock c, lease_clock l WHERE c.id = 1 AND l.id = 1").Scan(dest...)
	if err != nil {
		return nil, fmt.Errorf("read the clocks: %w", err)
	}
	if d.Clock == "" {
		us = micros(d.Now())
	}
	t.now.Wall = when(us)
	clock.read(&t.now, t.look)
	return t, nil
}

var _ store.Tx = (*Tx)(nil)

// Look looks at the lease clock again if the reading that belongs to the look so far is not
// known, after catch has had the node tick. It is for READ COMMITTED alone, where a second
// look sees what others have written meanwhile.
func (t *Tx) Look(catch func(lease.Row) error) error {
	for range 2 {
		if t.now.Signs || !t.clock.stale(t.look) {
			return nil
		}
		if err := catch(t.look); err != nil {
			return nil // the clock is read without it, and nothing is granted
		}
		if err := t.row(selectClock).Scan(&t.look.Mark, &t.look.Nonce); err != nil {
			return fmt.Errorf("read the lease clock: %w", err)
		}
		t.clock.read(&t.now, t.look)
	}
	return nil
}

// LeaseNow implements store.Tx.
func (t *Tx) LeaseNow() lease.Now { return t.now }

// WallNow implements store.Tx.
func (t *Tx) WallNow() time.Time { return t.now.Wall }

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

// setName keeps the text by which something is found, folded.
func (t *Tx) setName(kind string, id int64, text string) error {
	if err := t.dropName(kind, id); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO names (id, kind, ref, text) VALUES (?, ?, ?, ?)", nameBase(kind)+id, kind, id, fold.Fold(text))
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
	return t.d.Names(kind, lo, lo+1<<40-1, fold.Fold(term))
}

// Like escapes a term for LIKE '%…%' ESCAPE '\'.
func Like(term string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(term) + "%"
}
