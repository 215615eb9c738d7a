package storetest

import (
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

func (w watched) LockSignIn(a0, a1 string) (*store.SignInTries, error) {
	w.saw("LockSignIn")
	return w.Tx.LockSignIn(a0, a1)
}

func (w watched) SaveSignIn(a0 *store.SignInTries) error {
	w.saw("SaveSignIn")
	return w.Tx.SaveSignIn(a0)
}

func (w watched) ForgetSignIn(a0, a1 string) error {
	w.saw("ForgetSignIn")
	return w.Tx.ForgetSignIn(a0, a1)
}

func (w watched) AccountsTried(a0 string, a1 lease.Time, a2 int) (int, error) {
	w.saw("AccountsTried")
	return w.Tx.AccountsTried(a0, a1, a2)
}

func (w watched) KnownBrowser(a0 []byte, a1 int64) (bool, error) {
	w.saw("KnownBrowser")
	return w.Tx.KnownBrowser(a0, a1)
}

func (w watched) RememberBrowser(a0, a1 []byte, a2 int64, a3 time.Time) error {
	w.saw("RememberBrowser")
	return w.Tx.RememberBrowser(a0, a1, a2, a3)
}

func (w watched) SwapSetting(a0, a1, a2 string) (bool, error) {
	w.saw("SwapSetting")
	return w.Tx.SwapSetting(a0, a1, a2)
}

func (w watched) LockAdmins() (int, error) {
	w.saw("LockAdmins")
	return w.Tx.LockAdmins()
}
