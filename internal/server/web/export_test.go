package web

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/export"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// fromDatabase is the cells that an export must have for the sessions of a kind, read row
// by row from the store.
func (s *site) fromDatabase(kind session.Kind, zone *time.Location) (cells [][]string) {
	s.t.Helper()
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(zone).Format("2006-01-02 15:04:05")
	}
	s.must(s.c.Store.View(s.t.Context(), func(tx store.Tx) error {
		ids, err := tx.MatchingIDs(store.SessionQuery{Kind: kind, History: true}, 0, 1000)
		if err != nil {
			return err
		}
		for _, id := range ids {
			x, err := tx.Session(id)
			if err != nil {
				return err
			}
			u, err := tx.User(x.UserID)
			if err != nil {
				return err
			}
			a, err := tx.App(x.AppID)
			if err != nil {
				return err
			}
			d, err := tx.DeliveryMethod(x.DeliveryMethodID)
			if err != nil {
				return err
			}
			p, err := tx.Provision(x.ProvisionID)
			if err != nil {
				return err
			}
			agent := ""
			if x.AgentID != 0 {
				ag, err := tx.Agent(x.AgentID)
				if err != nil {
					return err
				}
				agent = ag.Name
			}
			cells = append(cells, []string{num(x.ID), u.Name, u.Username, u.Email, a.Name, at(x.StartedAt), "", x.Status.Label(), string(x.Kind), x.Reason,
				d.Name, p.Name, agent, at(x.FirstRunAt), at(x.LastActivityAt), at(x.EndedAt), at(x.DeletedAt), zone.String()})
		}
		return nil
	}))
	return cells
}

// TestExportInTheBrowser clicks Export and Apply, by mouse, and compares the file in the
// download folder cell by cell with the database.
func TestExportInTheBrowser(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB, \"R2026\"")
	lab := s.device("=LAB-204")
	gone := s.launch(app.ID, lab, true)
	for i := range 7 {
		s.launch(app.ID, lab, i%2 == 0)
	}
	s.exit(lab, gone)
	_, err := s.c.Act(t.Context(), s.root, gone, session.Expire, "Exam\nover")
	s.must(err)
	s.must(s.c.Store.Update(t.Context(), func(tx store.Tx) error {
		was, err := tx.LockSession(gone)
		if err != nil {
			return err
		}
		is := store.Clone(was)
		is.Delete(tx.WallNow())
		return tx.SaveSession(was, is)
	}))
	w := s.window()
	dir := t.TempDir()
	w.Downloads(dir)
	w.Open("/admin/sessions?history=true&q=matlab")
	w.Click(`#list a[href*="/export"]`)
	w.Wait(`document.querySelector('#dialog[open] h1')?.innerText === 'Select range'`)
	today := time.Now().UTC()
	for js, want := range map[string]string{
		`document.querySelector('#from').value`:         today.Format("2006-01-") + "01",
		`document.querySelector('#to').value`:           today.Format(time.DateOnly),
		`document.querySelector('#from').type`:          "date",
		`document.querySelector('#dialog p').innerText`: "Every session that started in the period and that the list selects, by search: matlab, not only those on the page. Deleted ones are in it too.",
	} {
		if got := w.Text(js); got != want {
			t.Errorf("%s is %q, want %q", js, got, want)
		}
	}
	// The cursor opens the calendar.
	w.Run(`window.shown = []; HTMLInputElement.prototype.showPicker = function () { window.shown.push(this.id) }`)
	w.Click(`#from`)
	w.Click(`#to`)
	if got := w.Text(`window.shown.join()`); got != "from,to" {
		t.Errorf("calendars of %s", got)
	}
	// What is no period is said at its field, and nothing is lost.
	w.Run(`document.querySelector('#from').value = '2026-03-02'; document.querySelector('#to').value = '2026-03-01'`)
	w.Click(`#dialog button[type=submit]`)
	w.Wait(`document.querySelector('#to[aria-invalid=true]') === document.activeElement`)
	if got := w.Text(`document.querySelector('#to-error').innerText + document.querySelector('#from').value`); got != "Must not be before from.2026-03-02" {
		t.Errorf("%q", got)
	}
	w.Hush() // the 422
	w.Run(`window.mark = true; document.querySelector('#from').value = '` + today.AddDate(0, 0, -1).Format(time.DateOnly) + `'; document.querySelector('#to').value = '` + today.Format(time.DateOnly) + `'`)
	w.Click(`#dialog [name=bom]`)
	w.Click(`#dialog button[type=submit]`)
	w.Wait(`document.querySelector('#told [data-told]')`)
	want := "The export has begun: sessions that started from " + today.AddDate(0, 0, -1).Format("2 January 2006") + " to " + today.Format("2 January 2006") + "."
	if got := w.Text(`document.querySelector('#told p').innerText`); !strings.HasPrefix(got, want) {
		t.Errorf("it says %q", got)
	}
	name := fmt.Sprintf("sessions-%s-to-%s.csv", today.AddDate(0, 0, -1).Format(time.DateOnly), today.Format(time.DateOnly))
	file := filepath.Join(dir, name)
	servertest.Eventually(t, 20*time.Second, name+" is in the download folder", func() bool {
		st, err := os.Stat(file) // empty: the browser only holds its name yet
		return err == nil && st.Size() > 0
	})
	b, err := os.ReadFile(file)
	s.must(err)
	text, bom := strings.CutPrefix(string(b), "\uFEFF")
	got, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	s.must(err)
	db := s.fromDatabase(session.Device, time.UTC)
	if !bom || len(got) != len(db)+1 || len(db) != 8 || !slices.Equal(got[0], export.Columns) {
		t.Fatalf("mark %v, %d sessions: %q", bom, len(db), got)
	}
	for i, row := range db {
		for j, cell := range row {
			if j == 6 {
				continue // a duration goes on
			}
			if got[i+1][j] != export.Cell(cell) {
				t.Errorf("session %s, %s: %q, in the database %q", row[0], export.Columns[j], got[i+1][j], cell)
			}
		}
	}
	if got := w.Text(`location.pathname + location.search + window.mark`); got != "/admin/sessions?history=true&q=matlabtrue" {
		t.Errorf("the page is now %s", got)
	}
	// The list goes on living, and the message goes when it is dismissed.
	next := s.launch(app.ID, lab, false)
	w.Wait(fmt.Sprintf(`document.querySelector('#s%d')`, next))
	w.Click(`[data-untell]`)
	w.Wait(`!document.querySelector('#told').children.length`)
	w.Quiet()
}

