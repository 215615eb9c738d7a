package sqldb

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// sortColumns are the columns behind store.SortKeys.
var sortColumns = map[string]string{
	"id": "s.id", "user": "s.user_sort", "email": "s.email_sort", "app": "s.app_sort", "provision": "s.provision_sort",
	"delivery_method": "s.method_sort", "device": "s.agent_sort", "status": "s.status",
	"since": "s.status_since", "started_at": "s.started_at", "last_activity_at": "s.last_activity_at",
}

// where builds the condition of a query.
func (t *Tx) where(q store.SessionQuery) (string, []any) {
	conds := []string{}
	var args []any
	add := func(cond string, a ...any) { conds, args = append(conds, cond), append(args, a...) }
	if !q.History {
		add("s.deleted_at = 0")
	}
	if q.Kind != "" {
		add("s.kind = ?", string(q.Kind))
	}
	if len(q.Statuses) > 0 {
		as := make([]any, len(q.Statuses))
		for i, st := range q.Statuses {
			as[i] = string(st)
		}
		add("s.status IN ("+marks(len(as))+")", as...)
	}
	for _, f := range []struct {
		column string
		id     int64
	}{{"s.app_id", q.AppID}, {"s.user_id", q.UserID}, {"s.provision_id", q.ProvisionID}, {"s.delivery_method_id", q.DeliveryMethodID}, {"s.agent_id", q.AgentID}} {
		if f.id != 0 {
			add(f.column+" = ?", f.id)
		}
	}
	if !q.From.IsZero() {
		add("s.started_at >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		add("s.started_at < ?", micros(q.To))
	}
	if q.Username != "" {
		sub, a := t.named("user", q.Username)
		add("s.user_id IN ("+sub+")", a...)
	}
	if q.Email != "" {
		sub, a := t.named("email", q.Email)
		add("s.user_id IN ("+sub+")", a...)
	}
	if term := strings.ToLower(strings.TrimSpace(q.Q)); term != "" {
		any, a := t.anyName(term)
		add(any, a...)
	}
	if len(conds) == 0 {
		return "1 = 1", nil
	}
	return strings.Join(conds, " AND "), args
}

// anyName is the condition for a term found in the app's, user's or provision's name or
// in the status as people read it.
func (t *Tx) anyName(term string) (string, []any) {
	var conds []string
	var args []any
	for _, f := range []struct{ kind, column string }{{"user", "s.user_id"}, {"app", "s.app_id"}, {"provision", "s.provision_id"}} {
		sub, a := t.named(f.kind, term)
		conds, args = append(conds, f.column+" IN ("+sub+")"), append(args, a...)
	}
	var sts []any
	for _, k := range []session.Kind{session.Device, session.Stream} {
		for _, s := range session.Statuses(k) {
			if strings.Contains(strings.ToLower(s.Label()), term) {
				sts = append(sts, string(s))
			}
		}
	}
	if len(sts) > 0 {
		conds, args = append(conds, "s.status IN ("+marks(len(sts))+")"), append(args, sts...)
	}
	return "(" + strings.Join(conds, " OR ") + ")", args
}

// cursor is where a page begins: after (or before, going back) the row with this key.
type cursor struct {
	Query string `json:"q"` // fingerprint of the query it belongs to
	Key   any    `json:"k"`
	ID    int64  `json:"i"`
	Back  bool   `json:"b,omitempty"`
}

func fingerprint(q store.SessionQuery) string {
	q.PageToken, q.PageSize = "", 0
	h := sha256.Sum256([]byte(toJSON(q)))
	return base64.RawURLEncoding.EncodeToString(h[:9])
}

func (c cursor) token() string { return base64.RawURLEncoding.EncodeToString([]byte(toJSON(c))) }

func readCursor(token, print string) (*cursor, error) {
	if token == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, store.ErrBadPageToken
	}
	var c cursor
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&c); err != nil || c.Query != print {
		return nil, store.ErrBadPageToken
	}
	switch k := c.Key.(type) {
	case string:
	case json.Number:
		if c.Key, err = k.Int64(); err != nil {
			return nil, store.ErrBadPageToken
		}
	default:
		return nil, store.ErrBadPageToken
	}
	return &c, nil
}

