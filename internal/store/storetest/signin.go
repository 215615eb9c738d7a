package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/store"
)

func testSignInTries(t *testing.T, e *env) {
	e.update(func(tx store.Tx) error {
		for i := range 5 {
			x := must[*store.SignInTries](t)(tx.LockSignIn("10.0.0.1", fmt.Sprintf("account %d", i)))
			same(t, "nothing tried yet", *x, store.SignInTries{Source: "10.0.0.1", Account: x.Account})
			x.Tries, x.Last = i, tx.LeaseNow().Earliest
			if err := tx.SaveSignIn(x); err != nil {
				return err
			}
		}
		whole := must[*store.SignInTries](t)(tx.LockSignIn("10.0.0.1", ""))
		whole.Tries, whole.Last = 9, tx.LeaseNow().Earliest
		if err := tx.SaveSignIn(whole); err != nil {
			return err
		}
		other := must[*store.SignInTries](t)(tx.LockSignIn("10.0.0.2", "account 4"))
		same(t, "from elsewhere", other.Tries, 0)
		return nil
	})
	count := func(source string, since time.Duration, bound int) (n int) {
		e.view(func(tx store.Tx) error {
			n = must[int](t)(tx.AccountsTried(source, tx.LeaseNow().Earliest.Add(-since), bound))
			return nil
		})
		return n
	}
	same(t, "accounts tried in vain", count("10.0.0.1", time.Hour, 100), 4)
	same(t, "up to a bound", count("10.0.0.1", time.Hour, 3), 3)
	same(t, "from elsewhere", count("10.0.0.2", time.Hour, 100), 0)
	e.update(func(tx store.Tx) error { return tx.ForgetSignIn("10.0.0.1", "account 4") })
	same(t, "one has signed in", count("10.0.0.1", time.Hour, 100), 3)
	e.step(time.Minute)
	same(t, "since a moment", count("10.0.0.1", 30*time.Second, 100), 0)
	e.update(func(tx store.Tx) error { return tx.DeleteExpired() })
	same(t, "not old enough to be forgotten", count("10.0.0.1", time.Hour, 100), 3)
	for range int(store.ForgetTries/time.Hour) + 1 {
		e.step(time.Hour)
	}
	e.update(func(tx store.Tx) error { return tx.DeleteExpired() })
	same(t, "forgotten", count("10.0.0.1", 1000*time.Hour, 100), 0)
}

// testTriesAtOnce has many try at the same time: none of their tries is lost.
func testTriesAtOnce(t *testing.T, e *env) {
	const n = 20
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			err := e.st.Update(context.Background(), func(tx store.Tx) error {
				x, err := tx.LockSignIn("10.0.0.1", "a")
				if err != nil {
					return err
				}
				x.Tries++
				return tx.SaveSignIn(x)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	e.update(func(tx store.Tx) error {
		same(t, "tries", must[*store.SignInTries](t)(tx.LockSignIn("10.0.0.1", "a")).Tries, n)
		return nil
	})
}

func testBrowsers(t *testing.T, e *env) {
	f := e.fixture()
	ann, bo := f.users[0].ID, f.users[1].ID
	known := func(hash string, user int64) (ok bool) {
		e.view(func(tx store.Tx) (err error) {
			ok, err = tx.KnownBrowser([]byte(hash), user)
			return err
		})
		return ok
	}
	expires := e.clock.Now().Add(time.Hour)
	e.update(func(tx store.Tx) error { return tx.RememberBrowser(nil, []byte("one"), ann, expires) })
	same(t, "its user", known("one", ann), true)
	same(t, "another user", known("one", bo), false)
	same(t, "another browser", known("two", ann), false)
	e.update(func(tx store.Tx) error {
		return tx.RememberBrowser([]byte("one"), []byte("two"), bo, expires.Add(time.Hour))
	})
	same(t, "the hash of before", known("one", ann), false)
	same(t, "both users are remembered under the new one", []bool{known("two", ann), known("two", bo)}, []bool{true, true})
	e.step(time.Hour)
	same(t, "over", []bool{known("two", ann), known("two", bo)}, []bool{false, true})
	e.update(func(tx store.Tx) error {
		if err := tx.DeleteExpired(); err != nil {
			return err
		}
		for i := range store.MaxBrowsers {
			if err := tx.RememberBrowser(nil, fmt.Appendf(nil, "b%d", i), bo, expires.Add(time.Duration(i+2)*time.Hour)); err != nil {
				return err
			}
		}
		return nil
	})
	same(t, "the one that expires first made room", []bool{known("two", bo), known("b0", bo)}, []bool{false, true})
}

// testSwap has many swap one setting at once: one of them does.
func testSwap(t *testing.T, e *env) {
	e.update(func(tx store.Tx) error {
		same(t, "one that is not set", must[bool](t)(tx.SwapSetting("once", "link", "used")), false)
		return tx.SetSetting("once", "link")
	})
	var mu sync.Mutex
	var all sync.WaitGroup
	n := 0
	for range 10 {
		all.Go(func() {
			swapped := false
			err := e.st.Update(context.Background(), func(tx store.Tx) (err error) {
				swapped, err = tx.SwapSetting("once", "link", "used")
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if swapped {
				n++
			}
		})
	}
	all.Wait()
	same(t, "how many swapped it", n, 1)
	e.view(func(tx store.Tx) error {
		same(t, "setting", must[string](t)(tx.Setting("once")), "used")
		return nil
	})
}

// testLockAdmins has administrators delete each other unless they are the last one, all at
// once.
func testLockAdmins(t *testing.T, e *env) {
	const n = 6
	users := make([]*directory.User, n)
	e.update(func(tx store.Tx) error {
		for i := range users {
			users[i] = &directory.User{Username: fmt.Sprint("admin", i), Name: "A", Role: directory.RoleAdmin, Status: directory.Active, CreatedAt: tx.WallNow()}
			if err := tx.CreateUser(users[i]); err != nil {
				return err
			}
		}
		same(t, "administrators", must[int](t)(tx.LockAdmins()), n)
		return nil
	})
	var all sync.WaitGroup
	for _, u := range users {
		all.Go(func() {
			err := e.st.Update(context.Background(), func(tx store.Tx) error {
				left, err := tx.LockAdmins()
				if err != nil || left <= 1 {
					return err
				}
				u := *u
				u.DeletedAt = tx.WallNow()
				return tx.SaveUser(&u)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	e.view(func(tx store.Tx) error {
		same(t, "the last one stays", must[int](t)(tx.CountAdmins()), 1)
		return nil
	})
}
