package storetest

import (
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

func (w watched) ClaimDuty(a0 string, a1 string, a2 time.Duration) (term int64, mark string, err error) {
	w.saw("ClaimDuty")
	return w.Tx.ClaimDuty(a0, a1, a2)
}

func (w watched) KeepDuty(a0 string, a1 int64, a2 time.Duration) error {
	w.saw("KeepDuty")
	return w.Tx.KeepDuty(a0, a1, a2)
}

func (w watched) MarkDuty(a0 string, a1 int64, a2 string) error {
	w.saw("MarkDuty")
	return w.Tx.MarkDuty(a0, a1, a2)
}

func (w watched) DutyMark(a0 string) (string, error) {
	w.saw("DutyMark")
	return w.Tx.DutyMark(a0)
}

func (w watched) DropDuty(a0 string, a1 int64) error {
	w.saw("DropDuty")
	return w.Tx.DropDuty(a0, a1)
}

func (w watched) CreateBatch(a0 *store.Batch) error {
	w.saw("CreateBatch")
	return w.Tx.CreateBatch(a0)
}

func (w watched) Batch(a0 int64) (*store.Batch, error) {
	w.saw("Batch")
	return w.Tx.Batch(a0)
}

func (w watched) LockBatch(a0 int64) (*store.Batch, error) {
	w.saw("LockBatch")
	return w.Tx.LockBatch(a0)
}

func (w watched) SaveBatch(a0 *store.Batch) error {
	w.saw("SaveBatch")
	return w.Tx.SaveBatch(a0)
}

func (w watched) Batches(a0 store.BatchState, a1 int64, a2 int) ([]*store.Batch, error) {
	w.saw("Batches")
	return w.Tx.Batches(a0, a1, a2)
}

func (w watched) AddBatchItems(a0 int64, a1 []int64) error {
	w.saw("AddBatchItems")
	return w.Tx.AddBatchItems(a0, a1)
}

func (w watched) BatchItems(a0 int64, a1 string, a2 int64, a3 int) ([]store.BatchItem, error) {
	w.saw("BatchItems")
	return w.Tx.BatchItems(a0, a1, a2, a3)
}

func (w watched) SaveBatchItem(a0 int64, a1 store.BatchItem) error {
	w.saw("SaveBatchItem")
	return w.Tx.SaveBatchItem(a0, a1)
}

func (w watched) BatchKinds(a0 int64) ([]store.BatchKind, error) {
	w.saw("BatchKinds")
	return w.Tx.BatchKinds(a0)
}

func (w watched) DeleteBatches(a0 time.Time, a1 time.Time, a2 int) (int, error) {
	w.saw("DeleteBatches")
	return w.Tx.DeleteBatches(a0, a1, a2)
}

func (w watched) AddCheck(a0 *store.Check) error {
	w.saw("AddCheck")
	return w.Tx.AddCheck(a0)
}

func (w watched) NextCheck() (*store.Check, error) {
	w.saw("NextCheck")
	return w.Tx.NextCheck()
}

func (w watched) SaveCheck(a0 *store.Check, a1 bool) error {
	w.saw("SaveCheck")
	return w.Tx.SaveCheck(a0, a1)
}

func (w watched) ToCheck(a0 store.Scope, a1 int64, a2 int64, a3 int) (ids []int64, next int64, err error) {
	w.saw("ToCheck")
	return w.Tx.ToCheck(a0, a1, a2, a3)
}

func (w watched) Idle(a0 session.Status, a1 time.Time, a2 time.Time, a3 int64, a4 int) ([]int64, error) {
	w.saw("Idle")
	return w.Tx.Idle(a0, a1, a2, a3, a4)
}

func (w watched) Forgettable(a0 time.Time, a1 int) ([]int64, error) {
	w.saw("Forgettable")
	return w.Tx.Forgettable(a0, a1)
}

func (w watched) ForgetSession(a0 int64) error {
	w.saw("ForgetSession")
	return w.Tx.ForgetSession(a0)
}

func (w watched) LockCheck(a0 int64) (*store.Check, error) {
	w.saw("LockCheck")
	return w.Tx.LockCheck(a0)
}
