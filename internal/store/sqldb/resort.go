package sqldb

import (
	"leasehold/internal/fold"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// sortKey is a name that lists of sessions sort by, and where it is kept: with what is
// called so, and in a column of each session that refers to it.
type sortKey struct{ table, fold, column, ref string }

var sortScopes = map[store.Scope]sortKey{
	store.SortOfUser:      {"users", "name_fold", "user_sort", "user_id"},
	store.SortOfEmail:     {"users", "email_fold", "email_sort", "user_id"},
	store.SortOfApp:       {"apps", "name_fold", "app_sort", "app_id"},
	store.SortOfMethod:    {"delivery_methods", "name_fold", "method_sort", "delivery_method_id"},
	store.SortOfProvision: {"provisions", "name_fold", "provision_sort", "provision_id"},
	store.SortOfAgent:     {"agents", "name_fold", "agent_sort", "agent_id"},
}

// resortAtOnce is how many sessions get a new sort key in one transaction.
const resortAtOnce = 500

// resort gives the sessions that refer to something the sort key of its present name: the
// first ones at once, and if there are more, by a check that goes on in turns. A name that
// stays the same costs one look at a session.
func (t *Tx) resort(scope store.Scope, ref int64) error {
	k := sortScopes[scope]
	var stale int64
	err := t.one("SELECT count(*) FROM (SELECT s."+k.column+" AS key FROM sessions s WHERE s.gone = 0 AND s."+k.ref+" = ? ORDER BY s.id DESC LIMIT 1) x WHERE x.key <> (SELECT "+k.fold+" FROM "+k.table+" WHERE id = ?)", []any{ref, ref}, &stale)
	if err != nil {
		return err
	}
	next := int64(deletedFrom)
	if stale > 0 {
		next = 0
	}
	for range 2 {
		if next, err = t.Resort(scope, ref, next, resortAtOnce); err != nil || next == 0 {
			return err
		}
	}
	return t.AddCheck(&store.Check{Scope: scope, Ref: ref, Reached: next, By: session.Actor{Role: session.Server}, CreatedAt: t.now.Wall})
}

// deletedFrom is where Resort goes on to the deleted sessions. Below it the numbers are
// those of deleted ones, negated and less one.
const deletedFrom = -1

// Resort implements store.Work.
func (t *Tx) Resort(scope store.Scope, ref, after int64, limit int) (next int64, err error) {
	k := sortScopes[scope]
	gone, from := 0, after
	if after < 0 {
		gone, from = 1, -after-1
	}
	ids, err := t.ids("SELECT id FROM sessions WHERE gone = ? AND "+k.ref+" = ? AND id > ? ORDER BY id LIMIT ?", gone, ref, from, limit)
	if err != nil {
		return 0, err
	}
	if len(ids) > 0 {
		_, err = t.exec("UPDATE sessions SET "+k.column+" = coalesce((SELECT "+k.fold+" FROM "+k.table+" WHERE id = ?), '') WHERE id IN ("+marks(len(ids))+")", append([]any{ref}, anys(ids)...)...)
		if err != nil {
			return 0, err
		}
	}
	switch full := len(ids) == limit; {
	case full && gone == 0:
		return ids[len(ids)-1], nil
	case full:
		return -ids[len(ids)-1] - 1, nil
	case gone == 0:
		return deletedFrom, nil
	}
	return 0, nil
}

// resortAll is resort in one statement, for a migration, which nobody waits for.
func (t *Tx) resortAll(column, name, ref string, id int64) error {
	key := fold.Fold(name)
	_, err := t.exec("UPDATE sessions SET "+column+" = ? WHERE gone IN (0, 1) AND "+ref+" = ? AND "+column+" <> ?", key, id, key)
	return err
}
