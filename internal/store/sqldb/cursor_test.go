package sqldb

import (
	"errors"
	"strings"
	"testing"

	"leasehold/internal/store"
)

// FuzzCursor: whatever comes as a page token is one of this query and of its sort, or
// store.ErrBadPageToken.
func FuzzCursor(f *testing.F) {
	print := fingerprint(store.SessionQuery{Q: "x"})
	f.Add(cursor{Query: print, Key: "ann", ID: 7}.token())
	f.Add(cursor{Query: print, Key: "a\x00", ID: 7}.token())
	f.Add(cursor{Query: print, Key: int64(7), ID: 7, Back: true}.token())
	f.Add(cursor{Query: print, Key: int64(7), ID: 7, Moment: 9}.token())
	f.Add(cursor{Query: print, Key: "7", ID: 7, Moment: 9}.token())
	f.Add(cursor{Query: print, Key: int64(-1 << 63), ID: -1 << 63, Moment: 1<<63 - 1}.token())
	f.Add(cursor{Query: print, Key: int64(7), ID: 7, Moment: -9}.token())
	f.Add(cursor{Query: "other", Key: nil, ID: -1}.token())
	f.Add("%%%")
	f.Fuzz(func(t *testing.T, token string) {
		taken := 0
		for name, col := range sortColumns {
			c, err := readCursor(token, print, col)
			switch {
			case err != nil:
				if !errors.Is(err, store.ErrBadPageToken) || c != nil {
					t.Fatalf("%v, %v", c, err)
				}
				continue
			case token == "":
				if c != nil {
					t.Fatal("a cursor of nothing")
				}
				continue
			case c.Query != print:
				t.Fatalf("a token of another query is taken: %+v", c)
			case (name == "duration") != (c.Moment != 0) || c.Moment < 0:
				t.Fatalf("sorted by %s, a moment %d is taken", name, c.Moment)
			}
			if k, text := c.Key.(string); text != col.text || strings.Contains(k, "\x00") {
				t.Fatalf("sorted by %s, the key %#v is taken", name, c.Key)
			}
			if _, number := c.Key.(int64); number == col.text {
				t.Fatalf("sorted by %s, a key of type %T", name, c.Key)
			}
			order{column: col.name, cur: c, moment: c.Moment}.after()
			taken++
		}
		if taken == len(sortColumns) {
			t.Fatal("a token of every sort")
		}
	})
}
