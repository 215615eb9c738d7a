package sqldb

import (
	"database/sql"
	"encoding/json"
	"net/netip"
	"strconv"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// Hosts implements store.Agents.
func (t *Tx) Hosts(pool string, method int64, seen lease.Time) (list []store.HostLoad, err error) {
	pools := cond{"a.pool = ?", []any{pool}}
	if pool == "" {
		pools = cond{"a.pool IN ('', 'default', 'Default', 'DEFAULT')", nil} // stored by that name before it was one with ""
	}
	err = t.each(`SELECT a.id, a.slots, (SELECT count(*) FROM sessions s WHERE s.agent_id = a.id AND s.live = 1),
			coalesce(f.failures, 0), coalesce(f.last_at, 0),
			(SELECT count(*) FROM start_failures g WHERE g.agent_id = a.id), (SELECT coalesce(max(g.last_at), 0) FROM start_failures g WHERE g.agent_id = a.id)
		FROM agents a JOIN agent_seen x ON x.agent_id = a.id LEFT JOIN start_failures f ON f.agent_id = a.id AND f.delivery_method_id = ?
		WHERE a.kind = 'host' AND a.deleted_at = 0 AND a.quarantined = 0 AND a.approved = 1 AND a.slots > 0 AND `+pools.sql+` AND x.lease_at >= ? ORDER BY a.id`,
		append(append([]any{method}, pools.args...), int64(seen)), func(r *sql.Rows) error {
			var h store.HostLoad
			err := r.Scan(&h.Agent, &h.Slots, &h.Live, &h.Failures, &h.Failed, &h.Failing, &h.LastFailed)
			list = append(list, h)
			return err
		})
	return list, err
}

// NoteStart implements store.Enrolment.
func (t *Tx) NoteStart(agent, method int64, failure string) error {
	if failure == "" {
		_, err := t.exec("DELETE FROM start_failures WHERE agent_id = ? AND delivery_method_id = ?", agent, method)
		return err
	}
	_, err := t.exec(`INSERT INTO start_failures (agent_id, delivery_method_id, failures, last_at, at, reason) VALUES (?, ?, 1, ?, ?, ?)
		ON CONFLICT (agent_id, delivery_method_id) DO UPDATE SET failures = start_failures.failures + 1, last_at = excluded.last_at, at = excluded.at, reason = excluded.reason`,
		agent, method, int64(t.now.Earliest), micros(t.now.Wall), failure)
	return err
}

// StartFailures implements store.Enrolment.
func (t *Tx) StartFailures(agent int64) (list []store.StartFailure, err error) {
	err = t.each("SELECT agent_id, delivery_method_id, failures, last_at, at, reason FROM start_failures WHERE agent_id = ? ORDER BY last_at DESC, delivery_method_id", []any{agent}, func(r *sql.Rows) error {
		var f store.StartFailure
		var at int64
		err := r.Scan(&f.Agent, &f.DeliveryMethodID, &f.Failures, &f.Last, &at, &f.Reason)
		f.At = when(at)
		list = append(list, f)
		return err
	})
	return list, err
}

const keyColumns = "id, kind, hash, created_at, expires_at, revoked_at, created_by, uses_left, simulated, ownership, pool, networks, approved"

func scanKey(scan func(...any) error) (*store.EnrolmentKey, error) {
	k := &store.EnrolmentKey{}
	var created, expires, revoked, simulated, approved int64
	var networks string
	err := scan(&k.ID, &k.Kind, &k.Hash, &created, &expires, &revoked, &k.CreatedBy, &k.UsesLeft, &simulated, &k.Ownership, &k.Pool, &networks, &approved)
	if err != nil {
		return nil, err
	}
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = when(created), when(expires), when(revoked)
	k.Simulated, k.Approved = simulated != 0, approved != 0
	if networks == "[]" {
		return k, nil
	}
	return k, json.Unmarshal([]byte(networks), &k.Networks)
}

// CreateEnrolmentKey implements store.Enrolment.
func (t *Tx) CreateEnrolmentKey(k *store.EnrolmentKey) (err error) {
	networks := k.Networks
	if networks == nil {
		networks = []netip.Prefix{}
	}
	k.ID, err = t.insert("INSERT INTO enrolment_keys (kind, hash, created_at, expires_at, revoked_at, created_by, uses_left, simulated, ownership, pool, networks, approved) VALUES ("+marks(12)+")",
		string(k.Kind), k.Hash, micros(k.CreatedAt), micros(k.ExpiresAt), micros(k.RevokedAt), k.CreatedBy, int64(k.UsesLeft), b2i(k.Simulated), string(k.Ownership), k.Pool, toJSON(networks), b2i(k.Approved))
	return err
}

// EnrolmentKey implements store.Enrolment.
func (t *Tx) EnrolmentKey(hash []byte) (*store.EnrolmentKey, error) {
	return found(scanKey(t.row("SELECT "+keyColumns+" FROM enrolment_keys WHERE hash = ?", hash).Scan))
}

// EnrolmentKeyByID implements store.Enrolment.
func (t *Tx) EnrolmentKeyByID(id int64) (*store.EnrolmentKey, error) {
	return found(scanKey(t.row("SELECT "+keyColumns+" FROM enrolment_keys WHERE id = ?", id).Scan))
}

// UseEnrolmentKey implements store.Enrolment.
func (t *Tx) UseEnrolmentKey(id int64) (bool, error) {
	n, err := t.exec("UPDATE enrolment_keys SET uses_left = uses_left - 1 WHERE id = ? AND uses_left > 0 AND revoked_at = 0 AND expires_at > ?", id, micros(t.now.Wall))
	return n > 0, err
}

// RevokeEnrolmentKey implements store.Enrolment.
func (t *Tx) RevokeEnrolmentKey(id int64) error {
	n, err := t.exec("UPDATE enrolment_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN ? ELSE revoked_at END WHERE id = ?", micros(t.now.Wall), id)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// ListEnrolmentKeys implements store.Enrolment.
func (t *Tx) ListEnrolmentKeys(page store.Page) (list []*store.EnrolmentKey, next string, err error) {
	if page.Size <= 0 || page.Size > 500 {
		page.Size = 50
	}
	below := int64(1) << 62
	if page.Token != "" {
		if below, err = strconv.ParseInt(page.Token, 10, 64); err != nil {
			return nil, "", store.ErrBadPageToken
		}
	}
	err = t.each("SELECT "+keyColumns+" FROM enrolment_keys WHERE id < ? ORDER BY id DESC LIMIT ?", []any{below, int64(page.Size + 1)}, func(r *sql.Rows) error {
		k, err := scanKey(r.Scan)
		list = append(list, k)
		return err
	})
	if len(list) > page.Size {
		list = list[:page.Size]
		next = strconv.FormatInt(list[page.Size-1].ID, 10)
	}
	return list, next, err
}
