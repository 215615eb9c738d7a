//go:build unix

package main

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"leasehold/internal/fold"
	"leasehold/internal/session"
)

// The organisation that lists are measured on; a test makes it smaller.
var (
	nUsers      = 50_000
	nApps       = 200
	nProvisions = 100
	nDevices    = 20_000
)

// table is what is loaded into one table.
type table struct {
	name    string
	columns []string
	rows    iter.Seq[[]any]
}

// loader puts rows into a database in bulk.
type loader interface {
	// indexes lists the statements that make the sessions' indexes, by name.
	indexes(ctx context.Context) (map[string]string, error)
	exec(ctx context.Context, statement string) error
	load(ctx context.Context, t table) error
	finish(ctx context.Context) error
}

// fill loads an organisation with n sessions, and returns how many rows a second went in.
func fill(ctx context.Context, l loader, n int) (float64, error) {
	rows := 0
	begin := time.Now()
	// Made at the end, in the order of their keys, which is several times faster.
	indexes, err := l.indexes(ctx)
	if err != nil {
		return 0, err
	}
	for name := range indexes {
		if err := l.exec(ctx, "DROP INDEX "+name); err != nil {
			return 0, err
		}
	}
	for _, t := range tables(n) {
		counted := t
		counted.rows = func(yield func([]any) bool) {
			for r := range t.rows {
				rows++
				if !yield(r) {
					return
				}
			}
		}
		if err := l.load(ctx, counted); err != nil {
			return 0, fmt.Errorf("load %s: %w", t.name, err)
		}
	}
	for _, statement := range indexes {
		if err := l.exec(ctx, statement); err != nil {
			return 0, err
		}
	}
	rate := float64(rows) / time.Since(begin).Seconds()
	return rate, l.finish(ctx)
}

var syllables = strings.Fields("an ber ka lo mi na ro su ti vel dar gor hen jo kim len mar nor os pa rin sol tam ul ven wil yas ed fa gus")

// word is a name of k syllables; it never contains a z, a q or an x.
func word(rnd *rand.Rand, k int) string {
	var b strings.Builder
	for range k {
		b.WriteString(syllables[rnd.IntN(len(syllables))])
	}
	s := b.String()
	return strings.ToUpper(s[:1]) + s[1:]
}

// org is what names the sessions of the load.
type org struct {
	users, emails, apps, provisions, devices []string
}

func newOrg() *org {
	rnd := rand.New(rand.NewPCG(1, 1))
	o := &org{}
	for i := range nUsers {
		first, last := word(rnd, 2), word(rnd, 3)
		o.users = append(o.users, first+" "+last)
		o.emails = append(o.emails, strings.ToLower(fmt.Sprintf("%s.%s%d@example.edu", first, last, i)))
	}
	for i := range nApps {
		o.apps = append(o.apps, fmt.Sprintf("%s Studio %d", word(rnd, 3), i))
	}
	for i := range nProvisions {
		o.provisions = append(o.provisions, fmt.Sprintf("%s course %d", word(rnd, 2), i))
	}
	for i := range nDevices {
		o.devices = append(o.devices, fmt.Sprintf("LAB-%05d", i))
	}
	return o
}

// status draws a status: nineteen in twenty sessions are prior ones, a twentieth runs,
// most of these among the latest fifth.
func status(rnd *rand.Rand, i, n int) session.Status {
	running := 0.0125
	if i > n*4/5 {
		running = 0.2
	}
	switch x := rnd.Float64(); {
	case x < running:
		return session.Running
	case x < running+0.00005:
		return session.RenewalRequested
	case x < running+0.002:
		return session.Evicted
	case x < running+0.15:
		return session.Stopped
	case x < running+0.40:
		return session.Expired
	}
	return session.Removed
}

