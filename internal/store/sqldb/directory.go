package sqldb

import (
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/store"
)

const userColumns = "id, username, name, email, role, status, source, password_hash, must_change_password, time_zone, created_at, deleted_at"

func scanUser(scan func(...any) error, more ...any) (*directory.User, error) {
	u := &directory.User{}
	var created, deleted, must int64
	err := scan(append([]any{&u.ID, &u.Username, &u.Name, &u.Email, &u.Role, &u.Status, &u.Source, &u.PasswordHash, &must, &u.TimeZone, &created, &deleted}, more...)...)
	u.MustChangePassword, u.CreatedAt, u.DeletedAt = must != 0, when(created), when(deleted)
	return u, err
}

// CreateUser implements store.Directory.
func (t *Tx) CreateUser(u *directory.User) (err error) {
	u.ID, err = t.insert("INSERT INTO users (username, username_fold, name, name_fold, email, email_fold, role, status, source, password_hash, must_change_password, time_zone, created_at, deleted_at) VALUES ("+marks(14)+")",
		u.Username, fold.Fold(u.Username), u.Name, fold.Fold(u.Name), u.Email, fold.Fold(u.Email), string(u.Role), string(u.Status), u.Source, u.PasswordHash, b2i(u.MustChangePassword), u.TimeZone, micros(u.CreatedAt), micros(u.DeletedAt))
	if err != nil {
		return err
	}
	return t.saveUserParts(u)
}

func (t *Tx) saveUserParts(u *directory.User) error {
	if err := t.setName("user", u.ID, u.Username+"\n"+u.Name); err != nil {
		return err
	}
	if err := t.setName("email", u.ID, u.Email); err != nil {
		return err
	}
	if err := t.setLinks("group_members", "user_id", u.ID, "group_id", u.GroupIDs); err != nil {
		return err
	}
	return t.touch()
}

