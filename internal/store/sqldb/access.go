package sqldb

import (
	"database/sql"
	"errors"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// WebSession implements store.Access.
func (t *Tx) WebSession(token string) (data []byte, ok bool, err error) {
	err = t.one("SELECT data FROM web_sessions WHERE token = ? AND expires_at > ?", []any{token, micros(t.now.Wall)}, &data)
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
	if _, err := t.exec("DELETE FROM web_sessions WHERE expires_at <= ?", micros(t.now.Wall)); err != nil {
		return err
	}
	return t.clearSignIns()
}

// SigningKeys implements store.Access.
func (t *Tx) SigningKeys() (list []store.SigningKey, err error) {
	err = t.each("SELECT id, pkcs8, public, endorsement, created_at, lease_at FROM signing_keys ORDER BY lease_at DESC, created_at DESC, id", nil, func(r *sql.Rows) error {
		var k store.SigningKey
		var created int64
		err := r.Scan(&k.ID, &k.PKCS8, &k.Public, &k.Endorsement, &created, &k.LeaseAt)
		k.CreatedAt = when(created)
		list = append(list, k)
		return err
	})
	return list, err
}

// LockSigningKeys implements store.Access.
func (t *Tx) LockSigningKeys() ([]store.SigningKey, error) {
	if t.d.ForUpdate != "" {
		// A statement sees what was there when it began, so the rows are read by another one.
		if err := t.each("SELECT id FROM signing_keys ORDER BY id FOR UPDATE", nil, func(r *sql.Rows) error { return nil }); err != nil {
			return nil, err
		}
	}
	return t.SigningKeys()
}

// AddSigningKey implements store.Access.
func (t *Tx) AddSigningKey(k store.SigningKey) error {
	_, err := t.exec("INSERT INTO signing_keys (id, pkcs8, public, endorsement, created_at, lease_at) VALUES (?, ?, ?, ?, ?, ?)",
		k.ID, k.PKCS8, append([]byte{}, k.Public...), k.Endorsement, micros(k.CreatedAt), int64(k.LeaseAt))
	return err
}

// RetireSigningKey implements store.Access.
func (t *Tx) RetireSigningKey(id string) error {
	_, err := t.exec("UPDATE signing_keys SET pkcs8 = ? WHERE id = ?", []byte{}, id)
	return err
}

// DeleteSigningKey implements store.Access.
func (t *Tx) DeleteSigningKey(id string) error {
	_, err := t.exec("DELETE FROM signing_keys WHERE id = ?", id)
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
	if _, err := t.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value); err != nil {
		return err
	}
	return t.touch()
}

// SwapSetting implements store.Access.
func (t *Tx) SwapSetting(name, from, to string) (bool, error) {
	n, err := t.exec("UPDATE settings SET value = ? WHERE name = ? AND value = ?", to, name, from)
	if err != nil || n == 0 {
		return false, err
	}
	return true, t.touch()
}

// RestoreHold implements store.Access.
func (t *Tx) RestoreHold(method int64) (restored, reported lease.Time, err error) {
	err = t.one("SELECT coalesce(max(CASE WHEN delivery_method_id = ? THEN until END), 0), coalesce(max(CASE WHEN delivery_method_id <> ? THEN until END), 0) FROM restore_holds WHERE delivery_method_id IN (?, ?, ?)",
		[]any{store.NoMethod, store.NoMethod, store.NoMethod, store.EveryMethod, method}, &restored, &reported)
	return restored, reported, err
}

// ExtendRestoreHold implements store.Access.
func (t *Tx) ExtendRestoreHold(method int64, until lease.Time) error {
	_, err := t.exec("INSERT INTO restore_holds (delivery_method_id, until) VALUES (?, ?) ON CONFLICT (delivery_method_id) DO UPDATE SET until = excluded.until WHERE excluded.until > restore_holds.until", method, int64(until))
	return err
}