func tables(n int) []table {
	o := newOrg()
	now := time.Now().UnixMicro()
	const day = int64(24 * time.Hour / time.Microsecond)
	begin := now - 700*day
	step := 700 * day / int64(n)
	many := func(n int, row func(i int) []any) iter.Seq[[]any] {
		return func(yield func([]any) bool) {
			for i := range n {
				if !yield(row(i)) {
					return
				}
			}
		}
	}
	cols := strings.Fields
	sessions := func(visit func(id int, st session.Status, user, app, dev int, at, since int64, deleted int64) bool) {
		rnd := rand.New(rand.NewPCG(2, 2))
		for i := range n {
			st := status(rnd, i, n)
			// A few apps and users have most of the sessions.
			user := int(float64(nUsers) * rnd.Float64() * rnd.Float64())
			app := int(float64(nApps) * rnd.Float64() * rnd.Float64())
			at := begin + int64(i)*step
			since := min(now, at+rnd.Int64N(30*day))
			deleted := int64(0)
			if st == session.Removed && rnd.IntN(50) == 0 {
				deleted = now
			}
			if !visit(i+1, st, user, app, rnd.IntN(nDevices), at, since, deleted) {
				return
			}
		}
	}
	named := func(yield func([]any) bool) {
		for _, k := range []struct {
			code int64 // as sqldb numbers the kinds
			kind string
			text func(i int) string
			n    int
		}{
			{1, "user", func(i int) string { return fmt.Sprintf("u%05d %s", i+1, o.users[i]) }, nUsers},
			{2, "email", func(i int) string { return o.emails[i] }, nUsers},
			{3, "app", func(i int) string { return o.apps[i] }, nApps},
			{4, "provision", func(i int) string { return o.provisions[i] }, nProvisions},
			{5, "agent", func(i int) string { return o.devices[i] }, nDevices},
		} {
			for i := range k.n {
				if !yield([]any{k.code<<40 + int64(i) + 1, k.kind, i + 1, fold.Fold(k.text(i))}) {
					return
				}
			}
		}
	}
	return []table{
		{"users", cols("id username username_fold name name_fold email email_fold role status source password_hash created_at deleted_at"), many(nUsers, func(i int) []any {
			return []any{i + 1, fmt.Sprintf("u%05d", i+1), fmt.Sprintf("u%05d", i+1), o.users[i], fold.Fold(o.users[i]), o.emails[i], fold.Fold(o.emails[i]), "user", "active", "local", "", begin, 0}
		})},
		{"apps", cols("id name name_fold description status created_at deleted_at"), many(nApps, func(i int) []any {
			return []any{i + 1, o.apps[i], fold.Fold(o.apps[i]), "", "active", begin, 0}
		})},
		{"delivery_methods", cols("id app_id name name_fold kind licence offline_seconds seats heartbeat_seconds warnings successor_id packages stream created_at deleted_at"), many(nApps, func(i int) []any {
			return []any{i + 1, i + 1, o.apps[i] + ", installed", fold.Fold(o.apps[i] + ", installed"), "device", "floating", 0, 0, 300, "[120,60]", 0, `[{"type":"command","command":["app"]}]`, "null", begin, 0}
		})},
		{"provisions", cols("id name name_fold starts_at ends_at enabled ownership networks created_at deleted_at"), many(nProvisions, func(i int) []any {
			return []any{i + 1, o.provisions[i], fold.Fold(o.provisions[i]), 0, 0, 1, "", "[]", begin, 0}
		})},
		{"agents", cols("id kind name name_fold os arch version simulated ownership pool slots credential created_at deleted_at last_check_in token previous quarantined epoch seq"), many(nDevices, func(i int) []any {
			return []any{i + 1, "player", o.devices[i], fold.Fold(o.devices[i]), "linux", "amd64", "bench", 1, "", "", 0, []byte{1}, begin, 0, 1, "", "", 0, 1, 1}
		})},
		{"names", cols("id kind ref text"), named},
		{"sessions", cols(`id kind user_id app_id delivery_method_id provision_id agent_id status reason status_since before unneeded observed observed_since
			run run_method progress problem viewers unwatched_since idle_at said told mark wanted stored ended started_at first_run_at last_activity_at ended_at deleted_at gone live duration_sort user_sort email_sort app_sort provision_sort method_sort agent_sort`),
			func(yield func([]any) bool) {
				sessions(func(id int, st session.Status, user, app, dev int, at, since, deleted int64) bool {
					observed, live, ended, duration := "idle", 1, int64(0), -at
					switch {
					case st.Ended():
						observed, live, ended, duration = "absent", 0, since, since-at
					case st.Active():
						observed = "running"
					}
					p := app % nProvisions
					return yield([]any{id, "device", user + 1, app + 1, app + 1, p + 1, dev + 1, string(st), "", since, "", "", observed, since,
						1, app + 1, 0, "", 0, 0, 0, 0, 0, 0, 0, 0, 0, at, at, since, ended, deleted, min(deleted, 1), live, duration,
						fold.Fold(o.users[user]), fold.Fold(o.emails[user]), fold.Fold(o.apps[app]), fold.Fold(o.provisions[p]), fold.Fold(o.apps[app] + ", installed"), fold.Fold(o.devices[dev])})
				})
			}},
		{"leases", cols("session_id delivery_method_id kind generation run granted_at expires_at free_at"), func(yield func([]any) bool) {
			sessions(func(id int, st session.Status, _, app, _ int, _, _, _ int64) bool {
				if st != session.Running {
					return true
				}
				return yield([]any{id, app + 1, "floating", 1, 1, now, now + day, now + day})
			})
		}},
		{"seats", cols("delivery_method_id session_id taken_at"), func(yield func([]any) bool) {
			sessions(func(id int, st session.Status, _, app, _ int, at, _, _ int64) bool {
				return st != session.Running || yield([]any{app + 1, id, at})
			})
		}},
	}
}

