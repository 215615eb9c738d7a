package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pressly/goose/v3"

	"leasehold/internal/fold"
)

// NamesMigration is migration 3, the same on both databases: it puts the fold of every name
// beside it, because no SQL can compute one. What is unique, searched and sorted is the fold
// from then on. See docs/adr/0013.
type NamesMigration struct {
	Dialect *Dialect
	// Collate is what follows the type of a column whose text is compared byte by byte.
	Collate string
	// Before and After are statements of the database's own at its begin and end.
	Before, After []string

	renamed []renamed
}

// renamed is something that had the same name as another one by its fold, and its new name.
type renamed struct {
	kind           string
	id, of         int64
	was, is, other string
}

// Migration is the migration for goose.
func (m *NamesMigration) Migration() *goose.Migration {
	return goose.NewGoMigration(3, &goose.GoFunc{RunTx: m.run}, nil)
}

// Log writes what got another name to the log, once the migration is committed.
func (m *NamesMigration) Log(log *slog.Logger) {
	for _, r := range m.renamed {
		log.Warn("renamed: its name is another spelling of a name that is taken", r.kind, r.id, "was", r.was, "is", r.is, "other", r.of, "other_name", r.other)
	}
}

// namesBatch is how many rows are read and written at a time.
const namesBatch = 500

// namedTable is a table whose rows have names.
type namedTable struct {
	table string
	kind  string   // as in the audit log
	texts []string // the columns that get a fold beside them; if unique, the first one is
	taken string   // which rows hold their name: a condition; "" if names are not unique
	next  string   // what is added to a name that is taken, with the number
	max   int      // how many characters a name may have
	found [][]int  // of each kind of names, which texts it has
	names []string // … and the kind
	ref   string   // the column of sessions that refers to it
	sorts []string // the columns of sessions that sort by a text, by text
}

var namedTables = []namedTable{
	{table: "users", kind: "user", texts: []string{"username", "name", "email"}, taken: "deleted_at = 0", next: "-%d", max: 100,
		names: []string{"user", "email"}, found: [][]int{{0, 1}, {2}}, ref: "user_id", sorts: []string{"", "user_sort", "email_sort"}},
	{table: "user_groups", kind: "group", texts: []string{"name"}, taken: "1 = 1", next: " (%d)", max: 200,
		names: []string{"group"}, found: [][]int{{0}}, sorts: []string{""}},
	{table: "apps", kind: "app", texts: []string{"name"}, taken: "deleted_at = 0", next: " (%d)", max: 200,
		names: []string{"app"}, found: [][]int{{0}}, ref: "app_id", sorts: []string{"app_sort"}},
	{table: "provisions", kind: "provision", texts: []string{"name"}, taken: "deleted_at = 0", next: " (%d)", max: 200,
		names: []string{"provision"}, found: [][]int{{0}}, ref: "provision_id", sorts: []string{"provision_sort"}},
	{table: "delivery_methods", texts: []string{"name"},
		names: []string{"method"}, found: [][]int{{0}}, ref: "delivery_method_id", sorts: []string{"method_sort"}},
	{table: "agents", texts: []string{"name"},
		names: []string{"agent"}, found: [][]int{{0}}, ref: "agent_id", sorts: []string{"agent_sort"}},
}

var namesIndexes = []string{
	"CREATE UNIQUE INDEX users_username ON users (username_fold) WHERE deleted_at = 0",
	"CREATE UNIQUE INDEX user_groups_name ON user_groups (name_fold)",
	"CREATE UNIQUE INDEX apps_name ON apps (name_fold) WHERE deleted_at = 0",
	"CREATE UNIQUE INDEX provisions_name ON provisions (name_fold) WHERE deleted_at = 0",
	"CREATE INDEX agents_name ON agents (kind, name_fold, id) WHERE deleted_at = 0",
}

func (m *NamesMigration) run(ctx context.Context, q *sql.Tx) error {
	m.renamed = nil
	t := &Tx{ctx: ctx, q: q, d: m.Dialect}
	var err error
	if t.now.Wall, err = m.wall(t); err != nil {
		return err
	}
	statements := slices.Clone(m.Before)
	for _, index := range []string{"users_username", "user_groups_name", "apps_name", "provisions_name", "agents_name"} {
		statements = append(statements, "DROP INDEX "+index)
	}
	for _, n := range namedTables {
		for _, text := range n.texts {
			statements = append(statements, "ALTER TABLE "+n.table+" ADD COLUMN "+text+"_fold TEXT"+m.Collate+" NOT NULL DEFAULT ''")
		}
	}
	if err := t.all(statements); err != nil {
		return err
	}
	for _, n := range namedTables {
		if err := n.fill(t); err != nil {
			return err
		}
		if n.taken != "" {
			if err := m.separate(t, n); err != nil {
				return err
			}
		}
		if err := n.refresh(t); err != nil {
			return err
		}
	}
	return t.all(slices.Concat(namesIndexes, m.After))
}

func (m *NamesMigration) wall(t *Tx) (time.Time, error) {
	if m.Dialect.Clock == "" {
		return m.Dialect.Now(), nil
	}
	var us int64
	err := t.one("SELECT "+m.Dialect.Clock, nil, &us)
	return when(us), err
}

func (t *Tx) all(statements []string) error {
	for _, s := range statements {
		if _, err := t.exec(s); err != nil {
			return err
		}
	}
	return nil
}

// namedRow is a row with some of its texts.
type namedRow struct {
	id    int64
	texts []string
}

