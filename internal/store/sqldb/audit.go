package sqldb

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/fold"
	"leasehold/internal/store"
)

const auditColumns = "id, at, actor, source, request_id, action, target, name, reason, outcome, changes, count"

// AddAudit implements store.Audit.
func (t *Tx) AddAudit(e *store.AuditEntry) (err error) {
	e.Count = 1
	e.ID, err = t.insert(insertAudit, auditValues(e, nil)...)
	return err
}

// CountAudit implements store.Audit.
func (t *Tx) CountAudit(key string, e *store.AuditEntry) error {
	t.plan = nil
	return t.row(insertAudit+" ON CONFLICT (count_key) DO UPDATE SET count = audit.count + excluded.count RETURNING id, count",
		auditValues(e, key)...).Scan(&e.ID, &e.Count)
}

var insertAudit = "INSERT INTO audit (at, actor, source, request_id, action, target, name, reason, outcome, changes, count, count_key, actor_fold, target_fold) VALUES (" + marks(14) + ")"

func auditValues(e *store.AuditEntry, key any) []any {
	changes := ""
	if len(e.Changes) > 0 {
		changes = toJSON(e.Changes)
	}
	return []any{micros(e.At), e.Actor, e.From, e.RequestID, e.Action, e.Target, e.Name, e.Reason, e.Outcome, changes, int64(e.Count), key,
		fold.Fold(e.Actor), auditFold(e.Target, e.Name)}
}

func scanAudit(scan func(...any) error) (e store.AuditEntry, err error) {
	var at int64
	var changes string
	if err := scan(&e.ID, &at, &e.Actor, &e.From, &e.RequestID, &e.Action, &e.Target, &e.Name, &e.Reason, &e.Outcome, &changes, &e.Count); err != nil {
		return e, err
	}
	e.At = when(at)
	if changes != "" {
		if err := json.Unmarshal([]byte(changes), &e.Changes); err != nil {
			return e, fmt.Errorf("changes of audit entry %d: %w", e.ID, err)
		}
	}
	return e, nil
}

// AuditEntry implements store.Audit.
func (t *Tx) AuditEntry(id int64) (*store.AuditEntry, error) {
	e, err := scanAudit(t.row("SELECT "+auditColumns+" FROM audit WHERE id = ?", id).Scan)
	return found(&e, err)
}

// ListAudit implements store.Audit. It walks an index by time from where the page before has
// ended, so that no page costs more than another one.
func (t *Tx) ListAudit(q store.AuditQuery) (list []store.AuditEntry, next string, err error) {
	page := q.Page
	if page.Size <= 0 || page.Size > 500 {
		page.Size = 50
	}
	if !holds(q.Who) || !holds(q.Action) || !holds(q.Target) {
		return nil, "", nil
	}
	cond, args := []string{"1 = 1"}, []any(nil)
	add := func(is bool, c string, a ...any) {
		if is {
			cond, args = append(cond, c), append(args, a...)
		}
	}
	add(q.Action != "", "action = ?", q.Action)
	add(!q.From.IsZero(), "at >= ?", micros(q.From))
	add(!q.To.IsZero(), "at < ?", micros(q.To))
	who, target := fold.Fold(strings.TrimSpace(q.Who)), fold.Fold(strings.TrimSpace(q.Target))
	add(who != "", t.d.Position+"(actor_fold, ?) > 0", who)
	add(target != "", t.d.Position+"(target_fold, ?) > 0", target)
	if page.Token != "" {
		at, id, err := auditToken(page.Token)
		if err != nil {
			return nil, "", err
		}
		add(true, "(at, id) < (?, ?)", at, id)
	}
	err = t.each("SELECT "+auditColumns+" FROM audit WHERE "+strings.Join(cond, " AND ")+" ORDER BY at DESC, id DESC LIMIT ?", append(args, int64(page.Size+1)), func(r *sql.Rows) error {
		e, err := scanAudit(r.Scan)
		list = append(list, e)
		return err
	})
	if len(list) > page.Size {
		list = list[:page.Size]
		last := list[page.Size-1]
		next = fmt.Sprintf("%d-%d", micros(last.At), last.ID)
	}
	return list, next, err
}

// auditToken reads where the page before has ended: the time and the id of its last entry.
func auditToken(token string) (at, id int64, err error) {
	a, i, _ := strings.Cut(token, "-")
	if at, err = strconv.ParseInt(a, 10, 64); err == nil {
		id, err = strconv.ParseInt(i, 10, 64)
	}
	if err != nil {
		return 0, 0, store.ErrBadPageToken
	}
	return at, id, nil
}

// DeleteAudit implements store.Audit.
func (t *Tx) DeleteAudit(before time.Time, limit int) (int, error) {
	n, err := t.exec("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY at, id LIMIT ?)", micros(before), int64(limit))
	return int(n), err
}
