package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// sessionColumns are those of a session's own row, in the order of sessionArgs.
var sessionColumns = []string{
	"kind", "user_id", "app_id", "delivery_method_id", "provision_id", "agent_id",
	"status", "reason", "status_since", "before", "unneeded", "observed", "observed_since",
	"run", "run_method", "progress", "problem", "viewers", "unwatched_since", "idle_at", "said", "told", "mark", "wanted", "stored", "ended",
	"started_at", "start_by", "first_run_at", "last_activity_at", "ended_at", "deleted_at", "gone", "live", durationSort,
}

func sessionArgs(s *session.Session) []any {
	return []any{
		string(s.Kind), s.UserID, s.AppID, s.DeliveryMethodID, s.ProvisionID, s.AgentID,
		string(s.Status), s.Reason, micros(s.StatusSince), string(s.Before), strings.Join(s.Unneeded, "\n"), string(s.Observed), micros(s.ObservedSince),
		int64(s.Run), s.RunMethod, int64(s.Progress), s.Problem, int64(s.Viewers), micros(s.UnwatchedSince), micros(s.IdleAt), int64(s.Said), int64(s.Told), int64(s.Mark), int64(s.Wanted), int64(s.Stored), int64(s.Ended),
		micros(s.StartedAt), int64(s.StartBy), micros(s.FirstRunAt), micros(s.LastActivityAt), micros(s.EndedAt), micros(s.DeletedAt), b2i(!s.DeletedAt.IsZero()), b2i(store.Live(s)), durationSortOf(s),
	}
}

// selectSession reads a session with its lease and latest order.
const selectSession = `SELECT s.id, s.kind, s.user_id, s.app_id, s.delivery_method_id, s.provision_id, s.agent_id,
	s.status, s.reason, s.status_since, s.before, s.unneeded, s.observed, s.observed_since,
	s.run, s.run_method, s.progress, s.problem, s.viewers, s.unwatched_since, s.idle_at, s.said, s.told, s.mark, s.wanted, s.stored, s.ended,
	s.started_at, s.start_by, s.first_run_at, s.last_activity_at, s.ended_at, s.deleted_at,
	l.delivery_method_id, l.kind, l.generation, l.run, l.granted_at, l.expires_at, l.free_at,
	o.action, o.by_role, o.by_name, o.reason, o.up_to, o.requested_at, o.delivered_at, o.warned_at, o.closed_at, o.closed_by, o.already, o.eta, o.promised_at, o.closes_at`

const fromSession = ` FROM sessions s LEFT JOIN leases l ON l.session_id = s.id LEFT JOIN orders o ON o.id = s.order_id`

func scanSession(scan func(...any) error, more ...any) (*session.Session, error) {
	s := &session.Session{}
	var unneeded string
	var since, observedSince, unwatched, idle, started, firstRun, activity, ended, deleted int64
	var lDM, lGen, lRun, lGranted, lExpires, lFree sql.NullInt64
	var lKind, oAction, oRole, oName, oReason, oClosedBy sql.NullString
	var oUpTo, oRequested, oDelivered, oWarned, oClosed, oAlready, oETA, oPromised, oCloses sql.NullInt64
	err := scan(append([]any{
		&s.ID, &s.Kind, &s.UserID, &s.AppID, &s.DeliveryMethodID, &s.ProvisionID, &s.AgentID,
		&s.Status, &s.Reason, &since, &s.Before, &unneeded, &s.Observed, &observedSince,
		&s.Run, &s.RunMethod, &s.Progress, &s.Problem, &s.Viewers, &unwatched, &idle, &s.Said, &s.Told, &s.Mark, &s.Wanted, &s.Stored, &s.Ended,
		&started, &s.StartBy, &firstRun, &activity, &ended, &deleted,
		&lDM, &lKind, &lGen, &lRun, &lGranted, &lExpires, &lFree,
		&oAction, &oRole, &oName, &oReason, &oUpTo, &oRequested, &oDelivered, &oWarned, &oClosed, &oClosedBy, &oAlready, &oETA, &oPromised, &oCloses,
	}, more...)...)
	if err != nil {
		return nil, err
	}
	if unneeded != "" {
		s.Unneeded = strings.Split(unneeded, "\n")
	}
	s.StatusSince, s.ObservedSince, s.StartedAt, s.FirstRunAt = when(since), when(observedSince), when(started), when(firstRun)
	s.LastActivityAt, s.EndedAt, s.DeletedAt = when(activity), when(ended), when(deleted)
	s.UnwatchedSince, s.IdleAt = when(unwatched), when(idle)
	if lDM.Valid {
		s.Lease = &lease.Grant{
			Session: s.ID, DeliveryMethod: lDM.Int64, Kind: lease.Kind(lKind.String), Generation: uint64(lGen.Int64), Run: uint32(lRun.Int64),
			GrantedAt: lease.Time(lGranted.Int64), ExpiresAt: lease.Time(lExpires.Int64), FreeAt: lease.Time(lFree.Int64),
		}
	}
	if oAction.Valid {
		s.Order = &session.Order{
			Action: session.Action(oAction.String), By: session.Actor{Role: session.Role(oRole.String), Name: oName.String}, Reason: oReason.String,
			UpTo: uint64(oUpTo.Int64), RequestedAt: when(oRequested.Int64), DeliveredAt: when(oDelivered.Int64), WarnedAt: when(oWarned.Int64),
			ClosedAt: when(oClosed.Int64), ClosedBy: oClosedBy.String, Already: oAlready.Int64 != 0, ETA: lease.Time(oETA.Int64), Promised: when(oPromised.Int64), ClosesAt: when(oCloses.Int64),
		}
	}
	return s, nil
}

