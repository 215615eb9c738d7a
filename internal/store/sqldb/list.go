package sqldb

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"leasehold/internal/store"
)

// sortColumns are the columns behind store.SortKeys.
var sortColumns = map[string]string{
	"id": "id", "user": "user_sort", "email": "email_sort", "app": "app_sort", "provision": "provision_sort",
	"delivery_method": "method_sort", "device": "agent_sort", "status": "status",
	"since": "status_since", "started_at": "started_at", "last_activity_at": "last_activity_at",
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
	p, err := t.planFor(q)
	if err != nil || p.none {
		return page, err
	}
	after := cond{"1 = 1", nil}
	if cur != nil {
		after = cond{"(s." + col + ", s.id) " + cmp + " (?, ?)", []any{cur.Key, cur.ID}}
		if col == "id" {
			after = cond{"s.id " + cmp + " ?", []any{cur.ID}}
		}
	}
	query, args := p.keys(t, col, dir, after, q.PageSize+1)
	type key struct {
		id int64
		k  any
	}
	var keys []key
	err = t.each(query, args, func(r *sql.Rows) error {
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
	p, err := t.planFor(q)
	if err != nil {
		return 0, false, err
	}
	return p.count(t, bound)
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
