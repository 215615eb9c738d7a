//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCommandLine lists, shows, evicts and expires by the administrator's command line.
func TestCommandLine(t *testing.T) {
	s := newServer(t)
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	file := filepath.Join(t.TempDir(), "pids")
	app := org.app("Titration", 1, []int{2, 1}, "--pid-file", file)
	d := enrol(t, root, s.url, "LAB-204")
	d.up()
	l := s.signIn("ann", userPassword).mustLaunch(app, 0)
	id := l.Session.ID
	d.do("launch", l.Link)
	root.awaitStatus(id, "running")

	env := []string{"LEASEHOLD_SERVER=" + s.url, "LEASEHOLD_USER=" + adminName, "LEASEHOLD_PASSWORD=" + adminPassword}
	cli := func(out any, args ...string) {
		t.Helper()
		text, err := command(t, env, append([]string{"session"}, args...)...)
		if err != nil {
			t.Fatalf("session %v: %v: %s", args, err, text)
		}
		if out == nil {
			return
		}
		if err := json.Unmarshal([]byte(text), out); err != nil {
			t.Fatalf("session %v wrote no JSON: %v: %s", args, err, text)
		}
	}
	var list struct {
		Sessions []session
		Total    struct{ Count int }
	}
	for _, q := range [][]string{nil, {"titra"}, {"--status", "running"}, {"--kind", "device", "ann"}} {
		cli(&list, append([]string{"list", "--json"}, q...)...)
		if len(list.Sessions) != 1 || list.Sessions[0].ID != id || list.Sessions[0].Status != "running" || list.Total.Count != 1 {
			t.Errorf("list %v: %+v", q, list)
		}
	}
	cli(&list, "list", "--json", "nosuch")
	if len(list.Sessions) != 0 {
		t.Errorf("list nosuch: %+v", list)
	}

	// The list as a file: whole, in place, and with what the list has.
	exported := filepath.Join(t.TempDir(), "sessions.csv")
	cli(nil, "export", "titra", "--status", "running", "-o", exported)
	if b, err := os.ReadFile(exported); err != nil || strings.Count(string(b), "\r\n") != 2 || !strings.Contains(string(b), fmt.Sprintf("\r\n\"%d\",", id)) {
		t.Errorf("export: %v: %q", err, b)
	}
	if text, err := command(t, env, "session", "export", "--from", "tomorrow", "-o", exported+".bad"); err == nil || !strings.Contains(text, "from") {
		t.Errorf("export of no period: %v: %s", err, text)
	}

	// What its user is told stands in the player's own words, once it was shown.
	cli(nil, "message", fmt.Sprint(id), "--text", "The fire drill begins.")
	var told struct {
		Messages []struct {
			From, Text string
			ShownAt    *time.Time `json:"shown_at"`
		}
	}
	eventually(t, 20*time.Second, "the message is shown", func() bool {
		root.call("GET", fmt.Sprintf("/sessions/%d/messages", id), nil, &told)
		return len(told.Messages) == 1 && told.Messages[0].ShownAt != nil
	})
	if m := told.Messages[0]; m.From != adminName || m.Text != "The fire drill begins." {
		t.Errorf("message: %+v", m)
	}
	if out := d.out.tail(1000); !strings.Contains(out, "MESSAGE from "+adminName) || !strings.Contains(out, "The fire drill begins.") {
		t.Errorf("the player wrote: %s", out)
	}
	if text, err := command(t, env, "session", "message", "--all", "--status", "stopped", "--text", "x", "--dry-run"); err != nil || !strings.Contains(text, "would message 0") {
		t.Errorf("message to none: %v: %s", err, text)
	}

	var one session
	cli(&one, "evict", fmt.Sprint(id), "--reason", "Fire drill", "--json")
	if one.Status != "evicted" || one.Order == nil || one.Order.Reason != "Fire drill" || one.Order.ClosedAt != nil {
		t.Errorf("evict: %+v", one)
	}
	root.awaitClosed(id)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	cli(&one, "expire", fmt.Sprint(id), "--reason", "End of term", "--json")
	if one.Status != "expired" {
		t.Errorf("expire: %+v", one)
	}
	eventually(t, 20*time.Second, "the device has heard of it", func() bool { return root.session(id).Order.DeliveredAt != nil })
	cli(&one, "show", fmt.Sprint(id), "--json")
	if one.Status != "expired" || one.Order.Outcome != "already closed" || len(one.Actions) != 0 {
		t.Errorf("show: %+v, order %+v", one, one.Order)
	}

	// Many at once: said before, then done.
	second := s.signIn("ann", userPassword).mustLaunch(app, 0)
	d.do("launch", second.Link)
	root.awaitStatus(second.Session.ID, "running")
	if text, err := command(t, env, "session", "evict", "--all", "--query", "titra", "--dry-run"); err != nil || !strings.Contains(text, "would evict 1 of 2 sessions, 1 skipped") {
		t.Errorf("dry run: %v: %s", err, text)
	}
	if st := root.session(second.Session.ID).Status; st != "running" {
		t.Errorf("after a dry run: %s", st)
	}
	if text, err := command(t, env, "session", "evict", "--all", "--query", "titra", "--reason", "Fire drill"); err != nil || !strings.Contains(text, "evict: 1 of 2 sessions, 1 skipped") {
		t.Errorf("batch: %v: %s", err, text)
	}
	root.awaitClosed(second.Session.ID)
	for _, bad := range [][]string{{"session", "evict"}, {"session", "evict", "1", "--all"}, {"session", "evict", "--status", "running"}} {
		if text, err := command(t, env, bad...); err == nil {
			t.Errorf("%v is taken: %s", bad, text)
		}
	}
	if text, err := command(t, env, "housekeeping", "run", "--dry-run"); err != nil || !strings.Contains(text, "would have deleted 0") {
		t.Errorf("housekeeping: %v: %s", err, text)
	}

	// What does not apply is refused, changes nothing and is no success.
	before := len(root.transitions(id))
	text, err := command(t, env, "session", "evict", fmt.Sprint(id))
	if err == nil || !strings.Contains(text, "expired") {
		t.Errorf("evicting an expired session: %v: %s", err, text)
	}
	if n := len(root.transitions(id)); n != before {
		t.Errorf("%d transitions, were %d", n, before)
	}
	for _, bad := range [][]string{{"show", "999"}, {"evict", "999"}, {"list", "--page-token", "nonsense"}, {"list", "--sort", "nonsense"}} {
		if text, err := command(t, env, append([]string{"session"}, bad...)...); err == nil {
			t.Errorf("session %v: %s", bad, text)
		}
	}
	if text, err := command(t, []string{"LEASEHOLD_SERVER=" + s.url, "LEASEHOLD_USER=ann", "LEASEHOLD_PASSWORD=" + userPassword}, "session", "list"); err == nil {
		t.Errorf("a user lists sessions: %s", text)
	}
}