// CreateSession implements store.Sessions.
func (t *Tx) CreateSession(s *session.Session) error {
	var err error
	cols := strings.Join(sessionColumns, ", ")
	s.ID, err = t.insert("INSERT INTO sessions ("+cols+", user_sort, email_sort, app_sort, provision_sort, method_sort, agent_sort) VALUES ("+marks(len(sessionColumns))+`,
		`+sortKeys+")", append(sessionArgs(s), s.UserID, s.UserID, s.AppID, s.ProvisionID, s.DeliveryMethodID, s.AgentID)...)
	if err != nil {
		return err
	}
	return t.saveParts(&session.Session{}, s)
}

// sortKeys are the folded names that lists sort by, kept in the session's own row.
const sortKeys = `coalesce((SELECT name_fold FROM users WHERE id = ?), ''), coalesce((SELECT email_fold FROM users WHERE id = ?), ''),
	coalesce((SELECT name_fold FROM apps WHERE id = ?), ''), coalesce((SELECT name_fold FROM provisions WHERE id = ?), ''),
	coalesce((SELECT name_fold FROM delivery_methods WHERE id = ?), ''), coalesce((SELECT name_fold FROM agents WHERE id = ?), '')`

// Session implements store.Sessions.
func (t *Tx) Session(id int64) (*session.Session, error) { return t.session(id, "") }

// LockSession implements store.Sessions.
func (t *Tx) LockSession(id int64) (*session.Session, error) {
	if err := t.lock("s.id = ?", id); err != nil {
		return nil, err
	}
	return t.session(id, "")
}

// TryLockSession implements store.Sessions.
func (t *Tx) TryLockSession(id int64) (*session.Session, error) {
	s, err := t.session(id, "")
	if err != nil || t.d.TryUpdate == "" {
		return s, err
	}
	if s.AgentID != 0 {
		// In the order in which a check-in locks.
		free, err := t.ids("SELECT id FROM agents WHERE id = ?"+t.d.TryShare, s.AgentID)
		if err != nil {
			return nil, err
		}
		if len(free) == 0 {
			return nil, store.ErrLocked
		}
	}
	free, err := t.ids("SELECT id FROM sessions WHERE id = ?"+t.d.TryUpdate, id)
	if err != nil {
		return nil, err
	}
	if len(free) == 0 {
		return nil, store.ErrLocked
	}
	return t.session(id, "")
}

// lock locks sessions in the order of their ids before they are read with what hangs on
// them, because an outer join cannot be locked.
func (t *Tx) lock(cond string, args ...any) error {
	if t.d.ForUpdate == "" {
		return nil
	}
	_, err := t.ids("SELECT s.id FROM sessions s WHERE "+cond+" ORDER BY s.id"+t.d.ForUpdate, args...)
	return err
}

