//go:build linux

package e2e

import (
	"database/sql"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look into the server's database beside it

	"leasehold/internal/browsertest"
)

// streamsInDatabase is what the database at path has of its streams, as cells of an export
// that are told from the sessions' own rows and the names they refer to.
func streamsInDatabase(t *testing.T, path string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=query_only(1)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT s.id, u.name, u.username, u.email, a.name, s.started_at, s.ended_at, s.status, s.reason, d.name, p.name, g.name
		FROM sessions s JOIN users u ON u.id = s.user_id JOIN apps a ON a.id = s.app_id JOIN delivery_methods d ON d.id = s.delivery_method_id
		JOIN provisions p ON p.id = s.provision_id JOIN agents g ON g.id = s.agent_id WHERE s.kind = 'stream'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string][]string{}
	at := func(micros int64) string {
		if micros == 0 {
			return ""
		}
		return time.UnixMicro(micros).UTC().Format(time.DateTime)
	}
	for rows.Next() {
		var id string
		var name, username, email, app, status, reason, method, provision, host string
		var started, ended int64
		if err := rows.Scan(&id, &name, &username, &email, &app, &started, &ended, &status, &reason, &method, &provision, &host); err != nil {
			t.Fatal(err)
		}
		lasted := "" // it goes on
		if ended != 0 {
			lasted = fmt.Sprint((ended - started) / 1e6)
		}
		out[id] = []string{id, name, username, email, app, at(started), lasted, strings.ToUpper(status[:1]) + status[1:], "stream", reason, method, provision, host, "", "", at(ended), "", "UTC"}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// exportStreams exports the streams from the screen and returns the cells of the file that
// is then in the download folder.
func exportStreams(t *testing.T, w *browsertest.Window) [][]string {
	t.Helper()
	dir := t.TempDir()
	w.Downloads(dir)
	w.Open("/admin/streams?page_size=2&sort=user") // what is on screen does not count
	w.Click(`#list a[href*="/export"]`)
	w.Wait(`document.querySelector('#dialog[open] h1')?.innerText === 'Select range'`)
	w.Click(`#dialog button[type=submit]`)
	w.Wait(`document.querySelector('#told [data-told]')`)
	var files []string
	eventually(t, 20*time.Second, "the file is in the download folder", func() bool {
		files, _ = filepath.Glob(filepath.Join(dir, "sessions-*.csv"))
		return len(files) == 1
	})
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cells, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// compareExport compares the file with the database, cell by cell.
func compareExport(t *testing.T, cells [][]string, db map[string][]string) {
	t.Helper()
	if len(cells) != len(db)+1 {
		t.Errorf("the file has %d rows, and the database %d streams", len(cells)-1, len(db))
	}
	for _, row := range cells[1:] {
		want := db[row[0]]
		if want == nil {
			t.Errorf("session %s is in the file and not in the database", row[0])
			continue
		}
		for i, cell := range want {
			if cell != "" && row[i] != cell {
				t.Errorf("session %s, %s: %q, in the database %q", row[0], cells[0][i], row[i], cell)
			}
		}
	}
}
