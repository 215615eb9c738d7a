package sqldb

import (
	"database/sql"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// AddDenial implements store.Records.
func (t *Tx) AddDenial(d store.Denial) error {
	_, err := t.exec("INSERT INTO denials (at, session_id, run, user_id, app_id, delivery_method_id, agent_id, code, message) VALUES ("+marks(9)+") ON CONFLICT DO NOTHING",
		micros(d.At), d.Session, int64(d.Run), d.UserID, d.AppID, d.DeliveryMethodID, d.AgentID, string(d.Code), d.Message)
	return err
}

// Denials implements store.Records.
func (t *Tx) Denials(id int64, limit int) ([]store.Denial, error) {
	return t.denials("d.session_id = ?", id, 1<<62, limit)
}

// DenialsOf implements store.Records.
func (t *Tx) DenialsOf(method, before int64, limit int) ([]store.Denial, error) {
	if before == 0 {
		before = 1 << 62
	}
	return t.denials("d.delivery_method_id = ?", method, before, limit)
}

func (t *Tx) denials(cond string, ref, before int64, limit int) (list []store.Denial, err error) {
	err = t.each(`SELECT d.id, d.at, d.session_id, d.run, d.user_id, d.app_id, d.delivery_method_id, d.agent_id, d.code, d.message,
		coalesce(u.username, ''), coalesce(u.name, ''), coalesce(g.name, '') FROM denials d LEFT JOIN users u ON u.id = d.user_id LEFT JOIN agents g ON g.id = d.agent_id
		WHERE `+cond+` AND d.id < ? ORDER BY d.id DESC LIMIT ?`, []any{ref, before, limit}, func(r *sql.Rows) error {
		var d store.Denial
		var at int64
		var code string
		err := r.Scan(&d.ID, &at, &d.Session, &d.Run, &d.UserID, &d.AppID, &d.DeliveryMethodID, &d.AgentID, &code, &d.Message, &d.Username, &d.UserName, &d.AgentName)
		d.At, d.Code = when(at), session.RefusalCode(code)
		list = append(list, d)
		return err
	})
	return list, err
}

// CountDenials implements store.Records.
func (t *Tx) CountDenials(method int64, since time.Time) (n int, err error) {
	err = t.one("SELECT count(*) FROM denials WHERE delivery_method_id = ? AND at >= ?", []any{method, micros(since)}, &n)
	return n, err
}
