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

func (w watched) CreateEnrolmentKey(a0 *store.EnrolmentKey) error {
	w.saw("CreateEnrolmentKey")
	return w.Tx.CreateEnrolmentKey(a0)
}

func (w watched) EnrolmentKey(a0 []byte) (*store.EnrolmentKey, error) {
	w.saw("EnrolmentKey")
	return w.Tx.EnrolmentKey(a0)
}

func (w watched) EnrolmentKeyByID(a0 int64) (*store.EnrolmentKey, error) {
	w.saw("EnrolmentKeyByID")
	return w.Tx.EnrolmentKeyByID(a0)
}

func (w watched) UseEnrolmentKey(a0 int64) (bool, error) {
	w.saw("UseEnrolmentKey")
	return w.Tx.UseEnrolmentKey(a0)
}

func (w watched) RevokeEnrolmentKey(a0 int64) error {
	w.saw("RevokeEnrolmentKey")
	return w.Tx.RevokeEnrolmentKey(a0)
}

func (w watched) ListEnrolmentKeys(a0 store.Page) ([]*store.EnrolmentKey, string, error) {
	w.saw("ListEnrolmentKeys")
	return w.Tx.ListEnrolmentKeys(a0)
}

func (w watched) NoteStart(a0 int64, a1 int64, a2 string) error {
	w.saw("NoteStart")
	return w.Tx.NoteStart(a0, a1, a2)
}

func (w watched) StartFailures(a0 int64) ([]store.StartFailure, error) {
	w.saw("StartFailures")
	return w.Tx.StartFailures(a0)
}
