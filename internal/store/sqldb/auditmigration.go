package sqldb

import (
	"context"
	"database/sql"
	"strings"

	"github.com/pressly/goose/v3"

	"leasehold/internal/fold"
)

// AuditMigration is migration 9, the same on both databases: entries of the audit log get
// their request, their changes and a count, and beside the actor and the target the fold by
// which they are searched, which no SQL can compute.
type AuditMigration struct {
	Dialect *Dialect
	// Collate is what follows the type of a column whose text is compared byte by byte.
	Collate string
}

// Migration is the migration for goose.
func (m *AuditMigration) Migration() *goose.Migration {
	return goose.NewGoMigration(9, &goose.GoFunc{RunTx: m.run}, nil)
}

func (m *AuditMigration) run(ctx context.Context, q *sql.Tx) error {
	t := &Tx{ctx: ctx, q: q, d: m.Dialect}
	err := t.all([]string{
		"ALTER TABLE audit ADD COLUMN request_id TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE audit ADD COLUMN changes TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE audit ADD COLUMN count BIGINT NOT NULL DEFAULT 1",
		// What refusals are counted under. Of NULL any number are unique.
		"ALTER TABLE audit ADD COLUMN count_key TEXT" + m.Collate,
		"ALTER TABLE audit ADD COLUMN actor_fold TEXT" + m.Collate + " NOT NULL DEFAULT ''",
		"ALTER TABLE audit ADD COLUMN target_fold TEXT" + m.Collate + " NOT NULL DEFAULT ''",
	})
	if err != nil {
		return err
	}
	if err := m.fill(t); err != nil {
		return err
	}
	return t.all([]string{
		"DROP INDEX audit_action",
		"CREATE INDEX audit_at ON audit (at, id)",
		"CREATE INDEX audit_action ON audit (action, at, id)",
		"CREATE UNIQUE INDEX audit_count_key ON audit (count_key)",
	})
}

// fill computes the folds of the entries that are there.
func (m *AuditMigration) fill(t *Tx) error {
	n := namedTable{table: "audit"}
	return n.batches(t, []string{"actor", "target", "name"}, func(rows []namedRow) error {
		var args []any
		for _, r := range rows {
			args = append(args, r.id, fold.Fold(r.texts[0]), auditFold(r.texts[1], r.texts[2]))
		}
		const one = "(CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS TEXT))"
		_, err := t.exec("WITH v (id, actor, target) AS (VALUES "+one+strings.Repeat(", "+one, len(rows)-1)+`)
			UPDATE audit SET actor_fold = v.actor, target_fold = v.target FROM v WHERE audit.id = v.id`, args...)
		return err
	})
}

// auditFold is what an entry's target is found by: what it is, and what people call it.
func auditFold(target, name string) string { return fold.Fold(target + "\n" + name) }
