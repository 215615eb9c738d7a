package sqldb

import (
	"database/sql"
	"strings"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

const signInColumns = "id, user_id, created_at, seen_at, expires_at, address, browser"

func scanSignIn(scan func(...any) error) (*store.SignIn, error) {
	x := &store.SignIn{}
	var created, seen, expires int64
	err := scan(&x.ID, &x.UserID, &created, &seen, &expires, &x.From, &x.Browser)
	x.CreatedAt, x.SeenAt, x.ExpiresAt = when(created), when(seen), when(expires)
	return x, err
}

// CreateSignIn implements store.SignIns.
func (t *Tx) CreateSignIn(x *store.SignIn) (err error) {
	x.ID, err = t.insert("INSERT INTO sign_ins (user_id, created_at, seen_at, expires_at, address, browser) VALUES ("+marks(6)+")",
		x.UserID, micros(x.CreatedAt), micros(x.SeenAt), micros(x.ExpiresAt), x.From, x.Browser)
	return err
}

// SignIn implements store.SignIns.
func (t *Tx) SignIn(id int64) (*store.SignIn, error) {
	return found(scanSignIn(t.row("SELECT "+signInColumns+" FROM sign_ins WHERE id = ? AND expires_at > ?", id, micros(t.now.Wall)).Scan))
}

// SignInsOf implements store.SignIns.
func (t *Tx) SignInsOf(user int64) (list []*store.SignIn, err error) {
	err = t.each("SELECT "+signInColumns+" FROM sign_ins WHERE user_id = ? AND expires_at > ? ORDER BY seen_at DESC, id DESC", []any{user, micros(t.now.Wall)}, func(r *sql.Rows) error {
		x, err := scanSignIn(r.Scan)
		list = append(list, x)
		return err
	})
	return list, err
}

// SignInsAmong implements store.SignIns.
func (t *Tx) SignInsAmong(ids []int64, seen time.Time) ([]int64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, arg := t.d.In(ids)
	return t.ids("SELECT id FROM sign_ins WHERE id "+in+" AND expires_at > ? AND seen_at >= ? ORDER BY id", arg, micros(t.now.Wall), micros(seen))
}

// SeeSignIns implements store.SignIns.
func (t *Tx) SeeSignIns(ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	in, arg := t.d.In(ids)
	_, err := t.exec("UPDATE sign_ins SET seen_at = ? WHERE id "+in, micros(t.now.Wall), arg)
	return err
}

// EndSignIn implements store.SignIns.
func (t *Tx) EndSignIn(user, id int64) error {
	n, err := t.exec("DELETE FROM sign_ins WHERE user_id = ? AND id = ?", user, id)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// EndSignIns implements store.SignIns.
func (t *Tx) EndSignIns(user, but int64) error {
	_, err := t.exec("DELETE FROM sign_ins WHERE user_id = ? AND id <> ?", user, but)
	return err
}

const tokenColumns = "id, hash, user_id, name, scopes, created_at, expires_at, used_at"

func scanToken(scan func(...any) error) (*store.Token, error) {
	k := &store.Token{}
	var created, expires, used int64
	var scopes string
	err := scan(&k.ID, &k.Hash, &k.UserID, &k.Name, &scopes, &created, &expires, &used)
	for _, s := range strings.Fields(scopes) {
		k.Scopes = append(k.Scopes, directory.Scope(s))
	}
	k.CreatedAt, k.ExpiresAt, k.UsedAt = when(created), when(expires), when(used)
	return k, err
}

// CreateToken implements store.SignIns.
func (t *Tx) CreateToken(k *store.Token) (err error) {
	var scopes []string
	for _, s := range k.Scopes {
		scopes = append(scopes, string(s))
	}
	k.ID, err = t.insert("INSERT INTO api_tokens (hash, user_id, name, scopes, created_at, expires_at, used_at) VALUES ("+marks(7)+")",
		k.Hash, k.UserID, k.Name, strings.Join(scopes, " "), micros(k.CreatedAt), micros(k.ExpiresAt), micros(k.UsedAt))
	return err
}

// Token implements store.SignIns.
func (t *Tx) Token(hash []byte) (*store.Token, error) {
	return found(scanToken(t.row("SELECT "+tokenColumns+" FROM api_tokens WHERE hash = ? AND expires_at > ?", hash, micros(t.now.Wall)).Scan))
}

// TokensOf implements store.SignIns.
func (t *Tx) TokensOf(user int64) (list []*store.Token, err error) {
	err = t.each("SELECT "+tokenColumns+" FROM api_tokens WHERE user_id = ? AND expires_at > ? ORDER BY id DESC", []any{user, micros(t.now.Wall)}, func(r *sql.Rows) error {
		k, err := scanToken(r.Scan)
		list = append(list, k)
		return err
	})
	return list, err
}

// TokensAmong implements store.SignIns.
func (t *Tx) TokensAmong(ids []int64) ([]int64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, arg := t.d.In(ids)
	return t.ids("SELECT id FROM api_tokens WHERE id "+in+" AND expires_at > ? ORDER BY id", arg, micros(t.now.Wall))
}

// UseToken implements store.SignIns.
func (t *Tx) UseToken(id int64) error {
	_, err := t.exec("UPDATE api_tokens SET used_at = ? WHERE id = ?", micros(t.now.Wall), id)
	return err
}

// DeleteToken implements store.SignIns.
func (t *Tx) DeleteToken(user, id int64) error {
	n, err := t.exec("DELETE FROM api_tokens WHERE user_id = ? AND id = ?", user, id)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// DeleteTokens implements store.SignIns.
func (t *Tx) DeleteTokens(user int64) error {
	_, err := t.exec("DELETE FROM api_tokens WHERE user_id = ?", user)
	return err
}

// LaunchLoad implements store.Sessions.
func (t *Tx) LaunchLoad(user int64, since time.Time) (l store.LaunchLoad, err error) {
	var first int64
	err = t.one(`SELECT coalesce(sum(CASE WHEN s.status NOT IN ('expired', 'removed', 'disconnected', 'failed', 'killed') THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN s.status = 'launched' AND s.agent_id = 0 THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN s.started_at >= ? THEN 1 ELSE 0 END), 0), coalesce(min(CASE WHEN s.started_at >= ? THEN s.started_at END), 0)
		FROM sessions s`+t.d.Using("sessions_user")+` WHERE s.gone = 0 AND s.user_id = ?`, []any{micros(since), micros(since), user}, &l.Live, &l.Unredeemed, &l.Recent, &first)
	l.First = when(first)
	return l, err
}
