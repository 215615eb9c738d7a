//go:build unix

package upgradetest_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/upgradetest"
)

// opened is a database of the version, changed by statements before it is upgraded, with
// what its migrations logged.
func opened(t *testing.T, db, version string, before ...string) (store.Store, upgradetest.Known, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	driver, dsn, dir, url := "sqlite", "", "", ""
	var k upgradetest.Known
	if db == "sqlite" {
		dir, k = upgradetest.SQLite(t, version)
		dsn = filepath.Join(dir, sqlite.FileName)
	} else {
		url, k = upgradetest.Postgres(t, version)
		driver, dsn = "pgx", url
	}
	c, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range before {
		if _, err := c.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var st store.Store
	if db == "sqlite" {
		st, err = sqlite.Open(t.Context(), dir, sqlite.WithLog(logger))
	} else {
		st, err = postgres.Open(t.Context(), url, postgres.WithLog(logger))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, k, log
}

func onBoth(t *testing.T, do func(t *testing.T, db string)) {
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) { do(t, db) })
	}
}

// Two users whom the version before kept apart on SQLite are both still there. The later
// one has another name, which the audit log and the server's log tell of.
func TestUsersThatCollide(t *testing.T) {
	st, _, log := opened(t, "sqlite", "1edb56e")
	err := st.View(t.Context(), func(tx store.Tx) error {
		for name, want := range map[string]struct {
			id   int64
			name string
		}{"Émile": {3, "Émile"}, "émile": {3, "Émile"}, "ÉMILE-2": {4, "émile-2"}, "иван": {5, "ИВАН"}, "JOSE\u0301": {6, "josé"}, "ZOË": {7, "zoë"}} {
			u, err := tx.UserByName(name)
			if err != nil || u.ID != want.id || u.Username != want.name {
				t.Errorf("%s: %+v, %v", name, u, err)
			}
		}
		list, _, err := tx.ListAudit(store.AuditQuery{Action: "user.renamed"})
		if err != nil || len(list) != 1 {
			t.Fatalf("audit: %+v, %v", list, err)
		}
		e := list[0]
		if e.Actor != "server" || e.Target != "user 4" || e.Name != "émile-2" || e.Outcome != "done" || e.At.IsZero() ||
			e.Reason != `was "émile", which is the same name as "Émile" of user 3` {
			t.Errorf("audit: %+v", e)
		}
		if list, _, err := tx.ListAudit(store.AuditQuery{Who: "SERVER", Target: "ÉMILE"}); err != nil || len(list) != 1 {
			t.Errorf("entries from before are not found: %+v, %v", list, err)
		}
		found, _, err := tx.ListUsers("ÉMILE", store.Page{})
		if len(found) != 2 {
			t.Errorf("found by the old name: %d", len(found))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "user=4 was=émile is=émile-2 other=3 other_name=Émile") {
		t.Errorf("logged %q", got)
	}
}

// Whatever collides, no row is lost, the first keeps its name, and new names are free and
// not too long. Those that are deleted take no name.
func TestNamesThatCollide(t *testing.T) {
	const plain, decomposed = "'jos\u00e9x'", "'jose\u0301x'"
	short, long := strings.Repeat("\u00e9", 49)+"xy", strings.Repeat("e\u0301", 49)+"xy" // long has 100 characters
	user := func(id int, name string, deleted int) string {
		return fmt.Sprintf("INSERT INTO users (id, username, name, email, role, status, source, password_hash, created_at, deleted_at) VALUES (%d, %s, 'N', '', 'user', 'active', 'local', '', 1, %d)", id, name, deleted)
	}
	before := []string{
		user(101, "'jos\u00e9x-3'", 0), user(102, decomposed, 0), user(103, plain, 0), user(104, plain, 5), user(105, decomposed, 5),
		user(106, "'"+short+"'", 0), user(107, "'"+long+"'", 0), user(108, "'jos\u00e9x-2'", 0),
	}
	for i, name := range []string{plain, decomposed, "'jos\u00e9x (2)'"} {
		id := 101 + i
		before = append(before,
			fmt.Sprintf("INSERT INTO user_groups (id, name, source, created_at) VALUES (%d, %s, 'local', 1)", id, name),
			fmt.Sprintf("INSERT INTO apps (id, name, description, status, created_at, deleted_at) VALUES (%d, %s, '', 'active', 1, 0)", id, name),
			fmt.Sprintf("INSERT INTO provisions (id, name, starts_at, ends_at, enabled, ownership, networks, created_at, deleted_at) VALUES (%d, %s, 0, 0, 1, '', '', 1, 0)", id, name))
	}
	before = append(before, "UPDATE sessions SET app_id = 102, app_sort = 'old' WHERE id = 1")
	onBoth(t, func(t *testing.T, db string) {
		st, _, log := opened(t, db, "1edb56e", before...)
		err := st.View(t.Context(), func(tx store.Tx) error {
			for id, want := range map[int64]string{101: "jos\u00e9x-3", 102: "jose\u0301x", 103: "jos\u00e9x-4", 104: "jos\u00e9x", 105: "jose\u0301x", 106: short, 107: strings.Repeat("e\u0301", 49) + "-2", 108: "jos\u00e9x-2"} {
				u, err := tx.User(id)
				if err != nil || u.Username != want {
					t.Errorf("user %d: %+v, %v, want %q", id, u, err, want)
				}
			}
			for id, want := range map[int64]string{101: "jos\u00e9x", 102: "jose\u0301x (3)", 103: "jos\u00e9x (2)"} {
				a, err := tx.App(id)
				if err != nil || a.Name != want {
					t.Errorf("app %d: %+v, %v, want %q", id, a, err, want)
				}
				g, err := tx.Group(id)
				if err != nil || g.Name != want {
					t.Errorf("group %d: %+v, %v, want %q", id, g, err, want)
				}
				p, err := tx.Provision(id)
				if err != nil || p.Name != want {
					t.Errorf("provision %d: %+v, %v, want %q", id, p, err, want)
				}
			}
			for action, n := range map[string]int{"user.renamed": 2, "app.renamed": 1, "group.renamed": 1, "provision.renamed": 1} {
				list, _, err := tx.ListAudit(store.AuditQuery{Action: action})
				if db == "sqlite" && action == "user.renamed" {
					n++ // émile
				}
				if err != nil || len(list) != n {
					t.Errorf("%s: %+v, %v", action, list, err)
				}
			}
			list, _, err := tx.ListApps("JOSE\u0301X (3)", store.Page{})
			if err != nil || len(list) != 1 || list[0].ID != 102 {
				t.Errorf("found by the new name: %+v, %v", list, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "app=102") {
			t.Errorf("logged %s", log)
		}
		// What is renamed can be renamed back once the name is free.
		err = st.Update(t.Context(), func(tx store.Tx) error {
			a, err := tx.App(101)
			if err != nil {
				return err
			}
			a.DeletedAt = tx.WallNow()
			if err := tx.SaveApp(a); err != nil {
				return err
			}
			return tx.SaveApp(&catalog.App{ID: 102, Name: "JOS\u00c9X", Status: catalog.Active})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What was there is found, sorted and paged by folded names, as what is new is.
func TestNamesAreFolded(t *testing.T) {
	onBoth(t, func(t *testing.T, db string) {
		st, k, _ := opened(t, db, "1edb56e", "UPDATE users SET name = 'ÉCOLE', email = 'ÉCOLE@example.org' WHERE username = 'ann'",
			"UPDATE sessions SET user_sort = lower('ÉCOLE'), email_sort = lower('ÉCOLE@example.org')")
		var users []*directory.User
		err := st.View(t.Context(), func(tx store.Tx) error {
			for _, q := range []store.SessionQuery{{Q: "écran"}, {Q: "ÉCRAN"}, {Q: "E\u0301CR"}, {Q: "éc"}, {Username: "école"}, {Username: "é"}, {Email: "e\u0301cole@"}} {
				q.Sort, q.PageSize = "app", 50
				page, err := tx.ListSessions(q)
				if err != nil || len(page.Rows) == 0 {
					t.Errorf("no sessions by %+v: %v", q, err)
				}
			}
			groups, _, err := tx.ListGroups("INGÉ", store.Page{})
			if err != nil || len(groups) != 1 {
				t.Errorf("groups: %v, %v", groups, err)
			}
			methods, _, err := tx.ListDeliveryMethods(0, "écran", store.Page{})
			if err != nil || len(methods) != 1 {
				t.Errorf("delivery methods: %v, %v", methods, err)
			}
			users, _, err = tx.ListUsers("", store.Page{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, u := range users {
			names = append(names, u.Username)
		}
		want := []string{"ann", "josé", "root", "zoë", "Émile", "ИВАН"}
		if db == "sqlite" {
			want = slices.Insert(want, 5, "émile-2")
		}
		if !slices.Equal(names, want) {
			t.Errorf("users %v, want %v", names, want)
		}
		// A new session has the sort keys that the old ones have been given.
		err = st.Update(t.Context(), func(tx store.Tx) error {
			s, err := tx.Session(k.IDs.Launched)
			if err != nil {
				return err
			}
			for _, app := range []int64{1, 2} {
				n := session.Launch(session.Device, s.UserID, app, app, s.ProvisionID, session.Actor{Role: session.User, Name: "ann"}, tx.LeaseNow())
				n.AgentID = s.AgentID
				if err := tx.CreateSession(n); err != nil {
					return err
				}
			}
			for _, key := range []store.Sort{"user", "email", "app", "provision", "delivery_method", "device"} {
				page, err := tx.ListSessions(store.SessionQuery{Sort: key, PageSize: 50, History: true})
				if err != nil {
					return err
				}
				var got []string
				for _, r := range page.Rows {
					got = append(got, map[store.Sort]string{"user": r.UserName, "email": r.UserEmail, "app": r.AppName, "provision": r.ProvisionName, "delivery_method": r.DeliveryMethodName, "device": r.AgentName}[key])
				}
				if n := len(slices.Compact(got)); n > 2 {
					t.Errorf("by %s the same names are apart: %q", key, got)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Both databases have the same migrations: those that are files, and those that are Go.
func TestSameMigrations(t *testing.T) {
	var applied [2][]int64
	for i, db := range []string{"sqlite", "postgres"} {
		driver, dsn := "sqlite", ""
		if db == "sqlite" {
			dir, _ := upgradetest.SQLite(t, "1edb56e")
			dsn = filepath.Join(dir, sqlite.FileName)
			st, err := sqlite.Open(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			st.Close()
		} else {
			driver = "pgx"
			dsn, _ = upgradetest.Postgres(t, "1edb56e")
			st, err := postgres.Open(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			st.Close()
		}
		c, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		rows, err := c.Query("SELECT version_id FROM goose_db_version ORDER BY version_id")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var v int64
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			applied[i] = append(applied[i], v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(applied[0], applied[1]) || len(applied[0]) < 4 {
		t.Errorf("migrations %v, %v", applied[0], applied[1])
	}
	for i, v := range applied[0] {
		if int(v) != i {
			t.Errorf("migrations %v are not numbered one by one", applied[0])
			break
		}
	}
}
