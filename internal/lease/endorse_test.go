package lease

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"
)

func TestAdopt(t *testing.T) {
	var k [4]Key
	public := func(i int) ed25519.PublicKey { return k[i].Private.Public().(ed25519.PublicKey) }
	all, ends := Keys{}, map[string]string{}
	for i := range k {
		var err error
		if k[i], err = NewKey(); err != nil {
			t.Fatal(err)
		}
		all[k[i].ID] = public(i)
		if i > 0 && i < 3 { // the last one is endorsed by nobody
			if ends[k[i].ID], err = k[i-1].Endorse(k[i].ID, public(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	adopt := func(known int, ends map[string]string) Keys {
		t.Helper()
		set, err := all.Set(ends)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Keys{k[known].ID: public(known)}.Adopt(set)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := adopt(0, ends); len(got) != 3 || !got[k[2].ID].Equal(public(2)) {
		t.Errorf("from the first: %d keys", len(got))
	}
	if got := adopt(2, ends); len(got) != 1 {
		t.Errorf("the newest knows older ones: %d keys", len(got))
	}
	if got := adopt(0, map[string]string{k[2].ID: ends[k[2].ID]}); len(got) != 1 {
		t.Errorf("a gap is jumped: %d keys", len(got))
	}
	self, err := k[3].Endorse(k[3].ID, public(3))
	if err != nil {
		t.Fatal(err)
	}
	lease, err := k[0].Sign(&Grant{Session: 1, Generation: 1}, 1, 1e9, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for what, e := range map[string]string{"its own": self, "another key's": ends[k[1].ID], "a lease": lease, "none": "x.y.z"} {
		if got := adopt(0, map[string]string{k[3].ID: e}); len(got) != 1 {
			t.Errorf("endorsed by %s: %d keys", what, len(got))
		}
	}
	// Whoever reads the set as one of keys alone sees all of them.
	set, err := all.Set(ends)
	if err != nil {
		t.Fatal(err)
	}
	var plain Keys
	if err := json.Unmarshal(set, &plain); err != nil || len(plain) != 4 {
		t.Errorf("read as keys: %d, %v", len(plain), err)
	}
	if _, err := all.Adopt(json.RawMessage(`{"keys": 1}`)); err == nil {
		t.Error("what is no set is one")
	}
	// An endorsement is no lease.
	if _, err := all.Verify(ends[k[1].ID], 1); err == nil {
		t.Error("an endorsement is taken for a lease")
	}
}

func FuzzAdopt(f *testing.F) {
	k, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	known := Keys{k.ID: k.Private.Public().(ed25519.PublicKey)}
	next, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	e, err := k.Endorse(next.ID, next.Private.Public().(ed25519.PublicKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"keys":[{"kid":"` + next.ID + `","leasehold_endorsement":"` + e + `"}]}`))
	f.Add([]byte(`{"keys":[{"kid":"","leasehold_endorsement":"a.b.c"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := known.Adopt(b)
		if err != nil {
			return
		}
		for id := range got {
			if id != k.ID && id != next.ID {
				t.Errorf("adopted %q", id)
			}
		}
	})
}
