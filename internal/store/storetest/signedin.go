package storetest

import (
	"testing"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

func testSignIns(t *testing.T, e *env) {
	f := e.fixture()
	ann, bo := f.users[0].ID, f.users[1].ID
	begin := func(user int64, life time.Duration) *store.SignIn {
		x := &store.SignIn{UserID: user, CreatedAt: e.clock.Now(), SeenAt: e.clock.Now(), ExpiresAt: e.clock.Now().Add(life), From: "192.0.2.1", Browser: "Firefox"}
		e.update(func(tx store.Tx) error { return tx.CreateSignIn(x) })
		e.step(time.Second)
		return x
	}
	start := e.clock.Now()
	one, two, brief, other := begin(ann, time.Hour), begin(ann, time.Hour), begin(ann, time.Minute), begin(bo, time.Hour)
	ids := func(user int64) (out []int64) {
		e.view(func(tx store.Tx) error {
			for _, x := range must[[]*store.SignIn](t)(tx.SignInsOf(user)) {
				out = append(out, x.ID)
			}
			return nil
		})
		return out
	}
	all := []int64{one.ID, two.ID, brief.ID, other.ID, other.ID + 9}
	among := func(seen time.Time) (out []int64) {
		e.view(func(tx store.Tx) error {
			out = must[[]int64](t)(tx.SignInsAmong(all, seen))
			return nil
		})
		return out
	}
	e.view(func(tx store.Tx) error {
		same(t, "sign-in", must[*store.SignIn](t)(tx.SignIn(one.ID)), one)
		same(t, "none among none", len(must[[]int64](t)(tx.SignInsAmong(nil, start))), 0)
		return nil
	})
	same(t, "latest first", ids(ann), []int64{brief.ID, two.ID, one.ID})
	e.update(func(tx store.Tx) error { return tx.SeeSignIns([]int64{one.ID}) })
	same(t, "the one that is used first", ids(ann), []int64{one.ID, brief.ID, two.ID})
	same(t, "used since", among(start.Add(2*time.Second)), []int64{one.ID, brief.ID, other.ID})
	e.step(time.Minute)
	same(t, "without the one that has expired", ids(ann), []int64{one.ID, two.ID})
	same(t, "all that are there", among(start), []int64{one.ID, two.ID, other.ID})
	e.update(func(tx store.Tx) error {
		wantErr(t, tx.EndSignIn(bo, one.ID), store.ErrNotFound)
		if err := tx.EndSignIn(ann, one.ID); err != nil {
			return err
		}
		wantErr(t, tx.EndSignIn(ann, one.ID), store.ErrNotFound)
		_, err := tx.SignIn(one.ID)
		wantErr(t, err, store.ErrNotFound)
		return tx.DeleteExpired()
	})
	three := begin(ann, time.Hour)
	e.update(func(tx store.Tx) error { return tx.EndSignIns(ann, three.ID) })
	same(t, "all but one", ids(ann), []int64{three.ID})
	e.update(func(tx store.Tx) error { return tx.EndSignIns(ann, 0) })
	same(t, "all", len(ids(ann)), 0)
	same(t, "not another user's", ids(bo), []int64{other.ID})
}

func testTokens(t *testing.T, e *env) {
	f := e.fixture()
	ann, bo := f.users[0].ID, f.users[1].ID
	now := e.clock.Now()
	first := &store.Token{Hash: []byte("first"), UserID: ann, Name: "Backup", Scopes: directory.Scopes{directory.ScopeRead}, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	second := &store.Token{Hash: []byte("second"), UserID: ann, Scopes: directory.AllScopes(), CreatedAt: now, ExpiresAt: now.Add(2 * time.Hour)}
	others := &store.Token{Hash: []byte("others"), UserID: bo, Scopes: directory.AllScopes(), CreatedAt: now, ExpiresAt: now.Add(2 * time.Hour)}
	e.update(func(tx store.Tx) error {
		for _, k := range []*store.Token{first, second, others} {
			if err := tx.CreateToken(k); err != nil {
				return err
			}
		}
		return nil
	})
	e.step(time.Minute)
	e.update(func(tx store.Tx) error {
		same(t, "token", must[*store.Token](t)(tx.Token([]byte("first"))), first)
		return tx.UseToken(first.ID)
	})
	first.UsedAt = e.clock.Now()
	list := func() (l []*store.Token) {
		e.view(func(tx store.Tx) error {
			l = must[[]*store.Token](t)(tx.TokensOf(ann))
			return nil
		})
		return l
	}
	same(t, "newest first", list(), []*store.Token{second, first})
	among := func() (ids []int64) {
		e.view(func(tx store.Tx) error {
			same(t, "none among none", len(must[[]int64](t)(tx.TokensAmong(nil))), 0)
			ids = must[[]int64](t)(tx.TokensAmong([]int64{second.ID, first.ID, others.ID + 9}))
			return nil
		})
		return ids
	}
	same(t, "those that are there", among(), []int64{first.ID, second.ID})
	e.step(time.Hour)
	same(t, "without the one that has expired", list(), []*store.Token{second})
	same(t, "likewise", among(), []int64{second.ID})
	e.update(func(tx store.Tx) error {
		_, err := tx.Token([]byte("first"))
		wantErr(t, err, store.ErrNotFound)
		wantErr(t, tx.DeleteToken(bo, second.ID), store.ErrNotFound)
		if err := tx.DeleteExpired(); err != nil {
			return err
		}
		return tx.DeleteToken(ann, second.ID)
	})
	same(t, "deleted", len(list()), 0)
	e.update(func(tx store.Tx) error { return tx.DeleteTokens(bo) })
	e.view(func(tx store.Tx) error {
		_, err := tx.Token([]byte("others"))
		wantErr(t, err, store.ErrNotFound)
		return nil
	})
}

func testLaunchLoad(t *testing.T, e *env) {
	f := e.fixture()
	ann, bo := f.users[0].ID, f.users[1].ID
	load := func(user int64, since time.Time) (l store.LaunchLoad) {
		e.view(func(tx store.Tx) error {
			l = must[store.LaunchLoad](t)(tx.LaunchLoad(user, since))
			return nil
		})
		return l
	}
	base := load(ann, e.clock.Now())
	e.step(time.Minute)
	start := e.clock.Now()
	launch := func(user int64) *session.Session {
		s := session.Launch(session.Device, user, f.app.ID, f.method.ID, f.provision.ID, session.Actor{Role: session.User, Name: "ann"}, e.now())
		e.update(func(tx store.Tx) error { return tx.CreateSession(s) })
		e.step(time.Second)
		return s
	}
	one, two := launch(ann), launch(ann)
	launch(bo)
	same(t, "two launches", load(ann, start), store.LaunchLoad{Live: base.Live + 2, Unredeemed: base.Unredeemed + 2, Recent: 2, First: start})
	same(t, "since the second", load(ann, start.Add(time.Second)), store.LaunchLoad{Live: base.Live + 2, Unredeemed: base.Unredeemed + 2, Recent: 1, First: start.Add(time.Second)})
	e.update(func(tx store.Tx) error {
		before := store.Clone(one)
		one.AgentID = f.agent.ID
		if err := tx.SaveSession(before, one); err != nil {
			return err
		}
		before = store.Clone(two)
		two.Status = session.Expired
		return tx.SaveSession(before, two)
	})
	same(t, "one on a device, one over", load(ann, start), store.LaunchLoad{Live: base.Live + 1, Unredeemed: base.Unredeemed, Recent: 2, First: start})
}
