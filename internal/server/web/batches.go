package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

const batchesPath = "/admin/batches"

func batchPath(id int64) string { return batchesPath + "/" + itoa(id) }

// newBatch freezes the ticked rows, or everything that the list's filter matches, and
// asks what to do with them. Nothing is done to a session before that is accepted.
func newBatch(c *call) error {
	form := c.r.PostForm
	back := safeReturn(form.Get("return"), sessionsPath)
	// Which of them, and what: one choice has both where the other is given for all.
	of, action, both := strings.Cut(form.Get("of"), " ")
	if !both {
		action = form.Get("action")
	}
	r := control.BatchRequest{Action: session.Action(action)}
	if of == "filter" {
		v, err := url.ParseQuery(form.Get("filter"))
		if err != nil {
			return invalid.Of("filter", "must be the list's query")
		}
		kind := session.Kind(cmp.Or(form.Get("kind"), string(session.Device)))
		if kind != session.Device && kind != session.Stream {
			return invalid.Of("kind", "must be device or stream")
		}
		q, err := c.sessionQueryOf(kind, v)
		if err != nil {
			return err
		}
		r.Filter = &q.SessionQuery
	} else if r.IDs = ids(form, "session"); len(r.IDs) == 0 {
		ask := batchAsk{Title: "No row is ticked", Happens: "Tick the sessions first, or choose everything that matches.", Back: back, Off: true}
		return c.showAs(http.StatusUnprocessableEntity, page{Title: ask.Title, Nav: "sessions"}, batchAskView(ask, time.Now()))
	}
	b, err := c.Control.Preview(c.r.Context(), c.who(), r)
	if err != nil {
		return err
	}
	if c.live() {
		return c.askBatch(http.StatusOK, b, back, "", nil)
	}
	return c.redirect(withQuery(batchPath(b.ID), url.Values{"return": {back}}))
}

// runBatch begins what was asked. What is soon done is told in a toast, the rest has a
// page that follows it.
func runBatch(c *call) error {
	id, reason, back := c.id(), cmp.Or(c.r.PostFormValue("reason"), c.r.PostFormValue("text")), safeReturn(c.r.PostFormValue("return"), sessionsPath)
	b, err := c.Control.RunBatch(c.r.Context(), c.who(), id, reason)
	if bad := (invalid.Error)(nil); errors.As(err, &bad) && (fieldErrors(bad)["reason"] != "" || fieldErrors(bad)["text"] != "") {
		b, err := c.Control.Batch(c.r.Context(), c.who(), id)
		if err != nil {
			return err
		}
		return c.askBatch(http.StatusUnprocessableEntity, b, back, reason, fieldErrors(bad))
	}
	if errors.Is(err, control.ErrBegun) {
		// Somebody else was quicker.
		ask := batchAsk{Title: "Nothing was begun", Happens: title(err.Error()) + ".", Back: batchPath(id), Off: true}
		return c.showAs(http.StatusConflict, page{Title: ask.Title, Nav: "sessions"}, batchAskView(ask, time.Now()))
	}
	if err != nil {
		return err
	}
	if b.State == store.BatchRunning {
		return c.redirect(batchPath(id))
	}
	t := toast{Text: plural(b.Applied, "session") + " " + appliedWord(b.Action) + ".", Link: batchPath(id), Name: "Batch " + itoa(id)}
	if b.Skipped > 0 {
		t.Text = strings.TrimSuffix(t.Text, ".") + ", " + thousands(b.Skipped) + " skipped."
	}
	return c.done(back, t)
}

// stopBatch ends a batch before it is through.
func stopBatch(c *call) error {
	if _, err := c.Control.StopBatch(c.r.Context(), c.who(), c.id()); err != nil {
		return err
	}
	return c.redirect(batchPath(c.id()))
}