// TestExportLooks has axe look at the confirmation; the dialog it sees where it looks at
// every page.
func TestExportLooks(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	s.launch(app.ID, 0, false)
	for _, width := range []int64{1440, 390} {
		w := s.window()
		w.Downloads(t.TempDir())
		w.Look(width, "light")
		w.Open(sessionsPath)
		w.Click(`#list a[href*="/export"]`)
		w.Click(`#dialog [value=ndjson]`)
		w.Click(`#dialog button[type=submit]`)
		w.Wait(`document.querySelector('#told [data-told]')`)
		w.Judge("export told")
		w.Close()
	}
}

// TestExportWithoutScript: the form alone leads back to the list, which says what has begun
// and begins it.
func TestExportWithoutScript(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	id := s.launch(app.ID, 0, false)
	b := s.as("olga")
	b.get("/admin/sessions?status=launched&sort=user").is(200).has(`href="/admin/sessions/export?sort=user&amp;status=launched"`)
	b.get("/admin/sessions/export?sort=user&status=launched").is(200).has("Select range", `name="status" value="launched"`, "status: launched", "switch on History", "Whole days in UTC")
	day := time.Now().UTC().Format(time.DateOnly)
	form := vals("from", day, "to", day, "format", "csv", "bom", "true", "status", "launched", "return", "/admin/sessions?sort=user&status=launched")
	a := b.get("/admin/sessions/export/begin?"+form.Encode()).is(200).has("The export has begun: sessions that started on ", "Download it again")
	if a.path != "/admin/sessions?sort=user&status=launched" {
		t.Errorf("back at %s", a.path)
	}
	file, ok := strings.CutPrefix(a.head.Get("Refresh"), "0; url=")
	f := b.get(file).is(200).has("\uFEFF\"Session ID\",", "\r\n\""+num(id)+"\",\"Ann Berg\",\"ann\",")
	if !ok || f.head.Get("Content-Disposition") != `attachment; filename="sessions-`+day+`-to-`+day+`.csv"` {
		t.Errorf("%v", f.head)
	}
	if again := b.get("/admin/sessions").is(200).lacks("The export has begun"); again.head.Get("Refresh") != "" {
		t.Error("it is said twice")
	}
	b.get("/admin/sessions/export/begin?from=2026-02-02&to=2026-02-01&format=ndjson&status=launched&return=//evil.example").is(422).has("ust not be before from", `value="2026-02-02"`).lacks(`href="//evil`, `name="return" value="//evil`)
	b.get("/admin/sessions/export/begin?format=xlsx").is(400).has("Format must be one of")
	b.get("/admin/sessions/export/file?format=xlsx").is(400)
	b.get("/admin/streams/export").is(200).has("Prior ones are in it", `action="/admin/streams/export/begin"`)
	b.get("/admin/streams/export/file?" + url.Values{"from": {day}}.Encode()).is(200).lacks("Ann Berg")
	// An empty field is an open end.
	b.get("/admin/sessions/export/begin?from=&to=" + day).is(200).has("or earlier.")
	s.as("ann").get("/admin/sessions/export/file").is(403)
}