// pgLoader loads by COPY.
type pgLoader struct{ conn *pgx.Conn }

func (l *pgLoader) load(ctx context.Context, t table) error {
	next, stop := iter.Pull(t.rows)
	defer stop()
	_, err := l.conn.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, ok := next()
		if !ok {
			return nil, nil
		}
		return row, nil
	}))
	return err
}

func (l *pgLoader) exec(ctx context.Context, statement string) error {
	_, err := l.conn.Exec(ctx, statement)
	return err
}

func (l *pgLoader) indexes(ctx context.Context) (map[string]string, error) {
	rows, err := l.conn.Query(ctx, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'sessions' AND indexname <> 'sessions_pkey'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, def string
		if err := rows.Scan(&name, &def); err != nil {
			return nil, err
		}
		out[name] = def
	}
	return out, rows.Err()
}

// finish does what autovacuum would do a little later.
func (l *pgLoader) finish(ctx context.Context) error {
	for _, t := range []string{"users", "apps", "delivery_methods", "provisions", "agents", "sessions"} {
		if _, err := l.conn.Exec(ctx, fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), (SELECT max(id) FROM %[1]s))", t)); err != nil {
			return err
		}
	}
	_, err := l.conn.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// sqliteLoader loads by prepared inserts, a transaction a table.
type sqliteLoader struct{ db *sql.DB }

func openSQLiteLoader(folder string) (*sqliteLoader, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "leasehold.db")+"?_pragma=synchronous(OFF)&_pragma=cache_size(-524288)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &sqliteLoader{db}, nil
}

func (l *sqliteLoader) load(ctx context.Context, t table) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st, err := tx.PrepareContext(ctx, "INSERT INTO "+t.name+" ("+strings.Join(t.columns, ", ")+") VALUES ("+strings.TrimSuffix(strings.Repeat("?, ", len(t.columns)), ", ")+")")
	if err != nil {
		return err
	}
	for row := range t.rows {
		if _, err := st.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (l *sqliteLoader) exec(ctx context.Context, statement string) error {
	_, err := l.db.ExecContext(ctx, statement)
	return err
}

func (l *sqliteLoader) indexes(ctx context.Context) (map[string]string, error) {
	rows, err := l.db.QueryContext(ctx, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'sessions' AND sql IS NOT NULL")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, def string
		if err := rows.Scan(&name, &def); err != nil {
			return nil, err
		}
		out[name] = def
	}
	return out, rows.Err()
}

func (l *sqliteLoader) finish(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}
