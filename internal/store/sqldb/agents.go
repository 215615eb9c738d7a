package sqldb

import (
	"database/sql"
	"strings"
	"time"

	"leasehold/internal/fold"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const agentColumns = `id, kind, name, os, arch, version, simulated, ownership, pool, slots, missing, approved, credential, created_at, deleted_at, last_check_in, token, previous, quarantined, epoch, seq,
	coalesce((SELECT at FROM agent_seen WHERE agent_id = agents.id), 0), coalesce((SELECT lease_at FROM agent_seen WHERE agent_id = agents.id), 0)`

func scanAgent(scan func(...any) error, more ...any) (*store.Agent, error) {
	a := &store.Agent{}
	var created, deleted, seen, simulated, quarantined, approved int64
	var missing string
	err := scan(append([]any{&a.ID, &a.Kind, &a.Name, &a.OS, &a.Arch, &a.Version, &simulated, &a.Ownership, &a.Pool, &a.Slots, &missing, &approved, &a.Credential, &created, &deleted,
		&a.Chain.Last, &a.Chain.Token, &a.Chain.Previous, &quarantined, &a.Epoch, &a.Seq, &seen, &a.Seen.Lease}, more...)...)
	a.CreatedAt, a.DeletedAt, a.Seen.At = when(created), when(deleted), when(seen)
	if missing != "" {
		a.Missing = strings.Split(missing, "\n")
	}
	a.Simulated, a.Approved, a.Chain.Quarantined = simulated != 0, approved != 0, quarantined != 0
	return a, err
}

// CreateAgent implements store.Agents.
func (t *Tx) CreateAgent(a *store.Agent) (err error) {
	a.ID, err = t.insert(`INSERT INTO agents (kind, name, name_fold, os, arch, version, simulated, ownership, pool, slots, missing, approved, credential, created_at, deleted_at, last_check_in, token, previous, quarantined, epoch, seq)
		VALUES (`+marks(21)+`)`, string(a.Kind), a.Name, fold.Fold(a.Name), a.OS, a.Arch, a.Version, b2i(a.Simulated), string(a.Ownership), a.Pool, int64(a.Slots), strings.Join(a.Missing, "\n"), b2i(a.Approved), a.Credential, micros(a.CreatedAt), micros(a.DeletedAt),
		int64(a.Chain.Last), a.Chain.Token, a.Chain.Previous, b2i(a.Chain.Quarantined), int64(a.Epoch), int64(a.Seq))
	if err != nil {
		return err
	}
	if err := t.markSeen(a.ID, a.Seen); err != nil {
		return err
	}
	return t.setName("agent", a.ID, a.Name)
}

// Agent implements store.Agents.
func (t *Tx) Agent(id int64) (*store.Agent, error) {
	return found(scanAgent(t.row("SELECT "+agentColumns+" FROM agents WHERE id = ?", id).Scan))
}

// LockAgent implements store.Agents.
func (t *Tx) LockAgent(id int64) (*store.Agent, error) {
	return found(scanAgent(t.row("SELECT "+agentColumns+" FROM agents WHERE id = ?"+t.d.ForUpdate, id).Scan))
}

// SaveAgent implements store.Agents.
func (t *Tx) SaveAgent(a *store.Agent) error {
	// The name and the owner stay almost always, so a check-in needs no read for them.
	set := "UPDATE agents SET version = ?, last_check_in = ?, token = ?, previous = ?, quarantined = ?, epoch = ?, seq = ?, slots = ?, missing = ?, pool = ?, approved = ?"
	args := []any{a.Version, int64(a.Chain.Last), a.Chain.Token, a.Chain.Previous, b2i(a.Chain.Quarantined), int64(a.Epoch), int64(a.Seq), int64(a.Slots), strings.Join(a.Missing, "\n"), a.Pool, b2i(a.Approved)}
	n, err := t.exec(set+" WHERE id = ? AND name = ? AND ownership = ?", append(args, a.ID, a.Name, string(a.Ownership))...)
	if err != nil || n > 0 {
		return err
	}
	if n, err = t.exec(set+", name = ?, name_fold = ?, ownership = ? WHERE id = ?", append(args, a.Name, fold.Fold(a.Name), string(a.Ownership), a.ID)...); err != nil {
		return err
	}
	if n == 0 {
		return store.ErrNotFound
	}
	if err := t.setName("agent", a.ID, a.Name); err != nil {
		return err
	}
	return t.resort(store.SortOfAgent, a.ID)
}

// DeleteAgent implements store.Agents.
func (t *Tx) DeleteAgent(id int64) error {
	n, err := t.exec("UPDATE agents SET deleted_at = ? WHERE id = ? AND deleted_at = 0", micros(t.now.Wall), id)
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return err
}

// ListAgents implements store.Agents.
func (t *Tx) ListAgents(kind wire.AgentKind, q string, page store.Page) (list []*store.Agent, next string, err error) {
	cond, args := t.contains("deleted_at = 0 AND kind = ?", []any{string(kind)}, "agent", q)
	next, err = t.namedList("agents", agentColumns, "name_fold", cond, args, page, func(r *sql.Rows) (int64, error) {
		var key string
		a, err := scanAgent(r.Scan, &key)
		list = append(list, a)
		return a.ID, err
	})
	return list, next, err
}

// AddTunnel implements store.Agents.
func (t *Tx) AddTunnel(x *store.Tunnel) error {
	if _, err := t.exec("DELETE FROM tunnels WHERE expires_at <= ?", int64(t.now.Earliest)); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO tunnels (ticket, session_id, agent_id, node, expires_at) VALUES (?, ?, ?, ?, ?)", x.Ticket, x.Session, x.Agent, x.Node, int64(x.ExpiresAt))
	return err
}

const selectTunnel = "SELECT ticket, session_id, agent_id, node, expires_at FROM tunnels WHERE agent_id = ? AND expires_at > ?"

func scanTunnel(scan func(...any) error) (*store.Tunnel, error) {
	x := &store.Tunnel{}
	err := scan(&x.Ticket, &x.Session, &x.Agent, &x.Node, &x.ExpiresAt)
	return x, err
}

// Tunnels implements store.Agents.
func (t *Tx) Tunnels(agent int64) (list []store.Tunnel, err error) {
	err = t.each(selectTunnel+" ORDER BY ticket", []any{agent, int64(t.now.Earliest)}, func(r *sql.Rows) error {
		x, err := scanTunnel(r.Scan)
		list = append(list, *x)
		return err
	})
	return list, err
}

// TakeTunnel implements store.Agents.
func (t *Tx) TakeTunnel(agent int64, ticket string) (*store.Tunnel, error) {
	if !holds(ticket) {
		return nil, store.ErrNotFound
	}
	x, err := found(scanTunnel(t.row(selectTunnel+" AND ticket = ?", agent, int64(t.now.Earliest), ticket).Scan))
	if err != nil {
		return nil, err
	}
	// Whoever deletes it has it.
	n, err := t.exec("DELETE FROM tunnels WHERE ticket = ?", ticket)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return x, err
}

// RecordDevice implements store.Agents.
func (t *Tx) RecordDevice(user, agent int64, at time.Time) error {
	_, err := t.exec("INSERT INTO device_users (user_id, agent_id, used_at) VALUES (?, ?, ?) ON CONFLICT (user_id, agent_id) DO UPDATE SET used_at = excluded.used_at", user, agent, micros(at))
	return err
}

// PeopleOf implements store.Agents.
func (t *Tx) PeopleOf(agent int64) (list []wire.Person, err error) {
	err = t.each("SELECT u.id, u.username, u.name FROM users u JOIN device_users du ON du.user_id = u.id WHERE du.agent_id = ? AND u.deleted_at = 0 ORDER BY u.username_fold", []any{agent}, func(r *sql.Rows) error {
		var p wire.Person
		err := r.Scan(&p.ID, &p.Username, &p.Name)
		list = append(list, p)
		return err
	})
	return list, err
}

// ForgetDevice implements store.Agents.
func (t *Tx) ForgetDevice(user, agent int64) error {
	n, err := t.exec("DELETE FROM device_users WHERE user_id = ? AND agent_id = ?", user, agent)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// DevicesOf implements store.Agents.
func (t *Tx) DevicesOf(user int64) (list []*store.Agent, err error) {
	err = t.each("SELECT "+agentColumns+" FROM agents JOIN device_users du ON du.agent_id = agents.id WHERE du.user_id = ? AND deleted_at = 0 ORDER BY du.used_at DESC LIMIT 100", []any{user}, func(r *sql.Rows) error {
		a, err := scanAgent(r.Scan)
		list = append(list, a)
		return err
	})
	return list, err
}

func (t *Tx) markSeen(agent int64, seen store.Seen) error {
	_, err := t.exec(`INSERT INTO agent_seen (agent_id, at, lease_at) VALUES (?, ?, ?) ON CONFLICT (agent_id) DO UPDATE SET at = excluded.at, lease_at = excluded.lease_at
		WHERE excluded.lease_at >= agent_seen.lease_at`, agent, micros(seen.At), int64(seen.Lease))
	return err
}

// MarkSeen records when agents were last heard from; see store.Store.
func (t *Tx) MarkSeen(seen map[int64]store.Seen) error {
	for id, at := range seen {
		if err := t.markSeen(id, at); err != nil {
			return err
		}
	}
	return nil
}