// askBatch is the warning before a batch, as a dialog's content or a page.
func (c *call) askBatch(code int, b *control.BatchView, back, reason string, bad map[string]string) error {
	ask := askOf(b)
	ask.Back = back
	var err error
	if ask.Reason, err = c.wordsField(b.Action, "Stands in each session’s history and in the audit log."); err != nil {
		return err
	}
	ask.Reason.Value, ask.Reason.Error = reason, bad[ask.Reason.Name]
	return c.showAs(code, page{Title: ask.Title, Nav: "sessions", Now: b.Now}, batchAskView(ask, b.Now))
}

// maxKinds is how many kinds of sessions a warning lists; the counts are of all.
const maxKinds = 40

// askOf says what a previewed batch would do.
func askOf(b *control.BatchView) batchAsk {
	n, verb := b.WillAffect(), title(string(b.Action))
	ask := batchAsk{Path: batchPath(b.ID) + "/run", Title: verb + " " + plural(n, "session")}
	ask.Verb = ask.Title
	most := func(a, b control.Group) int {
		return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.App, b.App), strings.Compare(string(a.Status), string(b.Status)))
	}
	affected, skips := slices.SortedFunc(slices.Values(b.Affected), most), slices.SortedFunc(slices.Values(b.Skips), most)
	for i, g := range affected {
		if i == maxKinds {
			ask.More = "and " + thousands(len(affected)-i) + " more kinds"
			break
		}
		ask.Counts = append(ask.Counts, batchCount{App: g.App, Status: wordOf(g.Status), N: g.N})
	}
	ask.Skips = skipsOf(skips)
	if len(skips) > 0 {
		ask.Skipped = plural(b.Total-n, "session") + " skipped"
	}
	const again = " To take an app away too, revoke access on a session’s page, or disable its provision. Each session is checked again when its turn comes."
	switch {
	case b.State == store.BatchStopped:
		return batchAsk{Title: "This was stopped", Happens: "It was stopped before it began. Nothing was done to any session: choose them again.", Off: true}
	case b.State != store.BatchPreview:
		return batchAsk{Title: "This is not ready", Happens: "The sessions were not all collected. Nothing was done to any: choose them again.", Off: true}
	case b.Total == 0:
		ask.Off, ask.Title, ask.Happens = true, "Nothing matches", "No session matches the filter any more."
	case n == 0:
		ask.Off, ask.Title, ask.Happens = true, "Nothing to "+string(b.Action), verb+" applies to none of these sessions."
	case b.Action == session.Evict:
		ask.Happens = "Each app is closed after its warnings, at the latest when its lease ends."
		ask.Not = "It does not take the apps away: their users can launch them again." + again
	case b.Action == session.Tell:
		ask.Verb = "Send to " + plural(n, "session")
		ask.Happens = "The text is shown to each user as soon as their device hears of it, or in the page with the app."
		ask.Not = "It does nothing else. What is not shown when an app ends is not shown later. Each session is checked again when its turn comes."
	case b.Action == session.Kill:
		ask.Happens = "Each app ends at once, without a warning: what is not saved is lost."
		ask.Not = "It does not take the apps away: their users can launch them anew from the portal." + again
	case b.Action == session.Cancel:
		ask.Happens = "Each app is still starting. It is not started any further."
		ask.Not = "It does not take the apps away: their users can launch them anew from the portal." + again
	default:
		ask.Happens = "The apps may not run again in these sessions."
		ask.Not = "It does not take the apps away: their users can launch them anew from the portal." + again
	}
	return ask
}

// skipsOf puts together what is skipped for the same reason, with the apps it is of.
func skipsOf(groups []control.Group) (list []batchSkip) {
	apps := map[string][]control.Group{}
	for _, g := range groups {
		why := title(g.Why) + "."
		i := slices.IndexFunc(list, func(s batchSkip) bool { return s.Why == why })
		if i < 0 {
			i = len(list)
			list = append(list, batchSkip{Why: why})
		}
		list[i].N += g.N
		if g.App != "" {
			apps[why] = append(apps[why], g)
		}
	}
	for i := range list {
		var parts []string
		for j, g := range apps[list[i].Why] {
			if j == 3 {
				parts = append(parts, plural(len(apps[list[i].Why])-j, "other app"))
				break
			}
			parts = append(parts, thousands(g.N)+" "+g.App)
		}
		list[i].What = strings.Join(parts, ", ")
	}
	slices.SortStableFunc(list, func(a, b batchSkip) int { return cmp.Compare(b.N, a.N) })
	return list
}

