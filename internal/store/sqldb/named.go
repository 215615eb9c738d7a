package sqldb

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"leasehold/internal/store"
)

// namedList reads one page of a table by (sort name, id). cond filters; columns are read
// by scan, which returns the row's sort name and id.
func (t *Tx) namedList(table, columns, sortBy, cond string, args []any, page store.Page, scan func(*sql.Rows) (id int64, err error)) (next string, err error) {
	print := table + "|" + cond + "|" + toJSON(args)
	if page.Size <= 0 || page.Size > 500 {
		page.Size = 50
	}
	if page.Token != "" {
		c, err := readPage(page.Token, print)
		if err != nil {
			return "", err
		}
		cond += " AND (" + sortBy + ", id) > (?, ?)"
		args = append(args, c.Key, c.ID)
	}
	n := 0
	var lastID int64
	var lastKey string
	err = t.each("SELECT "+columns+", "+sortBy+" FROM "+table+" WHERE "+cond+" ORDER BY "+sortBy+", id LIMIT ?", append(args, page.Size+1), func(r *sql.Rows) error {
		if n++; n > page.Size {
			next = cursor{Query: shorten(print), Key: lastKey, ID: lastID}.token()
			return nil
		}
		id, err := scan(r)
		lastID = id
		return err
	})
	if err != nil || next == "" {
		return "", err
	}
	// The sort name of the last row shown is read as the database sees it.
	if err := t.one("SELECT "+sortBy+" FROM "+table+" WHERE id = ?", []any{lastID}, &lastKey); err != nil {
		return "", err
	}
	return cursor{Query: shorten(print), Key: lastKey, ID: lastID}.token(), nil
}

func shorten(print string) string {
	return fingerprint(store.SessionQuery{Q: print})
}

func readPage(token, print string) (*cursor, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, store.ErrBadPageToken
	}
	var c struct {
		Query string `json:"q"`
		Key   string `json:"k"`
		ID    int64  `json:"i"`
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Query != shorten(print) || !holds(c.Key) {
		return nil, store.ErrBadPageToken
	}
	return &cursor{Key: c.Key, ID: c.ID}, nil
}

// contains adds to a condition that the name of the kind contains q.
func (t *Tx) contains(cond string, args []any, kind, q string) (string, []any) {
	if q = strings.TrimSpace(q); q == "" {
		return cond, args
	}
	sub, a := t.named(kind, q)
	return cond + " AND id IN (" + sub + ")", append(args, a...)
}

// found turns "no rows" into store.ErrNotFound.
func found[T any](x *T, err error) (*T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}
