package sqldb

import (
	"database/sql"
	"encoding/json"

	"leasehold/internal/catalog"
	"leasehold/internal/fold"
	"leasehold/internal/lease"
	"leasehold/internal/store"
)

const appColumns = "id, name, description, status, created_at, deleted_at"

func scanApp(scan func(...any) error, more ...any) (*catalog.App, error) {
	a := &catalog.App{}
	var created, deleted int64
	err := scan(append([]any{&a.ID, &a.Name, &a.Description, &a.Status, &created, &deleted}, more...)...)
	a.CreatedAt, a.DeletedAt = when(created), when(deleted)
	return a, err
}

// CreateApp implements store.Catalog.
func (t *Tx) CreateApp(a *catalog.App) (err error) {
	a.ID, err = t.insert("INSERT INTO apps (name, name_fold, description, status, created_at, deleted_at) VALUES (?, ?, ?, ?, ?, 0)", a.Name, fold.Fold(a.Name), a.Description, string(a.Status), micros(a.CreatedAt))
	if err != nil {
		return err
	}
	if err := t.setName("app", a.ID, a.Name); err != nil {
		return err
	}
	return t.touch()
}

// App implements store.Catalog.
func (t *Tx) App(id int64) (*catalog.App, error) {
	return found(scanApp(t.row("SELECT "+appColumns+" FROM apps WHERE id = ?", id).Scan))
}

// SaveApp implements store.Catalog.
func (t *Tx) SaveApp(a *catalog.App) error {
	if _, err := t.exec("UPDATE apps SET name = ?, name_fold = ?, description = ?, status = ?, deleted_at = ? WHERE id = ?", a.Name, fold.Fold(a.Name), a.Description, string(a.Status), micros(a.DeletedAt), a.ID); err != nil {
		return err
	}
	if err := t.setName("app", a.ID, a.Name); err != nil {
		return err
	}
	if err := t.resort(store.SortOfApp, a.ID); err != nil {
		return err
	}
	return t.touch()
}

// ListApps implements store.Catalog.
func (t *Tx) ListApps(q string, page store.Page) (list []*catalog.App, next string, err error) {
	cond, args := t.contains("deleted_at = 0", nil, "app", q)
	next, err = t.namedList("apps", appColumns, "name_fold", cond, args, page, func(r *sql.Rows) (int64, error) {
		var key string
		a, err := scanApp(r.Scan, &key)
		list = append(list, a)
		return a.ID, err
	})
	return list, next, err
}

const methodColumns = "id, app_id, name, kind, licence, offline_seconds, seats, heartbeat_seconds, warnings, successor_id, packages, stream, created_at, deleted_at"

func scanMethod(scan func(...any) error, more ...any) (*catalog.DeliveryMethod, error) {
	d := &catalog.DeliveryMethod{}
	var created, deleted int64
	var warnings, packages, stream, licence string
	err := scan(append([]any{&d.ID, &d.AppID, &d.Name, &d.Kind, &licence, &d.Licence.OfflineSeconds, &d.Licence.Seats, &d.HeartbeatSeconds, &warnings,
		&d.SuccessorID, &packages, &stream, &created, &deleted}, more...)...)
	if err != nil {
		return d, err
	}
	d.Licence.Type = lease.Kind(licence)
	d.CreatedAt, d.DeletedAt = when(created), when(deleted)
	if err := json.Unmarshal([]byte(warnings), &d.WarningsSeconds); err != nil {
		return d, err
	}
	if err := json.Unmarshal([]byte(packages), &d.Packages); err != nil {
		return d, err
	}
	return d, json.Unmarshal([]byte(stream), &d.Stream)
}

func methodArgs(d *catalog.DeliveryMethod) []any {
	return []any{d.AppID, d.Name, fold.Fold(d.Name), string(d.Kind), string(d.Licence.Type), d.Licence.OfflineSeconds, d.Licence.Seats, d.HeartbeatSeconds,
		toJSON(d.WarningsSeconds), d.SuccessorID, toJSON(d.Packages), toJSON(d.Stream), micros(d.CreatedAt), micros(d.DeletedAt)}
}

// CreateDeliveryMethod implements store.Catalog.
func (t *Tx) CreateDeliveryMethod(d *catalog.DeliveryMethod) (err error) {
	d.ID, err = t.insert("INSERT INTO delivery_methods (app_id, name, name_fold, kind, licence, offline_seconds, seats, heartbeat_seconds, warnings, successor_id, packages, stream, created_at, deleted_at) VALUES ("+marks(14)+")", methodArgs(d)...)
	if err != nil {
		return err
	}
	if err := t.setName("method", d.ID, d.Name); err != nil {
		return err
	}
	return t.touch()
}

// DeliveryMethod implements store.Catalog.
func (t *Tx) DeliveryMethod(id int64) (*catalog.DeliveryMethod, error) {
	return found(scanMethod(t.row("SELECT "+methodColumns+" FROM delivery_methods WHERE id = ?", id).Scan))
}

// SaveDeliveryMethod implements store.Catalog.
func (t *Tx) SaveDeliveryMethod(d *catalog.DeliveryMethod) error {
	if _, err := t.exec("UPDATE delivery_methods SET app_id = ?, name = ?, name_fold = ?, kind = ?, licence = ?, offline_seconds = ?, seats = ?, heartbeat_seconds = ?, warnings = ?, successor_id = ?, packages = ?, stream = ?, created_at = ?, deleted_at = ? WHERE id = ?",
		append(methodArgs(d), d.ID)...); err != nil {
		return err
	}
	if err := t.setName("method", d.ID, d.Name); err != nil {
		return err
	}
	if err := t.resort(store.SortOfMethod, d.ID); err != nil {
		return err
	}
	return t.touch()
}

// ListDeliveryMethods implements store.Catalog.
func (t *Tx) ListDeliveryMethods(app int64, q string, page store.Page) (list []*catalog.DeliveryMethod, next string, err error) {
	cond, args := "deleted_at = 0", []any(nil)
	if app != 0 {
		cond, args = cond+" AND app_id = ?", append(args, app)
	}
	cond, args = t.contains(cond, args, "method", q)
	next, err = t.namedList("delivery_methods", methodColumns, "name_fold", cond, args, page, func(r *sql.Rows) (int64, error) {
		var key string
		d, err := scanMethod(r.Scan, &key)
		list = append(list, d)
		return d.ID, err
	})
	return list, next, err
}

// DeliveryMethodsOf implements store.Catalog.
func (t *Tx) DeliveryMethodsOf(app int64) (list []*catalog.DeliveryMethod, err error) {
	err = t.each("SELECT "+methodColumns+" FROM delivery_methods WHERE app_id = ? AND deleted_at = 0 ORDER BY id", []any{app}, func(r *sql.Rows) error {
		d, err := scanMethod(r.Scan)
		list = append(list, d)
		return err
	})
	return list, err
}