// ListSessions implements store.Sessions. It pages by key: (sort column, id).
func (t *Tx) ListSessions(q store.SessionQuery) (store.SessionPage, error) {
	var page store.SessionPage
	print := fingerprint(q)
	cur, err := readCursor(q.PageToken, print)
	if err != nil {
		return page, err
	}
	name := strings.TrimPrefix(string(q.Sort), "-")
	col, ok := sortColumns[name]
	if !ok {
		return page, fmt.Errorf("sort %q: unknown", q.Sort)
	}
	desc := strings.HasPrefix(string(q.Sort), "-")
	back := cur != nil && cur.Back
	dir, cmp := "ASC", ">"
	if desc != back {
		dir, cmp = "DESC", "<"
	}
	where, args := t.where(q)
	if cur != nil {
		if col == "s.id" {
			where, args = where+" AND s.id "+cmp+" ?", append(args, cur.ID)
		} else {
			where, args = where+" AND ("+col+", s.id) "+cmp+" (?, ?)", append(args, cur.Key, cur.ID)
		}
	}
	order := "s.id " + dir
	if col != "s.id" {
		order = col + " " + dir + ", " + order
	}
	type key struct {
		id int64
		k  any
	}
	var keys []key
	err = t.each("SELECT s.id, "+col+" FROM sessions s WHERE "+where+" ORDER BY "+order+" LIMIT ?", append(args, q.PageSize+1), func(r *sql.Rows) error {
		var k key
		err := r.Scan(&k.id, &k.k)
		if b, ok := k.k.([]byte); ok {
			k.k = string(b)
		}
		keys = append(keys, k)
		return err
	})
	if err != nil {
		return page, err
	}
	more := len(keys) > q.PageSize
	keys = keys[:min(len(keys), q.PageSize)]
	if back {
		slices.Reverse(keys)
	}
	ids := make([]int64, len(keys))
	for i, k := range keys {
		ids[i] = k.id
	}
	if page.Rows, err = t.SessionRows(ids); err != nil {
		return page, err
	}
	if len(keys) == 0 {
		return page, nil
	}
	first, last := keys[0], keys[len(keys)-1]
	if more || back {
		page.Next = cursor{Query: print, Key: last.k, ID: last.id}.token()
	}
	if cur != nil && (more || !back) {
		page.Prev = cursor{Query: print, Key: first.k, ID: first.id, Back: true}.token()
	}
	return page, nil
}

// CountSessions implements store.Sessions.
func (t *Tx) CountSessions(q store.SessionQuery, bound int) (n int, exact bool, err error) {
	where, args := t.where(q)
	err = t.one("SELECT count(*) FROM (SELECT 1 FROM sessions s WHERE "+where+" LIMIT ?) x", append(args, bound+1), &n)
	if n > bound {
		return bound, false, err
	}
	return n, true, err
}

// SessionRows implements store.Sessions.
func (t *Tx) SessionRows(ids []int64) ([]store.SessionRow, error) {
	byID := make(map[int64]store.SessionRow, len(ids))
	for part := range slices.Chunk(ids, 500) {
		err := t.each(selectSession+`,
			coalesce(u.username, ''), coalesce(u.name, ''), coalesce(u.email, ''), coalesce(a.name, ''), coalesce(d.name, ''), coalesce(d.licence, ''), coalesce(p.name, ''),
			coalesce(g.name, ''), coalesce(n.at, 0), coalesce(g.simulated, 0)`+fromSession+`
			LEFT JOIN users u ON u.id = s.user_id LEFT JOIN apps a ON a.id = s.app_id LEFT JOIN delivery_methods d ON d.id = s.delivery_method_id
			LEFT JOIN provisions p ON p.id = s.provision_id LEFT JOIN agents g ON g.id = s.agent_id LEFT JOIN agent_seen n ON n.agent_id = s.agent_id
			WHERE s.id IN (`+marks(len(part))+")", anys(part), func(r *sql.Rows) error {
			var row store.SessionRow
			var seen, simulated int64
			var err error
			row.Session, err = scanSession(r.Scan, &row.Username, &row.UserName, &row.UserEmail, &row.AppName, &row.DeliveryMethodName, &row.Licence, &row.ProvisionName,
				&row.AgentName, &seen, &simulated)
			if err != nil {
				return err
			}
			row.LastSeenAt, row.Simulated = when(seen), simulated != 0
			byID[row.ID] = row
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]store.SessionRow, 0, len(ids))
	for _, id := range ids {
		if row, ok := byID[id]; ok {
			out = append(out, row)
		}
	}
	return out, nil
}