func (t *Tx) session(id int64, end string) (*session.Session, error) {
	s, err := scanSession(t.row(selectSession+fromSession+" WHERE s.id = ?"+end, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("session %d: %w", id, err)
	}
	return s, nil
}

func (t *Tx) sessions(cond string, args ...any) ([]*session.Session, error) {
	var out []*session.Session
	err := t.each(selectSession+fromSession+" WHERE "+cond, args, func(r *sql.Rows) error {
		s, err := scanSession(r.Scan)
		out = append(out, s)
		return err
	})
	return out, err
}

// SessionsOfAgent implements store.Sessions.
func (t *Tx) SessionsOfAgent(agent int64) ([]*session.Session, error) {
	return t.sessions("s.agent_id = ? AND s.live = 1 ORDER BY s.id", agent)
}

// LockSessionsOfAgent implements store.Sessions.
func (t *Tx) LockSessionsOfAgent(agent int64, ids []int64) ([]*session.Session, error) {
	return t.sessionsOf(agent, ids, t.lock)
}

// TryLockSessionsOfAgent implements store.Sessions.
func (t *Tx) TryLockSessionsOfAgent(agent int64, ids []int64) (free []*session.Session, locked []int64, err error) {
	if t.d.TryUpdate == "" {
		free, err = t.LockSessionsOfAgent(agent, ids)
		return free, nil, err
	}
	mine := map[int64]bool{}
	out, err := t.sessionsOf(agent, ids, func(cond string, args ...any) error {
		got, err := t.ids("SELECT s.id FROM sessions s WHERE "+cond+" ORDER BY s.id"+t.d.TryUpdate, args...)
		for _, id := range got {
			mine[id] = true
		}
		return err
	})
	for _, s := range out {
		if mine[s.ID] {
			free = append(free, s)
		} else {
			locked = append(locked, s.ID)
		}
	}
	return free, locked, err
}

// sessionsOf returns the live sessions of an agent and those of ids that are its own, by
// id, each locked by lock before it is read.
func (t *Tx) sessionsOf(agent int64, ids []int64, lock func(cond string, args ...any) error) ([]*session.Session, error) {
	if err := lock("s.agent_id = ? AND s.live = 1", agent); err != nil {
		return nil, err
	}
	out, err := t.SessionsOfAgent(agent)
	if err != nil {
		return nil, err
	}
	var others []int64
	for _, id := range ids {
		if _, found := slices.BinarySearchFunc(out, id, func(s *session.Session, id int64) int { return int(s.ID - id) }); !found {
			others = append(others, id)
		}
	}
	for part := range slices.Chunk(others, 500) {
		cond := "s.id IN (" + marks(len(part)) + ") AND s.agent_id = ?"
		args := append(anys(part), agent)
		if err := lock(cond, args...); err != nil {
			return nil, err
		}
		more, err := t.sessions(cond, args...)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	slices.SortFunc(out, func(a, b *session.Session) int { return int(a.ID - b.ID) })
	return out, nil
}

// Superseded implements store.Sessions.
func (t *Tx) Superseded(user, app, agent, id int64) ([]*session.Session, error) {
	cond := "s.user_id = ? AND s.app_id = ? AND s.agent_id = ? AND s.id < ? AND s.live = 1 AND s.gone = 0 AND s.status NOT IN ('expired', 'removed', 'disconnected', 'failed', 'killed')"
	args := []any{user, app, agent, id}
	if err := t.lock(cond, args...); err != nil {
		return nil, err
	}
	return t.sessions(cond+" ORDER BY s.id", args...)
}

// UserSessions implements store.Sessions.
func (t *Tx) UserSessions(user int64, limit int) ([]*session.Session, error) {
	return t.sessions("s.gone = 0 AND s.user_id = ? AND (s.status NOT IN ('expired', 'removed', 'disconnected', 'failed', 'killed') OR s.kind = 'device' AND s.observed = 'running') ORDER BY s.id DESC LIMIT ?", user, limit)
}

// SaveSession implements store.Sessions.
func (t *Tx) SaveSession(before, after *session.Session) error {
	was, is := sessionArgs(before), sessionArgs(after)
	var sets []string
	var args []any
	for i, c := range sessionColumns {
		if was[i] != is[i] {
			sets, args = append(sets, c+" = ?"), append(args, is[i])
		}
	}
	if before.AgentID != after.AgentID {
		sets, args = append(sets, "agent_sort = coalesce((SELECT name_fold FROM agents WHERE id = ?), '')"), append(args, after.AgentID)
	}
	if before.ProvisionID != after.ProvisionID {
		sets, args = append(sets, "provision_sort = coalesce((SELECT name_fold FROM provisions WHERE id = ?), '')"), append(args, after.ProvisionID)
	}
	if before.DeliveryMethodID != after.DeliveryMethodID {
		sets, args = append(sets, "method_sort = coalesce((SELECT name_fold FROM delivery_methods WHERE id = ?), '')"), append(args, after.DeliveryMethodID)
	}
	if len(sets) > 0 {
		if _, err := t.exec("UPDATE sessions SET "+strings.Join(sets, ", ")+" WHERE id = ?", append(args, after.ID)...); err != nil {
			return err
		}
	}
	return t.saveParts(before, after)
}

// saveParts stores the lease, its seat, the order and the history.
func (t *Tx) saveParts(before, after *session.Session) error {
	if err := t.saveLease(before.Lease, after.Lease, after.ID); err != nil {
		return err
	}
	if err := t.saveOrder(before.Order, after.Order, after.ID); err != nil {
		return err
	}
	for _, tr := range after.TakeTransitions() {
		_, err := t.exec(`INSERT INTO transitions (session_id, from_status, to_status, event, at, role, name, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			after.ID, string(tr.From), string(tr.To), string(tr.Event), micros(tr.At), string(tr.Actor.Role), tr.Actor.Name, tr.Reason)
		if err != nil {
			return err
		}
	}
	return t.saveMessages(after)
}

func (t *Tx) saveMessages(s *session.Session) error {
	for _, m := range s.TakeMessages() {
		var err error
		if m.ShownAt.IsZero() {
			_, err = t.exec("INSERT INTO messages (session_id, n, by_role, by_name, text, at, shown_at) VALUES (?, ?, ?, ?, ?, ?, 0)",
				s.ID, int64(m.N), string(m.By.Role), m.By.Name, m.Text, micros(m.At))
		} else {
			_, err = t.exec("UPDATE messages SET shown_at = ? WHERE session_id = ? AND n = ?", micros(m.ShownAt), s.ID, int64(m.N))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) saveLease(was, is *lease.Grant, id int64) error {
	if is == nil && was == nil || is != nil && was != nil && *is == *was {
		return nil
	}
	if was != nil && (is == nil || is.DeliveryMethod != was.DeliveryMethod) {
		if _, err := t.exec("DELETE FROM seats WHERE delivery_method_id = ? AND session_id = ?", was.DeliveryMethod, id); err != nil {
			return err
		}
	}
	if is == nil {
		_, err := t.exec("DELETE FROM leases WHERE session_id = ?", id)
		return err
	}
	if was == nil || is.DeliveryMethod != was.DeliveryMethod {
		if _, err := t.exec("INSERT INTO seats (delivery_method_id, session_id, taken_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", is.DeliveryMethod, id, int64(is.GrantedAt)); err != nil {
			return err
		}
	}
	_, err := t.exec(`INSERT INTO leases (session_id, delivery_method_id, kind, generation, run, granted_at, expires_at, free_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (session_id) DO UPDATE SET delivery_method_id = excluded.delivery_method_id, kind = excluded.kind, generation = excluded.generation,
		run = excluded.run, granted_at = excluded.granted_at, expires_at = excluded.expires_at, free_at = excluded.free_at`,
		id, is.DeliveryMethod, string(is.Kind), int64(is.Generation), int64(is.Run), int64(is.GrantedAt), int64(is.ExpiresAt), int64(is.FreeAt))
	return err
}

func (t *Tx) saveOrder(was, is *session.Order, id int64) error {
	if is == nil || was != nil && *is == *was {
		return nil
	}
	if was != nil && was.UpTo == is.UpTo {
		_, err := t.exec(`UPDATE orders SET delivered_at = ?, warned_at = ?, closed_at = ?, closed_by = ?, already = ?, eta = ?, promised_at = ?, closes_at = ? WHERE id = (SELECT order_id FROM sessions WHERE id = ?)`,
			micros(is.DeliveredAt), micros(is.WarnedAt), micros(is.ClosedAt), is.ClosedBy, b2i(is.Already), int64(is.ETA), micros(is.Promised), micros(is.ClosesAt), id)
		return err
	}
	if was.Open() {
		if _, err := t.exec("UPDATE orders SET closed_at = ?, closed_by = 'replaced' WHERE id = (SELECT order_id FROM sessions WHERE id = ?)", micros(is.RequestedAt), id); err != nil {
			return err
		}
	}
	order, err := t.insert(`INSERT INTO orders (session_id, action, by_role, by_name, reason, up_to, requested_at, delivered_at, warned_at, closed_at, closed_by, already, eta, promised_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, string(is.Action), string(is.By.Role), is.By.Name, is.Reason, int64(is.UpTo),
		micros(is.RequestedAt), micros(is.DeliveredAt), micros(is.WarnedAt), micros(is.ClosedAt), is.ClosedBy, b2i(is.Already), int64(is.ETA), micros(is.Promised))
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE sessions SET order_id = ? WHERE id = ?", order, id)
	return err
}

// TakeSeat implements store.Sessions.
func (t *Tx) TakeSeat(method, id int64, seats int) (bool, error) {
	if seats > 0 {
		// Whoever wants a seat of this delivery method waits here for the others.
		if t.d.ForUpdate != "" {
			if _, err := t.ids("SELECT id FROM delivery_methods WHERE id = ?"+t.d.ForUpdate, method); err != nil {
				return false, err
			}
		}
		n, err := t.seatsTaken(method, id)
		if err != nil || n >= seats {
			return false, err
		}
	}
	_, err := t.exec("INSERT INTO seats (delivery_method_id, session_id, taken_at) VALUES (?, ?, ?) ON CONFLICT (delivery_method_id, session_id) DO UPDATE SET taken_at = excluded.taken_at", method, id, int64(t.now.Earliest))
	return err == nil, err
}

// SeatsTaken implements store.Sessions.
func (t *Tx) SeatsTaken(method int64) (int, error) { return t.seatsTaken(method, 0) }

// seatsTaken counts the seats taken by others than one session. A seat counts that was
// taken in this transaction and whose lease is still to be written, even over one of
// before that has ended.
func (t *Tx) seatsTaken(method, but int64) (n int, err error) {
	err = t.one(`SELECT count(*) FROM seats s LEFT JOIN leases l ON l.session_id = s.session_id
		WHERE s.delivery_method_id = ? AND s.session_id <> ? AND (l.session_id IS NULL OR l.free_at > ? OR s.taken_at > l.granted_at)`, []any{method, but, int64(t.now.Earliest)}, &n)
	return n, err
}

// StreamsDue implements store.Sessions.
func (t *Tx) StreamsDue(seen lease.Time, limit int) ([]int64, error) {
	ids, err := t.ids("SELECT s.id FROM sessions s WHERE s.gone = 0 AND s.status = 'starting' AND s.start_by <= ? ORDER BY s.id LIMIT ?", int64(t.now.Earliest), limit)
	if err != nil || len(ids) == limit {
		return ids, err
	}
	more, err := t.ids(`SELECT s.id FROM agents a JOIN agent_seen x ON x.agent_id = a.id JOIN sessions s ON s.agent_id = a.id AND s.live = 1
		WHERE a.kind = 'host' AND x.lease_at < ? AND s.status = 'connected' ORDER BY s.id LIMIT ?`, int64(seen), limit-len(ids))
	return append(ids, more...), err
}

// LeasesOver implements store.Sessions.
func (t *Tx) LeasesOver(after int64, scan, limit int) (ids []int64, next int64, err error) {
	var last, n sql.NullInt64
	err = t.one("SELECT max(session_id), count(*) FROM (SELECT session_id FROM leases WHERE session_id > ? ORDER BY session_id LIMIT ?) x", []any{after, scan}, &last, &n)
	if err != nil || !last.Valid {
		return nil, 0, err
	}
	ids, err = t.ids("SELECT session_id FROM leases WHERE session_id > ? AND session_id <= ? AND free_at <= ? ORDER BY session_id LIMIT ?", after, last.Int64, int64(t.now.Earliest), limit)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case len(ids) == limit:
		return ids, ids[limit-1], nil
	case n.Int64 < int64(scan):
		return ids, 0, nil
	}
	return ids, last.Int64, nil
}

// OrdersDue implements store.Sessions.
func (t *Tx) OrdersDue(limit int) ([]int64, error) {
	return t.ids("SELECT o.session_id FROM orders o WHERE o.closed_at = 0 AND o.eta <= ? ORDER BY o.eta LIMIT ?", int64(t.now.Earliest), limit)
}

// Transitions implements store.Sessions.
func (t *Tx) Transitions(id int64) ([]session.Transition, error) {
	var out []session.Transition
	err := t.each("SELECT from_status, to_status, event, at, role, name, reason FROM transitions WHERE session_id = ? ORDER BY id", []any{id}, func(r *sql.Rows) error {
		var tr session.Transition
		var at int64
		err := r.Scan(&tr.From, &tr.To, &tr.Event, &at, &tr.Actor.Role, &tr.Actor.Name, &tr.Reason)
		tr.At = when(at)
		out = append(out, tr)
		return err
	})
	return out, err
}

// Messages implements store.Sessions.
func (t *Tx) Messages(id int64) ([]session.Message, error) {
	var out []session.Message
	err := t.each("SELECT n, by_role, by_name, text, at, shown_at FROM messages WHERE session_id = ? ORDER BY n", []any{id}, func(r *sql.Rows) error {
		var m session.Message
		var at, shown int64
		err := r.Scan(&m.N, &m.By.Role, &m.By.Name, &m.Text, &at, &shown)
		m.At, m.ShownAt = when(at), when(shown)
		out = append(out, m)
		return err
	})
	return out, err
}
