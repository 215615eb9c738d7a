package sqldb

import (
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// ClaimDuty implements store.Work.
func (t *Tx) ClaimDuty(name, node string, hold time.Duration) (term int64, mark string, err error) {
	var holder string
	var until int64
	err = t.one("SELECT node, term, until, mark FROM duties WHERE name = ?"+t.d.ForUpdate, []any{name}, &holder, &term, &until, &mark)
	if errors.Is(err, store.ErrNotFound) {
		// Whoever loses the race for the first row finds it taken.
		n, err := t.exec("INSERT INTO duties (name, node, term, until, mark) VALUES (?, ?, 1, ?, '') ON CONFLICT DO NOTHING", name, node, int64(t.now.About(hold)))
		if err == nil && n == 0 {
			err = store.ErrHeld
		}
		return 1, "", err
	}
	if err != nil {
		return 0, "", err
	}
	if holder != node {
		if until > int64(t.now.Earliest) {
			return 0, "", store.ErrHeld
		}
		term++
	}
	_, err = t.exec("UPDATE duties SET node = ?, term = ?, until = ? WHERE name = ?", node, term, int64(t.now.About(hold)), name)
	return term, mark, err
}

// KeepDuty implements store.Work.
func (t *Tx) KeepDuty(name string, term int64, hold time.Duration) error {
	return t.held(t.exec("UPDATE duties SET until = ? WHERE name = ? AND term = ?", int64(t.now.About(hold)), name, term))
}

// MarkDuty implements store.Work.
func (t *Tx) MarkDuty(name string, term int64, mark string) error {
	return t.held(t.exec("UPDATE duties SET mark = ? WHERE name = ? AND term = ?", mark, name, term))
}

// DutyMark implements store.Work.
func (t *Tx) DutyMark(name string) (mark string, err error) {
	err = t.one("SELECT mark FROM duties WHERE name = ?", []any{name}, &mark)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return mark, err
}

// DropDuty implements store.Work.
func (t *Tx) DropDuty(name string, term int64) error {
	return t.held(t.exec("UPDATE duties SET until = 0 WHERE name = ? AND term = ?", name, term))
}

func (t *Tx) held(n int64, err error) error {
	if err == nil && n == 0 {
		return store.ErrHeld
	}
	return err
}

const batchColumns = "id, action, reason, filter, by_role, by_name, source, state, reached, total, applied, skipped, created_at, started_at, finished_at"

func scanBatch(scan func(...any) error) (*store.Batch, error) {
	b := &store.Batch{}
	var filter string
	var created, started, finished int64
	err := scan(&b.ID, &b.Action, &b.Reason, &filter, &b.By.Role, &b.By.Name, &b.From, &b.State, &b.Reached, &b.Total, &b.Applied, &b.Skipped, &created, &started, &finished)
	b.CreatedAt, b.StartedAt, b.FinishedAt = when(created), when(started), when(finished)
	if err == nil && filter != "" {
		b.Filter = &store.SessionQuery{}
		err = json.Unmarshal([]byte(filter), b.Filter)
	}
	return b, err
}

// CreateBatch implements store.Work.
func (t *Tx) CreateBatch(b *store.Batch) (err error) {
	filter := ""
	if b.Filter != nil {
		filter = toJSON(b.Filter)
	}
	b.ID, err = t.insert("INSERT INTO batches (action, reason, filter, by_role, by_name, source, state, reached, total, applied, skipped, created_at, started_at, finished_at) VALUES ("+marks(14)+")",
		string(b.Action), b.Reason, filter, string(b.By.Role), b.By.Name, b.From, string(b.State), b.Reached, b.Total, b.Applied, b.Skipped, micros(b.CreatedAt), micros(b.StartedAt), micros(b.FinishedAt))
	return err
}

// Batch implements store.Work.
func (t *Tx) Batch(id int64) (*store.Batch, error) {
	return found(scanBatch(t.row("SELECT "+batchColumns+" FROM batches WHERE id = ?", id).Scan))
}

// LockBatch implements store.Work.
func (t *Tx) LockBatch(id int64) (*store.Batch, error) {
	return found(scanBatch(t.row("SELECT "+batchColumns+" FROM batches WHERE id = ?"+t.d.ForUpdate, id).Scan))
}

// SaveBatch implements store.Work.
func (t *Tx) SaveBatch(b *store.Batch) error {
	_, err := t.exec("UPDATE batches SET state = ?, reason = ?, by_role = ?, by_name = ?, source = ?, reached = ?, total = ?, applied = ?, skipped = ?, started_at = ?, finished_at = ? WHERE id = ?",
		string(b.State), b.Reason, string(b.By.Role), b.By.Name, b.From, b.Reached, b.Total, b.Applied, b.Skipped, micros(b.StartedAt), micros(b.FinishedAt), b.ID)
	return err
}

// Batches implements store.Work.
func (t *Tx) Batches(state store.BatchState, before int64, limit int) (list []*store.Batch, err error) {
	cond, args := "id < ?", []any{before}
	if before == 0 {
		cond, args = "1 = 1", nil
	}
	if state != "" {
		cond, args = cond+" AND state = ?", append(args, string(state))
	} else {
		cond += " AND started_at > 0"
	}
	err = t.each("SELECT "+batchColumns+" FROM batches WHERE "+cond+" ORDER BY id DESC LIMIT ?", append(args, limit), func(r *sql.Rows) error {
		b, err := scanBatch(r.Scan)
		list = append(list, b)
		return err
	})
	return list, err
}

// AddBatchItems implements store.Work.
func (t *Tx) AddBatchItems(batch int64, ids []int64) error {
	for part := range slices.Chunk(ids, 500) {
		var args []any
		for _, id := range part {
			args = append(args, batch, id)
		}
		rows := strings.TrimSuffix(strings.Repeat("(?, ?, '', '', ''), ", len(part)), ", ")
		if _, err := t.exec("INSERT INTO batch_items (batch_id, session_id, outcome, status, reason) VALUES "+rows+" ON CONFLICT DO NOTHING", args...); err != nil {
			return err
		}
	}
	return nil
}

// BatchItems implements store.Work.
func (t *Tx) BatchItems(batch int64, outcome string, after int64, limit int) (list []store.BatchItem, err error) {
	cond, args := "batch_id = ? AND session_id > ?", []any{batch, after}
	if outcome != "" {
		cond, args = cond+" AND outcome = ?", append(args, outcome)
	}
	err = t.each("SELECT session_id, outcome, status, reason FROM batch_items WHERE "+cond+" ORDER BY session_id LIMIT ?", append(args, limit), func(r *sql.Rows) error {
		var i store.BatchItem
		err := r.Scan(&i.Session, &i.Outcome, &i.Status, &i.Reason)
		list = append(list, i)
		return err
	})
	return list, err
}

// SaveBatchItem implements store.Work.
func (t *Tx) SaveBatchItem(batch int64, i store.BatchItem) error {
	_, err := t.exec("UPDATE batch_items SET outcome = ?, status = ?, reason = ? WHERE batch_id = ? AND session_id = ?", i.Outcome, string(i.Status), i.Reason, batch, i.Session)
	return err
}

// BatchKinds implements store.Work.
func (t *Tx) BatchKinds(batch int64) (list []store.BatchKind, err error) {
	err = t.each(`SELECT s.kind, s.app_id, coalesce(a.name, ''), s.status, CASE WHEN s.observed = 'running' THEN 1 ELSE 0 END AS run, s.gone, count(*)
		FROM batch_items i JOIN sessions s ON s.id = i.session_id LEFT JOIN apps a ON a.id = s.app_id
		WHERE i.batch_id = ? GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 3, 4, 5`, []any{batch}, func(r *sql.Rows) error {
		var k store.BatchKind
		var running, gone int64
		err := r.Scan(&k.Kind, &k.AppID, &k.AppName, &k.Status, &running, &gone, &k.N)
		k.Running, k.Deleted = running != 0, gone != 0
		list = append(list, k)
		return err
	})
	return list, err
}

// DeleteBatches implements store.Work.
func (t *Tx) DeleteBatches(previews, finished time.Time, limit int) (n int, err error) {
	ids, err := t.ids("SELECT id FROM batches WHERE state IN ('freezing', 'preview') AND created_at < ? OR state IN ('done', 'stopped') AND finished_at < ? ORDER BY id LIMIT ?", micros(previews), micros(finished), limit)
	for _, id := range ids {
		for _, q := range []string{"DELETE FROM batch_items WHERE batch_id = ?", "DELETE FROM batches WHERE id = ?"} {
			if err == nil {
				_, err = t.exec(q, id)
			}
		}
	}
	return len(ids), err
}

// AddCheck implements store.Work.
func (t *Tx) AddCheck(c *store.Check) (err error) {
	c.ID, err = t.insert("INSERT INTO checks (scope, ref, reached, end_running, reason, by_role, by_name, source, created_at) VALUES ("+marks(9)+")",
		string(c.Scope), c.Ref, c.Reached, b2i(c.EndRunning), c.Reason, string(c.By.Role), c.By.Name, c.From, micros(c.CreatedAt))
	return err
}

// NextCheck implements store.Work.
func (t *Tx) NextCheck() (*store.Check, error) { return t.check("ORDER BY id LIMIT 1") }

// LockCheck implements store.Work.
func (t *Tx) LockCheck(id int64) (*store.Check, error) {
	return t.check("WHERE id = ?"+t.d.ForUpdate, id)
}

func (t *Tx) check(end string, args ...any) (*store.Check, error) {
	c := &store.Check{}
	var ending, created int64
	err := t.one("SELECT id, scope, ref, reached, end_running, reason, by_role, by_name, source, created_at FROM checks "+end, args,
		&c.ID, &c.Scope, &c.Ref, &c.Reached, &ending, &c.Reason, &c.By.Role, &c.By.Name, &c.From, &created)
	if err != nil {
		return nil, err
	}
	c.EndRunning, c.CreatedAt = ending != 0, when(created)
	return c, nil
}

// SaveCheck implements store.Work.
func (t *Tx) SaveCheck(c *store.Check, done bool) error {
	if done {
		_, err := t.exec("DELETE FROM checks WHERE id = ?", c.ID)
		return err
	}
	_, err := t.exec("UPDATE checks SET reached = ? WHERE id = ?", c.Reached, c.ID)
	return err
}

var scopeColumns = map[store.Scope]string{store.OfUser: "user_id", store.OfApp: "app_id", store.OfMethod: "delivery_method_id", store.OfAgent: "agent_id"}

// ToCheck implements store.Work.
func (t *Tx) ToCheck(scope store.Scope, ref, after int64, scan int) (ids []int64, next int64, err error) {
	n := 0
	err = t.each("SELECT id, status FROM sessions WHERE gone = 0 AND "+scopeColumns[scope]+" = ? AND id > ? ORDER BY id LIMIT ?", []any{ref, after, scan}, func(r *sql.Rows) error {
		var id int64
		var status session.Status
		err := r.Scan(&id, &status)
		n, next = n+1, id
		if !status.Ended() {
			ids = append(ids, id)
		}
		return err
	})
	if n < scan {
		next = 0
	}
	return ids, next, err
}

// Idle implements store.Work.
func (t *Tx) Idle(s session.Status, quiet, since time.Time, after int64, limit int) ([]int64, error) {
	cond, args := "gone = 0 AND status = ? AND id > ?", []any{string(s), after}
	if !quiet.IsZero() {
		cond, args = cond+" AND last_activity_at <= ?", append(args, micros(quiet))
	}
	if !since.IsZero() {
		cond, args = cond+" AND status_since < ?", append(args, micros(since))
	}
	return t.ids("SELECT id FROM sessions WHERE "+cond+" ORDER BY id LIMIT ?", append(args, limit)...)
}

// Forgettable implements store.Work.
func (t *Tx) Forgettable(deletedBefore time.Time, limit int) ([]int64, error) {
	return t.ids(`SELECT s.id FROM sessions s LEFT JOIN leases l ON l.session_id = s.id LEFT JOIN orders o ON o.id = s.order_id
		WHERE s.deleted_at > 0 AND s.deleted_at < ? AND l.session_id IS NULL AND (o.id IS NULL OR o.closed_at > 0) ORDER BY s.deleted_at LIMIT ?`, micros(deletedBefore), limit)
}

// ForgetSession implements store.Work.
func (t *Tx) ForgetSession(id int64) error {
	for _, q := range []string{"DELETE FROM transitions WHERE session_id = ?", "DELETE FROM orders WHERE session_id = ?", "DELETE FROM messages WHERE session_id = ?", "DELETE FROM denials WHERE session_id = ?",
		"DELETE FROM seats WHERE session_id = ?", "DELETE FROM leases WHERE session_id = ?", "DELETE FROM sessions WHERE id = ?"} {
		if _, err := t.exec(q, id); err != nil {
			return err
		}
	}
	return nil
}

// SeatHolders implements store.Sessions.
func (t *Tx) SeatHolders(method, after int64, limit int) ([]int64, error) {
	return t.ids(`SELECT s.session_id FROM seats s JOIN leases l ON l.session_id = s.session_id
		WHERE s.delivery_method_id = ? AND s.session_id > ? AND l.free_at > ? ORDER BY s.session_id LIMIT ?`, method, after, int64(t.now.Earliest), limit)
}

// MatchingIDs implements store.Sessions.
func (t *Tx) MatchingIDs(q store.SessionQuery, after int64, limit int) ([]int64, error) {
	q.Sort, q.PageSize, q.PageToken = "id", 0, ""
	p, err := t.planFor(q)
	if err != nil || p.none {
		return nil, err
	}
	query, args, err := t.keys(p, order{column: "id", cur: &cursor{ID: after}}, limit)
	if err != nil {
		return nil, err
	}
	return t.ids("SELECT id FROM ("+query+") m ORDER BY id", args...)
}