// batches calls do for the rows in the order of their ids, some at a time.
func (n *namedTable) batches(t *Tx, columns []string, do func([]namedRow) error) error {
	for after := int64(0); ; {
		var rows []namedRow
		err := t.each("SELECT id, "+strings.Join(columns, ", ")+" FROM "+n.table+" WHERE id > ? ORDER BY id LIMIT ?", []any{after, namesBatch}, func(r *sql.Rows) error {
			row, err := scanNamed(r, len(columns))
			rows = append(rows, row)
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := do(rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].id
	}
}

func scanNamed(r *sql.Rows, n int) (namedRow, error) {
	row := namedRow{texts: make([]string, n)}
	dest := []any{&row.id}
	for i := range row.texts {
		dest = append(dest, &row.texts[i])
	}
	return row, r.Scan(dest...)
}

// fill computes the folds.
func (n *namedTable) fill(t *Tx) error {
	var sets []string
	for i, text := range n.texts {
		sets = append(sets, fmt.Sprintf("%s_fold = v.column%d", text, i+2))
	}
	one := "(CAST(? AS BIGINT)" + strings.Repeat(", CAST(? AS TEXT)", len(n.texts)) + ")"
	return n.batches(t, n.texts, func(rows []namedRow) error {
		var args []any
		for _, r := range rows {
			args = append(args, r.id)
			for _, text := range r.texts {
				args = append(args, fold.Fold(text))
			}
		}
		_, err := t.exec("UPDATE "+n.table+" SET "+strings.Join(sets, ", ")+" FROM (VALUES "+one+strings.Repeat(", "+one, len(rows)-1)+") AS v WHERE "+n.table+".id = v.column1", args...)
		return err
	})
}

// separate gives those another name that have one which is taken now. The first of them, by
// id, keeps it.
func (m *NamesMigration) separate(t *Tx, n namedTable) error {
	text, key := n.texts[0], n.texts[0]+"_fold"
	var rows []namedRow
	err := t.each("SELECT id, "+text+", "+key+" FROM "+n.table+" WHERE "+n.taken+" AND "+key+" IN (SELECT "+key+" FROM "+n.table+" WHERE "+n.taken+
		" GROUP BY "+key+" HAVING count(*) > 1) ORDER BY "+key+", id", nil, func(r *sql.Rows) error {
		row, err := scanNamed(r, 2)
		rows = append(rows, row)
		return err
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	taken := map[string]bool{}
	err = t.each("SELECT "+key+" FROM "+n.table+" WHERE "+n.taken, nil, func(r *sql.Rows) error {
		var k string
		err := r.Scan(&k)
		taken[k] = true
		return err
	})
	if err != nil {
		return err
	}
	first, number := rows[0], 2
	for _, r := range rows[1:] {
		if r.texts[1] != first.texts[1] {
			first, number = r, 2
			continue
		}
		name := n.numbered(r.texts[0], number)
		for taken[fold.Fold(name)] {
			number++
			name = n.numbered(r.texts[0], number)
		}
		taken[fold.Fold(name)] = true
		if err := m.rename(t, n, renamed{kind: n.kind, id: r.id, of: first.id, was: r.texts[0], is: name, other: first.texts[0]}); err != nil {
			return err
		}
	}
	return nil
}

// numbered is the name with a number, no longer than names may be.
func (n *namedTable) numbered(name string, number int) string {
	end := fmt.Sprintf(n.next, number)
	for room := n.max - utf8.RuneCountInString(end); utf8.RuneCountInString(name) > room; {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.TrimSpace(name) + end
}

// rename gives a row its new name, and lists it in the audit log.
func (m *NamesMigration) rename(t *Tx, n namedTable, r renamed) error {
	text := n.texts[0]
	if _, err := t.exec("UPDATE "+n.table+" SET "+text+" = ?, "+text+"_fold = ? WHERE id = ?", r.is, fold.Fold(r.is), r.id); err != nil {
		return err
	}
	if n.sorts[0] != "" {
		if err := t.resortAll(n.sorts[0], r.is, n.ref, r.id); err != nil {
			return err
		}
	}
	m.renamed = append(m.renamed, r)
	// As the schema of this version has it.
	_, err := t.exec("INSERT INTO audit (at, actor, source, action, target, name, reason, outcome) VALUES ("+marks(8)+")",
		micros(t.now.Wall), "server", "", r.kind+".renamed", fmt.Sprintf("%s %d", r.kind, r.id), r.is,
		fmt.Sprintf("was %q, which is the same name as %q of %s %d", r.was, r.other, r.kind, r.of), "done")
	return err
}

// refresh folds what the rows are found by and what their sessions are sorted by. Sessions
// are written only where the sort key is another one than the database's lower() made it, a
// statement a name.
func (n *namedTable) refresh(t *Tx) error {
	var columns []string
	for _, text := range n.texts {
		columns = append(columns, text+"_fold", "lower("+text+")")
	}
	return n.batches(t, columns, func(rows []namedRow) error {
		for i, kind := range n.names {
			var args []any
			for _, r := range rows {
				var parts []string
				for _, text := range n.found[i] {
					parts = append(parts, r.texts[2*text])
				}
				args = append(args, nameBase(kind)+r.id, kind, r.id, strings.Join(parts, "\n"))
			}
			_, err := t.exec("INSERT INTO names (id, kind, ref, text) VALUES (?, ?, ?, ?)"+strings.Repeat(", (?, ?, ?, ?)", len(rows)-1)+
				" ON CONFLICT (id) DO UPDATE SET text = excluded.text WHERE names.text <> excluded.text", args...)
			if err != nil {
				return err
			}
		}
		for _, r := range rows {
			for i, column := range n.sorts {
				if key, lower := r.texts[2*i], r.texts[2*i+1]; column != "" && key != lower {
					if err := t.resortAll(column, key, n.ref, r.id); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}
