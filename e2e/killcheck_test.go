//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// check lets everything settle and looks whether what was acknowledged is there, once, and
// whether the rows say what the processes do.
func (w *driver) check(t *testing.T, d *device) {
	t.Helper()
	s := w.root
	// Both are up, unless the last kill was while they started.
	if !d.running() {
		d.stop(9)
		d.up()
	}
	eventually(t, 30*time.Second, "the server answers", func() bool { return s.try("GET", "/sessions?page_size=1", nil, nil) == nil })
	var wrong []string
	settle := func(what string) {
		t.Helper()
		if !waitFor(40*time.Second, func() bool { wrong = w.unsettled(t); return len(wrong) == 0 }) {
			t.Errorf("%s: %d things do not fit", what, len(wrong))
			for _, x := range wrong[:min(len(wrong), 20)] {
				t.Log("  ", x)
			}
		}
	}
	settle("left alone")
	w.account(t)

	// Then all that still run are evicted, and nothing is left.
	for _, x := range s.sessions() {
		if slices.Contains(x.Actions, "evict") {
			w.act(x.ID, "evict")
		}
	}
	settle("all evicted")
	w.account(t)
	if left := appProcesses(filepath.Dir(d.dir)); len(left) > 0 {
		t.Errorf("all were evicted, and these run: %v", left)
	}
	var devices struct {
		Devices []struct {
			ID          int64
			Quarantined bool
		}
	}
	s.call("GET", "/devices", nil, &devices)
	if len(devices.Devices) != 1 || devices.Devices[0].Quarantined {
		t.Errorf("the devices are %+v", devices.Devices)
	}
}

// unsettled lists where rows and processes do not say the same, or an order is not closed.
func (w *driver) unsettled(t *testing.T) (wrong []string) {
	processes := appProcesses(filepath.Dir(w.d.dir))
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if p := processes[0]; len(p) > 0 {
		say("processes that no guard holds: %v", p)
	}
	for _, s := range w.root.sessions() {
		n := len(processes[s.ID])
		delete(processes, s.ID)
		if running := s.Observed.State == "running"; running != (n > 0) {
			say("session %d is observed %s and has %d processes", s.ID, s.Observed.State, n)
		}
		switch s.Status {
		case "running", "renewal_requested":
			if n == 0 || s.Lease == nil {
				say("session %d is %s with %d processes and the lease %+v", s.ID, s.Status, n, s.Lease)
			}
		default:
			if n > 0 {
				say("session %d is %s and has %d processes", s.ID, s.Status, n)
			}
		}
		if o := s.Order; o != nil && (o.ClosedAt == nil || o.DeliveredAt == nil && s.Status != "launched") {
			say("session %d has an order that is not closed: %+v", s.ID, o)
		}
	}
	for id, p := range processes {
		if id != 0 {
			say("session %d is not known and has the processes %v", id, p)
		}
	}
	return wrong
}

// account compares what people were told with what the server has.
func (w *driver) account(t *testing.T) {
	t.Helper()
	times := map[string]int{}        // transitions by reason
	last := map[int64]*order{}       // of each session
	lastReason := map[int64]string{} // of the last action that a session's history has
	known := map[int64]int{}
	all := w.root.sessions()
	for _, s := range all {
		known[s.ID]++
		last[s.ID] = s.Order
		from := ""
		for _, tr := range w.root.transitions(s.ID) {
			if tr.From != from {
				t.Errorf("session %d went to %s from %q, and was %q: %+v", s.ID, tr.To, tr.From, from, tr)
			}
			from = tr.To
			if w.acts[tr.Reason] != nil {
				times[tr.Reason]++
				lastReason[s.ID] = tr.Reason
				if a := w.acts[tr.Reason]; a.session != s.ID {
					t.Errorf("session %d has an action of session %d", s.ID, a.session)
				}
			}
		}
		if from != s.Status {
			t.Errorf("session %d is %s, and its history ends with %s", s.ID, s.Status, from)
		}
	}
	for _, id := range w.launched {
		if known[id] != 1 {
			t.Errorf("session %d was acknowledged and is listed %d times", id, known[id])
		}
	}
	if slices.Sort(w.launched); len(slices.Compact(slices.Clone(w.launched))) != len(w.launched) {
		t.Errorf("a session was given to two launches: %v", w.launched)
	}
	if n := len(all); n < len(w.launched) || n > len(w.launched)+w.unknown {
		t.Errorf("%d sessions after %d acknowledged launches and %d unanswered ones", n, len(w.launched), w.unknown)
	}
	audited := w.audited(t)
	for reason, a := range w.acts {
		n := times[reason]
		switch {
		case a.done && n != 1, a.known && !a.done && n != 0, n > 1:
			t.Errorf("%s of session %d, done %v, known %v, has %d transitions", reason, a.session, a.done, a.known, n)
		}
		if audited[reason] != n {
			t.Errorf("%s of session %d has %d transitions and %d entries in the audit log", reason, a.session, n, audited[reason])
		}
	}
	for id, reason := range lastReason {
		o := last[id]
		if o == nil || o.Reason != reason || o.ClosedAt == nil || o.ClosedAt.Before(o.RequestedAt) || o.ClosedAt.After(o.ETA) {
			t.Errorf("the last action of session %d is %s, and its order %+v", id, reason, o)
		}
	}
}

// audited counts the entries of the audit log by reason.
func (w *driver) audited(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	for token := ""; ; {
		var out struct {
			Audit []struct{ Reason string }
			Next  string `json:"next_page_token"`
		}
		w.root.call("GET", "/audit?page_size=500&page_token="+token, nil, &out)
		for _, e := range out.Audit {
			count[e.Reason]++
		}
		if token = out.Next; token == "" {
			return count
		}
	}
}
