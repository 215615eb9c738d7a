package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/catalog"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// startBackoff is how long a host gets no launches of an app that has failed to start there
// in a row. One that fails three apps or more fails all, so that it cannot draw launches of
// one app after the other.
var startBackoff = auth.Backoff{Free: 2, First: 30 * time.Second, Most: 30 * time.Minute}

// failsAll is of how many delivery methods the apps must have failed on a host before it gets
// no launches at all.
const failsAll = 3

// pause is how much longer a host gets no launches of a delivery method.
func pause(h store.HostLoad, now lease.Time) time.Duration {
	p := max(0, remaining(startBackoff.Wait(h.Failures), h.Failed, now))
	if h.Failing >= failsAll {
		p = max(p, remaining(startBackoff.Wait(h.Failing), h.LastFailed, now))
	}
	return p
}

// pickHost chooses the host of the delivery method's pool with the most room, and locks it
// until the launch is stored. A host has as many slots as it says, but slots at the most. It
// refuses where no seat or no host is free.
func pickHost(tx store.Tx, d *catalog.DeliveryMethod, slots int) (int64, *session.Refusal, error) {
	if d.Licence.Seats > 0 {
		n, err := tx.SeatsTaken(d.ID)
		if err != nil {
			return 0, nil, err
		}
		if n >= d.Licence.Seats {
			return 0, &session.Refusal{Code: session.RefusedNoSeat, Message: allSeats(d.Licence.Seats) + " Try again when somebody has closed the app."}, nil
		}
	}
	now := tx.LeaseNow().Earliest
	load := func() ([]store.HostLoad, error) {
		hosts, err := tx.Hosts(catalog.Pool(d.Stream.Pool), d.ID, now.Add(-session.SilentAfter))
		for i := range hosts {
			hosts[i].Slots = min(hosts[i].Slots, slots)
		}
		return hosts, err
	}
	hosts, err := load()
	if err != nil {
		return 0, nil, err
	}
	if len(hosts) == 0 {
		return 0, noHost("No host that runs this app answers. Try again later, or tell your administrator."), nil
	}
	soonest := time.Duration(0)
	for _, h := range hosts {
		if p := pause(h, now); soonest == 0 || p < soonest {
			soonest = p
		}
	}
	if soonest > 0 {
		return 0, noHost("This app has failed to start on every host that runs it. Try again in " + inWords(soonest) + ", or tell your administrator, who sees the reason on the host’s page."), nil
	}
	slices.SortStableFunc(hosts, func(a, b store.HostLoad) int { return b.Free() - a.Free() })
	for _, h := range hosts {
		if h.Free() == 0 {
			break
		}
		if pause(h, now) > 0 {
			continue
		}
		if _, err := tx.LockAgent(h.Agent); err != nil {
			return 0, nil, err
		}
		// Others may have launched there before it was locked.
		again, err := load()
		if err != nil {
			return 0, nil, err
		}
		if slices.ContainsFunc(again, func(x store.HostLoad) bool { return x.Agent == h.Agent && x.Free() > 0 && pause(x, now) == 0 }) {
			return h.Agent, nil, nil
		}
	}
	return 0, noHost("All hosts that run this app are full. Try again when somebody has closed theirs."), nil
}

func noHost(message string) *session.Refusal {
	return &session.Refusal{Code: session.RefusedNoHost, Message: message}
}

// saveSession stores a session, and whether its app has started on its host.
func saveSession(tx store.Tx, before, after *session.Session) error {
	if err := tx.SaveSession(before, after); err != nil {
		return err
	}
	if before.Status != session.Starting {
		return nil
	}
	switch after.Status {
	case session.Starting, session.Killed:
		return nil
	case session.Failed:
		return tx.NoteStart(after.AgentID, after.DeliveryMethodID, cmp.Or(after.Reason, "no reason was given"))
	}
	return tx.NoteStart(after.AgentID, after.DeliveryMethodID, "")
}

// HostFailure is an app that has failed to start on a host.
type HostFailure struct {
	store.StartFailure
	DeliveryMethod string        // its name
	Pause          time.Duration // how much longer it is not launched there
}

// HostFailures lists what has failed to start on a host and not started since, latest first.
func (c *Control) HostFailures(ctx context.Context, host int64) (list []HostFailure, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		failed, err := tx.StartFailures(host)
		for _, f := range failed {
			d, err := orNil(tx.DeliveryMethod(f.DeliveryMethodID))
			if err != nil {
				return err
			}
			if d == nil || !d.DeletedAt.IsZero() {
				continue
			}
			load := store.HostLoad{Failures: f.Failures, Failed: f.Last, Failing: len(failed), LastFailed: failed[0].Last}
			list = append(list, HostFailure{f, d.Name, pause(load, tx.LeaseNow().Earliest)})
		}
		return err
	})
	return list, err
}

// String says what has failed, as on the host's page.
func (f HostFailure) String() string {
	times := "once"
	if f.Failures > 1 {
		times = fmt.Sprintf("%d times in a row", f.Failures)
	}
	s := fmt.Sprintf("%s failed to start %s: %s", f.DeliveryMethod, times, f.Reason)
	if f.Pause > 0 {
		s += fmt.Sprintf("; it gets no launches of it for another %s", inWords(f.Pause))
	}
	return s
}
