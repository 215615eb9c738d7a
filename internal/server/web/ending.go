package web

import (
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// notAtOnce says plainly what becomes of running sessions without the tick.
const notAtOnce = "Without it nothing ends at once: a running session is refused when it next asks to renew, and its app closes after its warnings. " +
	"On an offline licence that can take until the device is online, or its offline time is over."

const endReasonHelp = "Stands in the audit log, and in the history of each session that it ends."

// endsField is the tick that ends running sessions at once, as the form was sent.
func (c *call) endsField(which string) *field {
	return &field{Value: c.r.PostFormValue("end_running"), Help: which + " " + notAtOnce}
}

// askEnding has a confirmation ask whether running sessions are to be ended at once, and
// say how many there are.
func (c *call) askEnding(f *confirmation, running *store.SessionQuery) error {
	which := "They are evicted: each app closes after its warnings."
	if running != nil {
		q := *running
		q.Statuses = []session.Status{session.Running, session.RenewalRequested}
		q.Sort, q.PageSize = "-id", 1
		list, err := c.Control.ListSessions(c.r.Context(), q)
		if err != nil {
			return err
		}
		switch n := total(list); {
		case list.Total == 0:
			f.Rows = append(f.Rows, fact{Name: "Running now", Text: "no session"})
		default:
			q.Sort, q.PageSize = "", 0
			f.Rows = append(f.Rows, fact{Name: "Running now", Text: n, Link: withQuery(sessionsPath, sessionQuery{SessionQuery: q}.values())})
		}
	}
	f.Ends = c.endsField(which)
	f.NoReason = false
	f.Reason = field{Name: "reason", Label: "Reason", Optional: true, Help: endReasonHelp, Value: c.r.PostFormValue("reason"),
		Attrs: map[string]any{"maxlength": "500", "autocomplete": "off"}}
	return nil
}
