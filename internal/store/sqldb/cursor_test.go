package sqldb

import (
	"errors"
	"testing"

	"leasehold/internal/store"
)

// FuzzCursor: whatever comes as a page token is one of this query or store.ErrBadPageToken.
func FuzzCursor(f *testing.F) {
	print := fingerprint(store.SessionQuery{Q: "x"})
	f.Add(cursor{Query: print, Key: "ann", ID: 7}.token())
	f.Add(cursor{Query: print, Key: int64(7), ID: 7, Back: true}.token())
	f.Add(cursor{Query: "other", Key: nil, ID: -1}.token())
	f.Add("%%%")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := readCursor(token, print)
		switch {
		case err != nil:
			if !errors.Is(err, store.ErrBadPageToken) || c != nil {
				t.Fatalf("%v, %v", c, err)
			}
		case token == "":
			if c != nil {
				t.Fatal("a cursor of nothing")
			}
		case c.Query != print:
			t.Fatalf("a token of another query is taken: %+v", c)
		default:
			switch c.Key.(type) {
			case int64, string:
			default:
				t.Fatalf("a key of type %T", c.Key)
			}
		}
	})
}
