//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// benchLists measures pages, searches and filters at many sessions, as the use case
// answers them: the page with all its names, and the total up to its bound.
func benchLists(ctx context.Context, o *options, db *database, t *report) error {
	rate, err := db.load(ctx, o.sessions)
	if err != nil {
		return err
	}
	c, err := control.New(ctx, control.Config{Store: db.Store, PublicURL: "http://127.0.0.1:1", Limits: control.MaxLimits})
	if err != nil {
		return err
	}
	s := t.section(fmt.Sprintf("Lists at %d sessions: a page of 50 and its total (to %d), %d times each", o.sessions, control.ExactTotal, o.repeats),
		"list\tp50\tp99\tp50, of bare lookups\ttotal")
	bare, err := lookups(ctx, db, o)
	if err != nil {
		return err
	}
	org := newOrg()
	lower := func(s string, from, n int) string { return strings.ToLower(s)[from : from+n] }
	user, app := org.users[3], org.apps[150]
	for _, l := range []struct {
		name string
		q    store.SessionQuery
	}{
		{"first page", store.SessionQuery{}},
		{"of device apps", store.SessionQuery{Kind: session.Device}},
		{"of streamed apps, of which there are none", store.SessionQuery{Kind: session.Stream}},
		{"oldest first", store.SessionQuery{Sort: "id"}},
		{"status, rare (renewal requested)", store.SessionQuery{Statuses: []session.Status{session.RenewalRequested}}},
		{"status, common (removed)", store.SessionQuery{Statuses: []session.Status{session.Removed}}},
		{"two statuses", store.SessionQuery{Statuses: []session.Status{session.Running, session.Evicted}}},
		{"status that does not occur", store.SessionQuery{Statuses: []session.Status{session.Added}}},
		{"rare status, by user", store.SessionQuery{Statuses: []session.Status{session.RenewalRequested}, Sort: "user"}},
		{"running, oldest first", store.SessionQuery{Statuses: []session.Status{session.Running}, Sort: "started_at"}},
		{"running, by last activity", store.SessionQuery{Statuses: []session.Status{session.Running}, Sort: "-last_activity_at"}},
		{"of a user", store.SessionQuery{UserID: 20_000}},
		{"of an app", store.SessionQuery{AppID: 151}},
		{"of the app with the most", store.SessionQuery{AppID: 1}},
		{"of an app, by user", store.SessionQuery{AppID: 151, Sort: "user"}},
		{"running, of an app", store.SessionQuery{AppID: 151, Statuses: []session.Status{session.Running}}},
		{"rare status of the largest app", store.SessionQuery{AppID: 1, Statuses: []session.Status{session.RenewalRequested}}},
		{"of a device", store.SessionQuery{AgentID: 77}},
		{"started in a week", store.SessionQuery{From: time.Now().AddDate(0, 0, -207), To: time.Now().AddDate(0, 0, -200)}},
		{"search, 1 letter, in nearly all", store.SessionQuery{Q: "a"}},
		{"search, 1 letter, in none", store.SessionQuery{Q: "z"}},
		{"search, 2 letters", store.SessionQuery{Q: lower(user, 0, 2)}},
		{"search, 2 letters, in none (zq)", store.SessionQuery{Q: "zq"}},
		{"search, 3 letters", store.SessionQuery{Q: lower(user, 1, 3)}},
		{"search, 3 letters, in none", store.SessionQuery{Q: "zqx"}},
		{"search, 4 letters, in none (zqxj)", store.SessionQuery{Q: "zqxj"}},
		{"search, 6 letters, one user (u20000)", store.SessionQuery{Q: "u20000"}},
		{"search, 8 letters, few users", store.SessionQuery{Q: lower(user, 0, 8)}},
		{"search, an app", store.SessionQuery{Q: lower(app, 0, 8)}},
		{"search, in all apps (studio)", store.SessionQuery{Q: "studio"}},
		{"search, in all e-mails only (example)", store.SessionQuery{Q: "example"}},
		{"search, a status (running)", store.SessionQuery{Q: "running"}},
		{"search, in all apps, and a rare status", store.SessionQuery{Q: "studio", Statuses: []session.Status{session.RenewalRequested}}},
		{"search, 3 letters, by user", store.SessionQuery{Q: lower(user, 1, 3), Sort: "user"}},
		{"search, 8 letters, by last activity", store.SessionQuery{Q: lower(user, 0, 8), Sort: "-last_activity_at"}},
		{"e-mail contains", store.SessionQuery{Email: strings.ToLower(strings.Split(user, " ")[0]) + "."}},
		{"e-mail contains, in all", store.SessionQuery{Email: "example"}},
		{"by user", store.SessionQuery{Sort: "user"}},
		{"by app", store.SessionQuery{Sort: "-app"}},
		{"by device", store.SessionQuery{Sort: "device"}},
		{"by delivery method", store.SessionQuery{Sort: "delivery_method"}},
		{"by provision", store.SessionQuery{Sort: "provision"}},
		{"by e-mail", store.SessionQuery{Sort: "email"}},
		{"by status", store.SessionQuery{Sort: "status"}},
		{"by since", store.SessionQuery{Sort: "-since"}},
		{"by last activity", store.SessionQuery{Sort: "last_activity_at"}},
		{"by duration", store.SessionQuery{Sort: "duration"}},
		{"by duration, longest first", store.SessionQuery{Sort: "-duration"}},
		{"of device apps, by duration", store.SessionQuery{Kind: session.Device, Sort: "-duration"}},
		{"running, by duration", store.SessionQuery{Statuses: []session.Status{session.Running}, Sort: "-duration"}},
		{"removed, by duration", store.SessionQuery{Statuses: []session.Status{session.Removed}, Sort: "duration"}},
		{"two statuses, by duration", store.SessionQuery{Statuses: []session.Status{session.Running, session.Removed}, Sort: "duration"}},
		{"a common and a rare status, by duration", store.SessionQuery{Statuses: []session.Status{session.Removed, session.RenewalRequested}, Sort: "duration"}},
		{"of a user, by duration", store.SessionQuery{UserID: 20_000, Sort: "-duration"}},
		{"of the app with the most, by duration", store.SessionQuery{AppID: 1, Sort: "-duration"}},
		{"begun 300 days ago or earlier, by duration", store.SessionQuery{To: time.Now().AddDate(0, 0, -300), Sort: "duration"}},
		{"search, a status (running), by duration", store.SessionQuery{Q: "running", Sort: "-duration"}},
		{"search, 2 letters, by duration", store.SessionQuery{Q: lower(user, 0, 2), Sort: "duration"}},
	} {
		if err := timeList(ctx, c, o, s, l.name, l.q, bare); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	for _, sort := range []store.Sort{"-id", "user", "duration"} {
		q, err := deep(ctx, c, o, sort, 5000)
		if err != nil {
			return err
		}
		if err := timeList(ctx, c, o, s, fmt.Sprintf("page 5,000 by %s", sort), q, bare); err != nil {
			return err
		}
	}
	s.note("A bare lookup of a session by its number: %s. Bulk load: %.0f rows/s.", text(bare), rate)
	return nil
}

// lookups is how long the database takes to find one session by its number.
func lookups(ctx context.Context, db *database, o *options) (time.Duration, error) {
	q := "SELECT status FROM sessions WHERE id = ?"
	if strings.Contains(fmt.Sprintf("%T", db.Store), "postgres") {
		q = "SELECT status FROM sessions WHERE id = $1"
	}
	st, err := db.raw.PrepareContext(ctx, q)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	var took []time.Duration
	for i := range 2000 {
		begin := time.Now()
		var v string
		if err := st.QueryRowContext(ctx, 1+i*7919%o.sessions).Scan(&v); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	return quantile(took, 0.5), nil
}

func timeList(ctx context.Context, c *control.Control, o *options, s *section, name string, q store.SessionQuery, bare time.Duration) error {
	var took []time.Duration
	var last *control.List
	begin := time.Now()
	// One that is slow is asked for less often, so that the whole stays bounded.
	for i := 0; i < o.repeats && (i < 3 || time.Since(begin) < 2*time.Second); i++ {
		b := time.Now()
		l, err := c.ListSessions(ctx, q)
		if err != nil {
			return err
		}
		took = append(took, time.Since(b))
		last = l
	}
	total := fmt.Sprint(last.Total)
	if !last.Exact {
		total = "> " + total
	}
	p50 := quantile(took, 0.5)
	s.row(name, p50, quantile(took, 0.99), fmt.Sprintf("× %.0f", float64(p50)/float64(bare)), total)
	return nil
}

// deep walks to the n-th page by key, in large steps.
func deep(ctx context.Context, c *control.Control, o *options, sort store.Sort, n int) (store.SessionQuery, error) {
	q := store.SessionQuery{Sort: sort, PageSize: control.MaxPageSize}
	for left := min(n*control.DefaultPageSize, o.sessions/2); left > 0; left -= control.MaxPageSize {
		err := c.Store.View(ctx, func(tx store.Tx) error {
			p, err := tx.ListSessions(q)
			q.PageToken = p.Next
			return err
		})
		if err != nil {
			return q, err
		}
	}
	q.PageSize = control.DefaultPageSize
	return q, nil
}
