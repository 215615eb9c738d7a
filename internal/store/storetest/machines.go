package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

func testKeys(t *testing.T, e *env) {
	now := e.clock.Now()
	keys := make([]*store.EnrolmentKey, 5)
	e.update(func(tx store.Tx) error {
		for i := range keys {
			keys[i] = &store.EnrolmentKey{Kind: wire.Host, Hash: fmt.Appendf(nil, "key %d", i), CreatedAt: now, ExpiresAt: now.Add(time.Hour), CreatedBy: "ann", UsesLeft: 2,
				Ownership: directory.Organisation, Pool: "gpu", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}, Approved: i%2 == 0}
			if err := tx.CreateEnrolmentKey(keys[i]); err != nil {
				return err
			}
		}
		return nil
	})
	e.view(func(tx store.Tx) error {
		same(t, "by number", must[*store.EnrolmentKey](t)(tx.EnrolmentKeyByID(keys[1].ID)), keys[1])
		same(t, "by hash", must[*store.EnrolmentKey](t)(tx.EnrolmentKey([]byte("key 2"))), keys[2])
		_, err := tx.EnrolmentKeyByID(keys[4].ID + 1)
		wantErr(t, err, store.ErrNotFound)
		var got []int64
		for page := (store.Page{Size: 2}); ; {
			list, next, err := tx.ListEnrolmentKeys(page)
			if err != nil {
				return err
			}
			for _, k := range list {
				got = append(got, k.ID)
			}
			if page.Token = next; next == "" {
				break
			}
		}
		same(t, "newest first", got, []int64{keys[4].ID, keys[3].ID, keys[2].ID, keys[1].ID, keys[0].ID})
		_, _, err = tx.ListEnrolmentKeys(store.Page{Token: "x"})
		wantErr(t, err, store.ErrBadPageToken)
		return nil
	})
	use := func(i int) (used bool) {
		e.update(func(tx store.Tx) error {
			used = must[bool](t)(tx.UseEnrolmentKey(keys[i].ID))
			return nil
		})
		return used
	}
	same(t, "uses", []bool{use(0), use(0), use(0), use(1)}, []bool{true, true, false, true})
	e.update(func(tx store.Tx) error {
		wantErr(t, tx.RevokeEnrolmentKey(keys[4].ID+1), store.ErrNotFound)
		return tx.RevokeEnrolmentKey(keys[1].ID)
	})
	same(t, "use of one that is revoked", use(1), false)
	e.step(time.Minute)
	e.update(func(tx store.Tx) error { return tx.RevokeEnrolmentKey(keys[1].ID) })
	e.view(func(tx store.Tx) error {
		k := must[*store.EnrolmentKey](t)(tx.EnrolmentKeyByID(keys[1].ID))
		same(t, "uses left", k.UsesLeft, 1)
		same(t, "revoked when it was first", k.RevokedAt, now.Add(e.clock.Now().Sub(now)-time.Minute))
		same(t, "good", []bool{k.Good(tx.WallNow()), must[*store.EnrolmentKey](t)(tx.EnrolmentKeyByID(keys[2].ID)).Good(tx.WallNow())}, []bool{false, true})
		return nil
	})
	e.step(time.Hour)
	same(t, "use of one that is over", use(2), false)
}

// testUseKey has many machines use a key at once: as many do as it has uses.
func testUseKey(t *testing.T, e *env) {
	k := &store.EnrolmentKey{Kind: wire.Player, Hash: []byte("k"), CreatedAt: e.clock.Now(), ExpiresAt: e.clock.Now().Add(time.Hour), UsesLeft: 3}
	e.update(func(tx store.Tx) error { return tx.CreateEnrolmentKey(k) })
	var all sync.WaitGroup
	var n atomic.Int64
	for range 12 {
		all.Go(func() {
			used := false
			err := e.st.Update(context.Background(), func(tx store.Tx) (err error) {
				used, err = tx.UseEnrolmentKey(k.ID)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if used {
				n.Add(1)
			}
		})
	}
	all.Wait()
	same(t, "machines", n.Load(), int64(3))
}

func testStartFailures(t *testing.T, e *env) {
	const one, other = 7, 8
	h := &store.Agent{Kind: wire.Host, Name: "H", OS: "linux", Arch: "amd64", Slots: 3, Credential: []byte("h"), CreatedAt: e.clock.Now(), Seen: store.Seen{At: e.clock.Now(), Lease: e.in(0)}}
	e.update(func(tx store.Tx) error { return tx.CreateAgent(h) })
	load := func(method int64) (l []store.HostLoad) {
		e.view(func(tx store.Tx) error {
			l = must[[]store.HostLoad](t)(tx.Hosts("", method, 0))
			return nil
		})
		return l
	}
	same(t, "one that is not approved", len(load(one)), 0)
	e.update(func(tx store.Tx) error {
		a := must[*store.Agent](t)(tx.LockAgent(h.ID))
		a.Approved = true
		return tx.SaveAgent(a)
	})
	same(t, "one that is approved", load(one), []store.HostLoad{{Agent: h.ID, Slots: 3}})
	note := func(method int64, why string) {
		e.update(func(tx store.Tx) error { return tx.NoteStart(h.ID, method, why) })
	}
	note(one, "no display")
	note(one, "no display again")
	at, last := e.clock.Now(), e.in(0)
	same(t, "of the method that failed", load(one), []store.HostLoad{{Agent: h.ID, Slots: 3, Failures: 2, Failed: last, Failing: 1, LastFailed: last}})
	same(t, "of another one", load(other), []store.HostLoad{{Agent: h.ID, Slots: 3, Failing: 1, LastFailed: last}})
	e.view(func(tx store.Tx) error {
		same(t, "failures", must[[]store.StartFailure](t)(tx.StartFailures(h.ID)),
			[]store.StartFailure{{Agent: h.ID, DeliveryMethodID: one, Failures: 2, Last: last, At: at, Reason: "no display again"}})
		return nil
	})
	note(other, "disk full")
	note(one, "")
	same(t, "once it has started", []int{load(one)[0].Failures, load(one)[0].Failing}, []int{0, 1})
	note(other, "")
	same(t, "once all have started", load(one), []store.HostLoad{{Agent: h.ID, Slots: 3}})
}
