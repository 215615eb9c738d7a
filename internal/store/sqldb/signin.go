package sqldb

import (
	"errors"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// LockSignIn implements store.SignIns.
func (t *Tx) LockSignIn(source, account string) (*store.SignInTries, error) {
	// The row is there before it is locked, so that two first tries cannot both be the first.
	if _, err := t.exec("INSERT INTO sign_in_tries (source, account, tries, last_at) VALUES (?, ?, 0, 0) ON CONFLICT (source, account) DO NOTHING", source, account); err != nil {
		return nil, err
	}
	x := &store.SignInTries{Source: source, Account: account}
	err := t.one("SELECT tries, last_at FROM sign_in_tries WHERE source = ? AND account = ?"+t.d.ForUpdate, []any{source, account}, &x.Tries, &x.Last)
	return x, err
}

// SaveSignIn implements store.SignIns.
func (t *Tx) SaveSignIn(x *store.SignInTries) error {
	_, err := t.exec("UPDATE sign_in_tries SET tries = ?, last_at = ? WHERE source = ? AND account = ?", int64(x.Tries), int64(x.Last), x.Source, x.Account)
	return err
}

// ForgetSignIn implements store.SignIns.
func (t *Tx) ForgetSignIn(source, account string) error {
	_, err := t.exec("DELETE FROM sign_in_tries WHERE source = ? AND account = ?", source, account)
	return err
}

// AccountsTried implements store.SignIns.
func (t *Tx) AccountsTried(source string, since lease.Time, bound int) (n int, err error) {
	err = t.one("SELECT count(*) FROM (SELECT 1 FROM sign_in_tries WHERE source = ? AND account <> '' AND tries > 0 AND last_at >= ? LIMIT ?) x", []any{source, int64(since), int64(bound)}, &n)
	return n, err
}

// KnownBrowser implements store.SignIns.
func (t *Tx) KnownBrowser(hash []byte, user int64) (bool, error) {
	var one int
	err := t.one("SELECT 1 FROM browsers WHERE hash = ? AND user_id = ? AND expires_at > ?", []any{hash, user, micros(t.now.Wall)}, &one)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// RememberBrowser implements store.SignIns.
func (t *Tx) RememberBrowser(old, new []byte, user int64, expires time.Time) error {
	if old != nil {
		if _, err := t.exec("UPDATE browsers SET hash = ? WHERE hash = ?", new, old); err != nil {
			return err
		}
	}
	if _, err := t.exec("INSERT INTO browsers (hash, user_id, expires_at) VALUES (?, ?, ?) ON CONFLICT (hash, user_id) DO UPDATE SET expires_at = excluded.expires_at", new, user, micros(expires)); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM browsers WHERE user_id = ? AND hash NOT IN (SELECT hash FROM browsers WHERE user_id = ? ORDER BY expires_at DESC, hash LIMIT ?)", user, user, int64(store.MaxBrowsers))
	return err
}

// clearSignIns forgets what is too old to matter.
func (t *Tx) clearSignIns() error {
	if _, err := t.exec("DELETE FROM sign_in_tries WHERE last_at < ?", int64(t.now.Earliest.Add(-store.ForgetTries))); err != nil {
		return err
	}
	for _, table := range []string{"browsers", "sign_ins", "api_tokens"} {
		if _, err := t.exec("DELETE FROM "+table+" WHERE expires_at <= ?", micros(t.now.Wall)); err != nil {
			return err
		}
	}
	return nil
}
