package sqldb

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"leasehold/internal/calendar"
	"leasehold/internal/store"
)

// cursor is where a page begins: after (or before, going back) the row with this key.
type cursor struct {
	Query string `json:"q"` // fingerprint of the query it belongs to
	Key   any    `json:"k"`
	ID    int64  `json:"i"`
	Back  bool   `json:"b,omitempty"`
	// Moment is when a duration was the key, in microseconds; of other sorts 0.
	Moment int64 `json:"t,omitempty"`
}

func fingerprint(q store.SessionQuery) string {
	q.PageToken, q.PageSize = "", 0
	h := sha256.Sum256([]byte(toJSON(q)))
	return base64.RawURLEncoding.EncodeToString(h[:9])
}

func (c cursor) token() string { return base64.RawURLEncoding.EncodeToString([]byte(toJSON(c))) }

// readCursor reads the token of a page, nil for the first one.
func readCursor(token, print string, col sortColumn) (*cursor, error) {
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
	if err := d.Decode(&c); err != nil || c.Query != print || !c.of(col) {
		return nil, store.ErrBadPageToken
	}
	return &c, nil
}

// maxKey is more than any key of a column of numbers: a number of a session, or
// microseconds of a time or a duration. latest is the last time that is kept.
const maxKey = 1 << 59

var latest = micros(calendar.Latest)

// of reads the key as one of the column, and reports whether it can be.
func (c *cursor) of(col sortColumn) bool {
	if (col.name == durationSort) != (c.Moment > 0) || c.Moment < 0 || c.Moment > latest {
		return false
	}
	switch k := c.Key.(type) {
	case string:
		return col.text && holds(k)
	case json.Number:
		n, err := k.Int64()
		c.Key = n
		// Beyond what a column holds, the databases reckon with it in different ways.
		return err == nil && !col.text && n > -maxKey && n < maxKey
	}
	return false
}

// ListSessions implements store.Sessions. It pages by key: (sort column, id).
func (t *Tx) ListSessions(q store.SessionQuery) (store.SessionPage, error) {
	var page store.SessionPage
	col, ok := sortColumns[strings.TrimPrefix(string(q.Sort), "-")]
	if !ok {
		return page, fmt.Errorf("sort %q: unknown", q.Sort)
	}
	o, err := orderOf(q, col, t.now.Wall)
	if err != nil {
		return page, err
	}
	p, err := t.planFor(q)
	if err != nil || p.none {
		return page, err
	}
	keys, err := t.pageKeys(p, o, q.PageSize+1)
	if err != nil {
		return page, err
	}
	more := len(keys) > q.PageSize
	keys = keys[:min(len(keys), q.PageSize)]
	if o.back() {
		slices.Reverse(keys)
	}
	ids := make([]int64, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	if page.Rows, err = t.SessionRows(ids); err != nil {
		return page, err
	}
	if len(keys) == 0 {
		return page, nil
	}
	first, last := keys[0], keys[len(keys)-1]
	if more || o.back() {
		page.Next = last.token()
	}
	if o.cur != nil && (more || !o.back()) {
		first.Back = true
		page.Prev = first.token()
	}
	return page, nil
}

// pageKeys finds at most limit rows, as the cursors of the pages after them.
func (t *Tx) pageKeys(p *plan, o order, limit int) ([]cursor, error) {
	query, args, err := t.keys(p, o, limit)
	if err != nil || query == "" {
		return nil, err
	}
	var keys []cursor
	err = t.each(query, args, func(r *sql.Rows) error {
		c := cursor{Query: p.print, Moment: o.moment}
		err := r.Scan(&c.ID, &c.Key)
		if b, ok := c.Key.([]byte); ok {
			c.Key = string(b)
		}
		keys = append(keys, c)
		return err
	})
	return keys, err
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
			coalesce(g.name, ''), coalesce(n.at, 0), coalesce(n.lease_at, 0), coalesce(g.simulated, 0)`+fromSession+`
			LEFT JOIN users u ON u.id = s.user_id LEFT JOIN apps a ON a.id = s.app_id LEFT JOIN delivery_methods d ON d.id = s.delivery_method_id
			LEFT JOIN provisions p ON p.id = s.provision_id LEFT JOIN agents g ON g.id = s.agent_id LEFT JOIN agent_seen n ON n.agent_id = s.agent_id
			WHERE s.id IN (`+marks(len(part))+")", anys(part), func(r *sql.Rows) error {
			var row store.SessionRow
			var seen, simulated int64
			var err error
			row.Session, err = scanSession(r.Scan, &row.Username, &row.UserName, &row.UserEmail, &row.AppName, &row.DeliveryMethodName, &row.Licence, &row.ProvisionName,
				&row.AgentName, &seen, &row.Seen.Lease, &simulated)
			if err != nil {
				return err
			}
			row.Seen.At, row.Simulated = when(seen), simulated != 0
			if l := row.Lease; l != nil {
				row.LeaseEnds, row.LeaseFree = t.now.Shown(l.ExpiresAt), t.now.Shown(l.FreeAt)
			}
			if o := row.Order; o != nil {
				row.OrderETA, row.Closes = o.Promised, o.Forecast(t.now)
				if o.Open() {
					row.OrderETA = t.now.Shown(o.ETA)
				}
			}
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