// wordOf is a status as a dot and a word, without what is open about it.
func wordOf(s session.Status) status {
	return status{Word: label(string(s)), Tone: toneOf(string(s))}
}

// appliedWord says what became of a session to which an action was applied.
func appliedWord(a session.Action) string {
	if a == session.Tell {
		return "messaged"
	}
	return label(string(orderStatus[a]))
}

// batchPage asks, if the batch has not run, and else shows how far it has got and what
// became of each session.
func batchPage(c *call) error {
	b, err := c.Control.Batch(c.r.Context(), c.who(), c.id())
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	if b.StartedAt.IsZero() {
		return c.askBatch(http.StatusOK, b, safeReturn(query.Get("return"), sessionsPath), "", nil)
	}
	var e invalid.Error
	outcome, after := query.Get("outcome"), int64(0)
	if s := query.Get("after"); s != "" {
		if after, err = strconv.ParseInt(s, 10, 64); err != nil || after < 0 {
			e.Add("after", "must be a session's number")
		}
	}
	if err := e.Err(); err != nil {
		return err
	}
	results, next, err := c.Control.BatchResults(c.r.Context(), c.who(), b.ID, outcome, after, control.DefaultPageSize)
	if err != nil {
		return err
	}
	at := func(outcome string, after int64) string {
		v := url.Values{}
		if outcome != "" {
			v.Set("outcome", outcome)
		}
		if after != 0 {
			v.Set("after", itoa(after))
		}
		return withQuery(batchPath(b.ID), v)
	}
	show := batchShow{Batch: b.Batch, Path: batchPath(b.ID), Title: batchTitle(b.Batch), State: batchState(b.Batch),
		Running: b.State == store.BatchRunning, Undone: b.Total - b.Applied - b.Skipped}
	if show.Of, show.OfPath, err = c.batchOf(b.Batch); err != nil {
		return err
	}
	for _, t := range []struct {
		outcome, name string
		n             int
	}{{"", "All", b.Total}, {store.Applied, "Applied", b.Applied}, {store.Skipped, "Skipped", b.Skipped}} {
		show.Tabs = append(show.Tabs, option{Label: t.name, Note: thousands(t.n), Chosen: t.outcome == outcome, Link: at(t.outcome, 0)})
	}
	for _, r := range results {
		show.Rows = append(show.Rows, batchRowOf(r, b))
	}
	show.Pager = pager{Forward: true}
	if after != 0 {
		show.Pager.First = at(outcome, 0)
	}
	if next != 0 {
		show.Pager.Next = at(outcome, next)
	}
	return c.show(page{Title: show.Title, Nav: "sessions", Now: b.Now}, batchView(show, b.Now))
}

func batchRowOf(r control.Result, b *control.BatchView) batchRow {
	row := batchRow{ID: r.Session, Gone: r.Row == nil}
	if r.Row != nil {
		row.User, row.App, row.Device = cmp.Or(r.Row.UserName, r.Row.Username), r.Row.AppName, r.Row.AgentName
		row.Now = statusOf(r.Row, b.Now)
	}
	if r.Status != "" {
		row.Was = wordOf(r.Status)
	}
	switch {
	case r.Outcome == store.Applied:
		row.Outcome = appliedWord(b.Action)
	case r.Outcome == store.Skipped:
		row.Outcome, row.Why = "skipped", r.Reason
	case b.State == store.BatchRunning:
		row.Outcome = "waiting"
	default:
		row.Outcome = "not reached"
	}
	return row
}

