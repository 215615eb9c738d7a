package sqldb

import (
	"database/sql"
	"errors"
	"strconv"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// CreateToken implements store.Access.
func (t *Tx) CreateToken(k *store.Token) error {
	_, err := t.exec("INSERT INTO tokens (hash, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)", k.Hash, k.UserID, micros(k.CreatedAt), micros(k.ExpiresAt))
	return err
}

// Token implements store.Access.
func (t *Tx) Token(hash []byte) (*store.Token, error) {
	k := &store.Token{}
	var created, expires int64
	if err := t.one("SELECT hash, user_id, created_at, expires_at FROM tokens WHERE hash = ? AND expires_at > ?", []any{hash, micros(t.now)}, &k.Hash, &k.UserID, &created, &expires); err != nil {
		return nil, err
	}
	k.CreatedAt, k.ExpiresAt = when(created), when(expires)
	return k, nil
}

// DeleteTokens implements store.Access.
func (t *Tx) DeleteTokens(user int64) error {
	_, err := t.exec("DELETE FROM tokens WHERE user_id = ?", user)
	return err
}

// WebSession implements store.Access.
func (t *Tx) WebSession(token string) (data []byte, ok bool, err error) {
	err = t.one("SELECT data FROM web_sessions WHERE token = ? AND expires_at > ?", []any{token, micros(t.now)}, &data)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// SaveWebSession implements store.Access.
func (t *Tx) SaveWebSession(token string, data []byte, expires time.Time) error {
	_, err := t.exec("INSERT INTO web_sessions (token, data, expires_at) VALUES (?, ?, ?) ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at", token, data, micros(expires))
	return err
}

// DeleteWebSession implements store.Access.
func (t *Tx) DeleteWebSession(token string) error {
	_, err := t.exec("DELETE FROM web_sessions WHERE token = ?", token)
	return err
}

// DeleteExpired implements store.Access.
func (t *Tx) DeleteExpired() error {
	if _, err := t.exec("DELETE FROM tokens WHERE expires_at <= ?", micros(t.now)); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM web_sessions WHERE expires_at <= ?", micros(t.now))
	return err
}

// SigningKeys implements store.Access.
func (t *Tx) SigningKeys() (list []store.SigningKey, err error) {
	err = t.each("SELECT id, pkcs8, created_at FROM signing_keys ORDER BY created_at DESC, id", nil, func(r *sql.Rows) error {
		var k store.SigningKey
		var created int64
		err := r.Scan(&k.ID, &k.PKCS8, &created)
		k.CreatedAt = when(created)
		list = append(list, k)
		return err
	})
	return list, err
}

// AddSigningKey implements store.Access.
func (t *Tx) AddSigningKey(k store.SigningKey) error {
	_, err := t.exec("INSERT INTO signing_keys (id, pkcs8, created_at) VALUES (?, ?, ?)", k.ID, k.PKCS8, micros(k.CreatedAt))
	return err
}

// Setting implements store.Access.
func (t *Tx) Setting(name string) (v string, err error) {
	err = t.one("SELECT value FROM settings WHERE name = ?", []any{name}, &v)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return v, err
}

// SetSetting implements store.Access.
func (t *Tx) SetSetting(name, value string) error {
	_, err := t.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// AddAudit implements store.Records.
func (t *Tx) AddAudit(e store.AuditEntry) error {
	_, err := t.exec("INSERT INTO audit (at, actor, source, action, target, name, reason, outcome) VALUES ("+marks(8)+")",
		micros(e.At), e.Actor, e.From, e.Action, e.Target, e.Name, e.Reason, e.Outcome)
	return err
}

// ListAudit implements store.Records.
func (t *Tx) ListAudit(page store.Page) (list []store.AuditEntry, next string, err error) {
	if page.Size <= 0 || page.Size > 500 {
		page.Size = 50
	}
	before := int64(1<<63 - 1)
	if page.Token != "" {
		if before, err = strconv.ParseInt(page.Token, 10, 64); err != nil {
			return nil, "", store.ErrBadPageToken
		}
	}
	err = t.each("SELECT id, at, actor, source, action, target, name, reason, outcome FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?", []any{before, page.Size + 1}, func(r *sql.Rows) error {
		var e store.AuditEntry
		var at int64
		err := r.Scan(&e.ID, &at, &e.Actor, &e.From, &e.Action, &e.Target, &e.Name, &e.Reason, &e.Outcome)
		e.At = when(at)
		list = append(list, e)
		return err
	})
	if len(list) > page.Size {
		list = list[:page.Size]
		next = strconv.FormatInt(list[page.Size-1].ID, 10)
	}
	return list, next, err
}

// AddDenial implements store.Records.
func (t *Tx) AddDenial(d store.Denial) error {
	_, err := t.exec("INSERT INTO denials (at, session_id, run, user_id, app_id, delivery_method_id, agent_id, code, message) VALUES ("+marks(9)+") ON CONFLICT DO NOTHING",
		micros(d.At), d.Session, int64(d.Run), d.UserID, d.AppID, d.DeliveryMethodID, d.AgentID, string(d.Code), d.Message)
	return err
}

// Denials implements store.Records.
func (t *Tx) Denials(id int64, limit int) (list []store.Denial, err error) {
	err = t.each("SELECT id, at, session_id, run, user_id, app_id, delivery_method_id, agent_id, code, message FROM denials WHERE session_id = ? ORDER BY id DESC LIMIT ?", []any{id, limit}, func(r *sql.Rows) error {
		var d store.Denial
		var at int64
		var code string
		err := r.Scan(&d.ID, &at, &d.Session, &d.Run, &d.UserID, &d.AppID, &d.DeliveryMethodID, &d.AgentID, &code, &d.Message)
		d.At, d.Code = when(at), session.RefusalCode(code)
		list = append(list, d)
		return err
	})
	return list, err
}