// setLinks makes the rows of a link table for one owner be exactly these.
func (t *Tx) setLinks(table, owner string, id int64, other string, ids []int64) error {
	have, err := t.ids("SELECT "+other+" FROM "+table+" WHERE "+owner+" = ?", id)
	if err != nil {
		return err
	}
	for _, h := range have {
		if !slices.Contains(ids, h) {
			if _, err := t.exec("DELETE FROM "+table+" WHERE "+owner+" = ? AND "+other+" = ?", id, h); err != nil {
				return err
			}
		}
	}
	for _, n := range ids {
		if !slices.Contains(have, n) {
			if _, err := t.exec("INSERT INTO "+table+" ("+owner+", "+other+") VALUES (?, ?) ON CONFLICT DO NOTHING", id, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// User implements store.Directory.
func (t *Tx) User(id int64) (*directory.User, error) { return t.user(id, "") }

// LockUser implements store.Directory.
func (t *Tx) LockUser(id int64) (*directory.User, error) { return t.user(id, t.d.ForUpdate) }

func (t *Tx) user(id int64, lock string) (*directory.User, error) {
	u, err := found(scanUser(t.row("SELECT "+userColumns+" FROM users WHERE id = ?"+lock, id).Scan))
	if err != nil {
		return nil, err
	}
	u.GroupIDs, err = t.ids("SELECT group_id FROM group_members WHERE user_id = ? ORDER BY group_id", id)
	return u, err
}

// UserByName implements store.Directory.
func (t *Tx) UserByName(username string) (*directory.User, error) {
	if !holds(username) {
		return nil, store.ErrNotFound
	}
	var id int64
	if err := t.one("SELECT id FROM users WHERE username_fold = ? AND deleted_at = 0", []any{fold.Fold(username)}, &id); err != nil {
		return nil, err
	}
	return t.User(id)
}

// SaveUser implements store.Directory.
func (t *Tx) SaveUser(u *directory.User) error {
	if _, err := t.exec("UPDATE users SET username = ?, username_fold = ?, name = ?, name_fold = ?, email = ?, email_fold = ?, role = ?, status = ?, source = ?, password_hash = ?, must_change_password = ?, time_zone = ?, deleted_at = ? WHERE id = ?",
		u.Username, fold.Fold(u.Username), u.Name, fold.Fold(u.Name), u.Email, fold.Fold(u.Email), string(u.Role), string(u.Status), u.Source, u.PasswordHash, b2i(u.MustChangePassword), u.TimeZone, micros(u.DeletedAt), u.ID); err != nil {
		return err
	}
	if err := t.resort(store.SortOfUser, u.ID); err != nil {
		return err
	}
	if err := t.resort(store.SortOfEmail, u.ID); err != nil {
		return err
	}
	return t.saveUserParts(u)
}

// ListUsers implements store.Directory.
func (t *Tx) ListUsers(q string, page store.Page) (list []*directory.User, next string, err error) {
	cond, args := "deleted_at = 0", []any(nil)
	if q = strings.TrimSpace(q); q != "" {
		byName, a := t.named("user", q)
		byEmail, b := t.named("email", q)
		cond += " AND (id IN (" + byName + ") OR id IN (" + byEmail + "))"
		args = append(a, b...)
	}
	next, err = t.namedList("users", userColumns, "username_fold", cond, args, page, func(r *sql.Rows) (int64, error) {
		var key string
		u, err := scanUser(r.Scan, &key)
		list = append(list, u)
		return u.ID, err
	})
	if err != nil {
		return nil, "", err
	}
	for _, u := range list {
		if u.GroupIDs, err = t.ids("SELECT group_id FROM group_members WHERE user_id = ? ORDER BY group_id", u.ID); err != nil {
			return nil, "", err
		}
	}
	return list, next, nil
}

// CountAdmins implements store.Directory.
func (t *Tx) CountAdmins() (n int, err error) {
	err = t.one("SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at = 0", nil, &n)
	return n, err
}

// LockAdmins implements store.Directory.
func (t *Tx) LockAdmins() (int, error) {
	ids, err := t.ids("SELECT id FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at = 0 ORDER BY id" + t.d.ForUpdate)
	return len(ids), err
}

const groupColumns = "id, name, source, created_at"

func scanGroup(scan func(...any) error, more ...any) (*directory.Group, error) {
	g := &directory.Group{}
	var created int64
	err := scan(append([]any{&g.ID, &g.Name, &g.Source, &created}, more...)...)
	g.CreatedAt = when(created)
	return g, err
}

// CreateGroup implements store.Directory.
func (t *Tx) CreateGroup(g *directory.Group) (err error) {
	g.ID, err = t.insert("INSERT INTO user_groups (name, name_fold, source, created_at) VALUES (?, ?, ?, ?)", g.Name, fold.Fold(g.Name), g.Source, micros(g.CreatedAt))
	if err != nil {
		return err
	}
	return t.saveGroupParts(g)
}

func (t *Tx) saveGroupParts(g *directory.Group) error {
	if err := t.setName("group", g.ID, g.Name); err != nil {
		return err
	}
	if err := t.setLinks("group_members", "group_id", g.ID, "user_id", g.UserIDs); err != nil {
		return err
	}
	return t.touch()
}

// Group implements store.Directory.
func (t *Tx) Group(id int64) (*directory.Group, error) {
	g, err := found(scanGroup(t.row("SELECT "+groupColumns+" FROM user_groups WHERE id = ?", id).Scan))
	if err != nil {
		return nil, err
	}
	return g, t.members(g)
}

func (t *Tx) members(g *directory.Group) (err error) {
	g.UserIDs, err = t.ids("SELECT m.user_id FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_id = ? AND u.deleted_at = 0 ORDER BY m.user_id", g.ID)
	return err
}

// SaveGroup implements store.Directory.
func (t *Tx) SaveGroup(g *directory.Group) error {
	if _, err := t.exec("UPDATE user_groups SET name = ?, name_fold = ?, source = ? WHERE id = ?", g.Name, fold.Fold(g.Name), g.Source, g.ID); err != nil {
		return err
	}
	return t.saveGroupParts(g)
}

// DeleteGroup implements store.Directory.
func (t *Tx) DeleteGroup(id int64) error {
	for _, q := range []string{"DELETE FROM group_members WHERE group_id = ?", "DELETE FROM provision_groups WHERE group_id = ?",
		"DELETE FROM user_groups WHERE id = ?"} {
		if _, err := t.exec(q, id); err != nil {
			return err
		}
	}
	if err := t.dropName("group", id); err != nil {
		return err
	}
	return t.touch()
}

// ListGroups implements store.Directory.
func (t *Tx) ListGroups(q string, page store.Page) (list []*directory.Group, next string, err error) {
	cond, args := t.contains("1 = 1", nil, "group", q)
	next, err = t.namedList("user_groups", groupColumns, "name_fold", cond, args, page, func(r *sql.Rows) (int64, error) {
		var key string
		g, err := scanGroup(r.Scan, &key)
		list = append(list, g)
		return g.ID, err
	})
	for _, g := range list {
		if err == nil {
			err = t.members(g)
		}
	}
	return list, next, err
}

const provisionColumns = "id, name, starts_at, ends_at, enabled, ownership, networks, created_at"

func scanProvision(scan func(...any) error, more ...any) (*directory.Provision, error) {
	p := &directory.Provision{}
	var starts, ends, created, enabled int64
	var networks string
	err := scan(append([]any{&p.ID, &p.Name, &starts, &ends, &enabled, &p.Ownership, &networks, &created}, more...)...)
	if err == nil && networks != "" {
		err = json.Unmarshal([]byte(networks), &p.Networks)
	}
	p.StartsAt, p.EndsAt, p.CreatedAt, p.Enabled = when(starts), when(ends), when(created), enabled != 0
	return p, err
}

// CreateProvision implements store.Directory.
func (t *Tx) CreateProvision(p *directory.Provision) (err error) {
	p.ID, err = t.insert("INSERT INTO provisions (name, name_fold, starts_at, ends_at, enabled, ownership, networks, created_at, deleted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
		p.Name, fold.Fold(p.Name), micros(p.StartsAt), micros(p.EndsAt), b2i(p.Enabled), string(p.Ownership), networksJSON(p), micros(p.CreatedAt))
	if err != nil {
		return err
	}
	return t.saveProvisionParts(p)
}

func (t *Tx) saveProvisionParts(p *directory.Provision) error {
	if err := t.setName("provision", p.ID, p.Name); err != nil {
		return err
	}
	if err := t.setLinks("provision_users", "provision_id", p.ID, "user_id", p.UserIDs); err != nil {
		return err
	}
	if err := t.setLinks("provision_groups", "provision_id", p.ID, "group_id", p.GroupIDs); err != nil {
		return err
	}
	if err := t.setExceptions(p); err != nil {
		return err
	}
	if err := t.setLinks("provision_methods", "provision_id", p.ID, "delivery_method_id", p.DeliveryMethodIDs); err != nil {
		return err
	}
	return t.touch()
}

func networksJSON(p *directory.Provision) string {
	if len(p.Networks) == 0 {
		return ""
	}
	return toJSON(p.Networks)
}

func (t *Tx) setExceptions(p *directory.Provision) error {
	if _, err := t.exec("DELETE FROM provision_exceptions WHERE provision_id = ?", p.ID); err != nil {
		return err
	}
	for _, x := range p.Exceptions {
		if _, err := t.exec("INSERT INTO provision_exceptions (provision_id, user_id, app_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", p.ID, x.UserID, x.AppID); err != nil {
			return err
		}
	}
	return nil
}

// Provision implements store.Directory.
func (t *Tx) Provision(id int64) (*directory.Provision, error) {
	p, err := found(scanProvision(t.row("SELECT "+provisionColumns+" FROM provisions WHERE id = ? AND deleted_at = 0", id).Scan))
	if err != nil {
		return nil, err
	}
	return p, t.provisionLinks(p)
}

func (t *Tx) provisionLinks(p *directory.Provision) (err error) {
	if p.UserIDs, err = t.ids("SELECT user_id FROM provision_users WHERE provision_id = ? ORDER BY user_id", p.ID); err != nil {
		return err
	}
	if p.GroupIDs, err = t.ids("SELECT group_id FROM provision_groups WHERE provision_id = ? ORDER BY group_id", p.ID); err != nil {
		return err
	}
	p.Exceptions = nil
	err = t.each("SELECT user_id, app_id FROM provision_exceptions WHERE provision_id = ? ORDER BY user_id, app_id", []any{p.ID}, func(r *sql.Rows) error {
		var x directory.Exception
		err := r.Scan(&x.UserID, &x.AppID)
		p.Exceptions = append(p.Exceptions, x)
		return err
	})
	if err != nil {
		return err
	}
	p.DeliveryMethodIDs, err = t.ids("SELECT delivery_method_id FROM provision_methods WHERE provision_id = ? ORDER BY delivery_method_id", p.ID)
	return err
}

// SaveProvision implements store.Directory.
func (t *Tx) SaveProvision(p *directory.Provision) error {
	if _, err := t.exec("UPDATE provisions SET name = ?, name_fold = ?, starts_at = ?, ends_at = ?, enabled = ?, ownership = ?, networks = ? WHERE id = ?",
		p.Name, fold.Fold(p.Name), micros(p.StartsAt), micros(p.EndsAt), b2i(p.Enabled), string(p.Ownership), networksJSON(p), p.ID); err != nil {
		return err
	}
	if err := t.resort(store.SortOfProvision, p.ID); err != nil {
		return err
	}
	return t.saveProvisionParts(p)
}

// DeleteProvision implements store.Directory. Its row stays for the sessions that name it.
func (t *Tx) DeleteProvision(id int64) error {
	for _, q := range []string{"DELETE FROM provision_users WHERE provision_id = ?", "DELETE FROM provision_groups WHERE provision_id = ?",
		"DELETE FROM provision_methods WHERE provision_id = ?", "DELETE FROM provision_exceptions WHERE provision_id = ?"} {
		if _, err := t.exec(q, id); err != nil {
			return err
		}
	}
	if _, err := t.exec("UPDATE provisions SET deleted_at = ? WHERE id = ?", micros(t.now.Wall), id); err != nil {
		return err
	}
	return t.touch()
}

// ListProvisions implements store.Directory.
func (t *Tx) ListProvisions(q string, page store.Page) (list []*directory.Provision, next string, err error) {
	cond, args := t.contains("deleted_at = 0", nil, "provision", q)
	next, err = t.namedList("provisions", provisionColumns, "name_fold", cond, args, page, func(r *sql.Rows) (int64, error) {
		var key string
		p, err := scanProvision(r.Scan, &key)
		list = append(list, p)
		return p.ID, err
	})
	for _, p := range list {
		if err == nil {
			err = t.provisionLinks(p)
		}
	}
	return list, next, err
}

// ProvisionsTurned implements store.Directory.
func (t *Tx) ProvisionsTurned(from, to time.Time) ([]int64, error) {
	f, u := micros(from), micros(to)
	return t.ids("SELECT id FROM provisions WHERE deleted_at = 0 AND (starts_at > ? AND starts_at <= ? OR ends_at > ? AND ends_at <= ?) ORDER BY id", f, u, f, u)
}

// ProvisionsFor implements store.Directory.
func (t *Tx) ProvisionsFor(user, method int64) ([]*directory.Provision, error) {
	cond := `deleted_at = 0 AND (id IN (SELECT provision_id FROM provision_users WHERE user_id = ?)
		OR id IN (SELECT pg.provision_id FROM provision_groups pg JOIN group_members m ON m.group_id = pg.group_id WHERE m.user_id = ?))`
	args := []any{user, user}
	if method != 0 {
		cond, args = cond+" AND id IN (SELECT provision_id FROM provision_methods WHERE delivery_method_id = ?)", append(args, method)
	}
	var list []*directory.Provision
	err := t.each("SELECT "+provisionColumns+" FROM provisions WHERE "+cond+" ORDER BY id", args, func(r *sql.Rows) error {
		p, err := scanProvision(r.Scan)
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if err := t.provisionLinks(p); err != nil {
			return nil, err
		}
	}
	return list, nil
}