func batchTitle(b *store.Batch) string {
	return title(string(b.Action)) + " " + plural(b.Total, "session")
}

func batchState(b *store.Batch) status {
	tone := map[store.BatchState]string{store.BatchRunning: "blue", store.BatchStopped: "amber"}[b.State]
	return status{Word: string(b.State), Tone: cmp.Or(tone, "grey")}
}

// batchOf says in words which sessions a batch is for, and leads to the list that it was
// chosen from.
func (c *call) batchOf(b *store.Batch) (text, path string, err error) {
	if b.Filter == nil {
		return plural(b.Total, "ticked row"), "", nil
	}
	q := sessionQuery{SessionQuery: *b.Filter}
	q.Sort, q.PageSize = "", 0
	if !q.From.IsZero() {
		q.FromText = q.From.Format(time.RFC3339)
	}
	if !q.To.IsZero() {
		q.ToText = q.To.Format(time.RFC3339)
	}
	if !q.SilentSince.IsZero() {
		q.Silent = b.CreatedAt.Sub(q.SilentSince).Round(time.Second)
	}
	set, err := c.sessionChips(q)
	if err != nil {
		return "", "", err
	}
	var parts []string
	if q.Q != "" {
		parts = append(parts, "search: "+q.Q)
	}
	for _, x := range set {
		parts = append(parts, x.Name+": "+x.Value)
	}
	if len(parts) == 0 {
		return "All sessions", q.path(), nil
	}
	return "Everything that matched " + strings.Join(parts, ", "), q.path(), nil
}

// batchEvents announces a batch's progress, on whichever node it runs.
func batchEvents(c *call) error {
	last := ""
	look := func() (string, error) {
		b, err := c.Control.Batch(c.r.Context(), c.who(), c.id())
		if err != nil {
			return "", err
		}
		return fmt.Sprint(b.State, b.Applied, b.Skipped), nil
	}
	if _, err := look(); err != nil {
		return err
	}
	pace := time.NewTicker(eventPace)
	defer pace.Stop()
	return announce(c, pace.C, func() bool {
		// A look that fails says nothing; the next one may.
		now, err := look()
		if err != nil || now == last {
			return false
		}
		last = now
		return true
	})
}

// batchesPage lists what was done to many sessions at once.
func batchesPage(c *call) error {
	var before int64
	if s := c.r.URL.Query().Get("before"); s != "" {
		var err error
		if before, err = strconv.ParseInt(s, 10, 64); err != nil || before < 0 {
			return invalid.Of("before", "must be a batch's number")
		}
	}
	const size = control.DefaultPageSize
	list, err := c.Control.Batches(c.r.Context(), c.who(), before, size)
	if err != nil {
		return err
	}
	l := listing{
		Title: "Batches", Note: "What was done to many sessions at once", Pager: pager{Forward: true},
		Empty:   "Nothing yet. Tick rows in the sessions’ list and choose what to do with them.",
		Columns: []column{{Key: "text", Name: "What"}, {Key: "s", Name: "State"}, {Key: "text", Name: "Result"}, {Key: "time", Name: "Started"}, {Key: "m", Name: "Who"}, {Key: "text", Name: "Reason"}},
	}
	for _, b := range list {
		l.Rows = append(l.Rows, record{ID: itoa(b.ID), Path: batchPath(b.ID), Cells: []cell{
			{Text: batchTitle(b)}, {View: statusDot(batchState(b), b.StartedAt)},
			{Text: thousands(b.Applied) + " applied, " + thousands(b.Skipped) + " skipped"},
			{View: at(b.StartedAt)}, {Text: b.By.String(), Muted: true}, {Text: b.Reason, Muted: true}}})
	}
	if before != 0 {
		l.Pager.First = batchesPath
	}
	if n := len(list); n == size {
		l.Pager.Next = withQuery(batchesPath, url.Values{"before": {itoa(list[n-1].ID)}})
	}
	return c.show(page{Title: "Batches", Nav: "sessions"}, listingView(l))
}
