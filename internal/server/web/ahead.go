package web

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// whyOf explains a session's status by the transition that led to it. The status's own
// reason wins: it may have been made more precise since.
func whyOf(d *control.Detail) why {
	w := why{Status: label(string(d.Row.Status)), Since: d.Row.StatusSince, Reason: d.Row.Reason, Who: "the server"}
	for _, t := range slices.Backward(d.Transitions) {
		if t.To != d.Row.Status || !t.At.Equal(d.Row.StatusSince) {
			continue // a renewal that was granted at once, or what was heard of late
		}
		w.Who = whoOf(t.Actor)
		w.Reason = cmp.Or(w.Reason, t.Reason)
		if t.Event == session.EvLaunch {
			w.Reason = cmp.Or(w.Reason, "The user clicked Launch")
		}
		break
	}
	w.Reason = title(w.Reason)
	return w
}

// addingText says what is on its way to the device; "" for nothing.
func addingText(r store.SessionRow) string {
	if r.Progress <= 0 || r.Progress >= 100 || r.Status.Ended() || !r.DeletedAt.IsZero() {
		return ""
	}
	if r.Status == session.Launched {
		return "Adding the app to the device"
	}
	return "Adding the newer version to the device"
}

// problemText says what keeps a session from getting on, in its device's own words; "" for
// nothing.
func problemText(r store.SessionRow) string {
	if r.Problem == "" || r.Status.Ended() || !r.DeletedAt.IsZero() {
		return ""
	}
	return r.Problem
}

// revOf changes with whatever a session's own page shows, the progress of a download too.
func revOf(r store.SessionRow, now time.Time) string {
	h := fnv.New32a()
	fmt.Fprint(h, r.Progress, r.Problem, r.DeletedAt.Unix())
	if r.Lease != nil {
		fmt.Fprint(h, r.LeaseEnds.Unix())
	}
	return rowOf(r, now).Rev + "-" + strconv.FormatUint(uint64(h.Sum32()), 36)
}
