package lease

import "time"

// Slack is how far the servers' lease clock may run ahead of its high-water mark, which
// every node advances every second. Beyond it the database's clock is not believed until
// the next advance. What is believed wrongly until then lies within [Terms.Margin].
const Slack = 2 * time.Second

// Clock is the servers' lease clock: the database's time, but never before the high-water
// mark and never further than Slack beyond it. A zero mark means that the clock was never
// advanced.
func Clock(now, mark time.Time, without Rule) time.Time {
	limit := mark.Add(Slack)
	switch {
	case mark.IsZero():
		return now
	case now.Before(mark):
		return mark
	case now.After(limit) && !without.Has(NoLeap):
		return limit
	}
	return now
}

// Unexplained is how much of the way from the high-water mark to now neither Slack nor
// watched explains: the time that passed for the node that advances the mark, by its own
// monotonic clock, since it last did. Leases out and open orders are put off by it. A node
// that was merely slow explains the whole way; nobody explains a leap of the database's
// clock, nor the time when no node was up.
func Unexplained(now, mark time.Time, watched time.Duration, without Rule) time.Duration {
	if mark.IsZero() || without.Has(NoLeap) {
		return 0
	}
	return max(0, now.Sub(mark)-max(0, watched)-Slack)
}
