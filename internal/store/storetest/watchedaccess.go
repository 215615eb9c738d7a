package storetest

import (
	"time"

	"leasehold/internal/directory"
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

func (w watched) CreateSignIn(a0 *store.SignIn) error {
	w.saw("CreateSignIn")
	return w.Tx.CreateSignIn(a0)
}

func (w watched) SignIn(a0 int64) (*store.SignIn, error) {
	w.saw("SignIn")
	return w.Tx.SignIn(a0)
}

func (w watched) SignInsOf(a0 int64) ([]*store.SignIn, error) {
	w.saw("SignInsOf")
	return w.Tx.SignInsOf(a0)
}

func (w watched) SignInsAmong(a0 []int64, a1 time.Time) ([]int64, error) {
	w.saw("SignInsAmong")
	return w.Tx.SignInsAmong(a0, a1)
}

func (w watched) SeeSignIns(a0 []int64) error {
	w.saw("SeeSignIns")
	return w.Tx.SeeSignIns(a0)
}

func (w watched) EndSignIn(a0 int64, a1 int64) error {
	w.saw("EndSignIn")
	return w.Tx.EndSignIn(a0, a1)
}

func (w watched) EndSignIns(a0 int64, a1 int64) error {
	w.saw("EndSignIns")
	return w.Tx.EndSignIns(a0, a1)
}

func (w watched) CreateToken(a0 *store.Token) error {
	w.saw("CreateToken")
	return w.Tx.CreateToken(a0)
}

func (w watched) Token(a0 []byte) (*store.Token, error) {
	w.saw("Token")
	return w.Tx.Token(a0)
}

func (w watched) TokensOf(a0 int64) ([]*store.Token, error) {
	w.saw("TokensOf")
	return w.Tx.TokensOf(a0)
}

func (w watched) UseToken(a0 int64) error {
	w.saw("UseToken")
	return w.Tx.UseToken(a0)
}

func (w watched) DeleteToken(a0 int64, a1 int64) error {
	w.saw("DeleteToken")
	return w.Tx.DeleteToken(a0, a1)
}

func (w watched) DeleteTokens(a0 int64) error {
	w.saw("DeleteTokens")
	return w.Tx.DeleteTokens(a0)
}

func (w watched) LockUser(a0 int64) (*directory.User, error) {
	w.saw("LockUser")
	return w.Tx.LockUser(a0)
}

func (w watched) LaunchLoad(a0 int64, a1 time.Time) (store.LaunchLoad, error) {
	w.saw("LaunchLoad")
	return w.Tx.LaunchLoad(a0, a1)
}

func (w watched) TokensAmong(a0 []int64) ([]int64, error) {
	w.saw("TokensAmong")
	return w.Tx.TokensAmong(a0)
}

func (w watched) AddAudit(a0 *store.AuditEntry) error {
	w.saw("AddAudit")
	return w.Tx.AddAudit(a0)
}

func (w watched) CountAudit(a0 string, a1 *store.AuditEntry) error {
	w.saw("CountAudit")
	return w.Tx.CountAudit(a0, a1)
}

func (w watched) AuditEntry(a0 int64) (*store.AuditEntry, error) {
	w.saw("AuditEntry")
	return w.Tx.AuditEntry(a0)
}

func (w watched) ListAudit(a0 store.AuditQuery) ([]store.AuditEntry, string, error) {
	w.saw("ListAudit")
	return w.Tx.ListAudit(a0)
}

func (w watched) DeleteAudit(a0 time.Time, a1 int) (int, error) {
	w.saw("DeleteAudit")
	return w.Tx.DeleteAudit(a0, a1)
}
