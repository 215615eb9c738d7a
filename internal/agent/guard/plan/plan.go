// Package plan decides when a running app is warned, asked to close and ended.
// It is pure: it is told the time and what was ordered, and says what is due.
// The guard carries it out on real processes, the fake runner on none.
//
// A plan has one deadline, the hard stop. Each warning is due so long before
// it; at the deadline the app is asked to close, and the margin later it is
// ended by force. Whenever the deadline moves, the warnings are armed again:
// those that fit into what remains are given at their time, and if the
// largest no longer fits, one is given at once that says what truly remains.
// So no app is closed without being warned as early as was possible, and
// nothing that arrives late can put a deadline off.
package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is how far a plan has got.
type Phase string

// The phases, in order; a plan never goes back.
const (
	Running Phase = "running" // the deadline lies ahead
	Asked   Phase = "asked"   // the app was asked to close
	Forced  Phase = "forced"  // the app is being ended by force
)

// Action is what is due.
type Action int

// The actions.
const (
	None  Action = iota
	Warn         // tell the user that the app will close
	Ask          // ask the app to close
	Force        // end every process of the app, and go on until none is left
)

// Step is one thing that is due.
type Step struct {
	Action Action
	// Remaining is the time from now to the deadline, for Warn.
	Remaining time.Duration
	// Warning is the configured warning that fell due; zero for one that is
	// given at once because the deadline is nearer than the largest.
	Warning time.Duration
}

// Config is what a plan starts from. Moments are durations since some fixed
// origin, the boot of the machine for a guard.
type Config struct {
	Warnings []time.Duration // before the deadline, each above zero, any order
	Margin   time.Duration   // from the deadline to force, zero or more
	Deadline time.Duration   // the first deadline
}

// Plan is the plan of one run. It is not safe for concurrent use.
type Plan struct {
	warnings   []time.Duration // largest first
	margin     time.Duration
	deadline   time.Duration
	forceAt    time.Duration // valid from Asked on
	phase      Phase
	generation uint64
	ordered    bool
	reason     string

	pending []time.Duration // of warnings, those still to be given
	atOnce  bool            // one more is due now
}

// New returns the plan for c, as of now.
func New(c Config, now time.Duration) *Plan {
	p := &Plan{margin: max(c.Margin, 0), deadline: c.Deadline, phase: Running}
	for _, w := range c.Warnings {
		if w > 0 {
			p.warnings = append(p.warnings, w)
		}
	}
	slices.Sort(p.warnings)
	slices.Reverse(p.warnings)
	p.warnings = slices.Compact(p.warnings)
	p.arm(now)
	return p
}

// arm makes ready the warnings for the deadline as it is now.
func (p *Plan) arm(now time.Duration) {
	remaining := p.deadline - now
	p.pending, p.atOnce = nil, false
	if len(p.warnings) == 0 {
		return
	}
	if remaining >= p.warnings[0] {
		p.pending = slices.Clone(p.warnings)
		return
	}
	p.atOnce = true
	for _, w := range p.warnings {
		// One that would follow on the heels of the immediate one says nothing new.
		if w+w/10 <= remaining {
			p.pending = append(p.pending, w)
		}
	}
}

// Window returns the largest warning, zero if there is none.
func (p *Plan) Window() time.Duration {
	if len(p.warnings) == 0 {
		return 0
	}
	return p.warnings[0]
}

// Extend moves the deadline to the end of a lease of that generation, which
// may be earlier than the one before. It reports whether the plan changed: not
// once a close was ordered or begun, nor for a generation that is behind.
func (p *Plan) Extend(now, deadline time.Duration, generation uint64) bool {
	if p.ordered || p.phase != Running || generation < p.generation {
		return false
	}
	p.generation = generation
	if deadline == p.deadline {
		return false
	}
	p.deadline = deadline
	p.arm(now)
	return true
}

// Close orders that the app closes at deadline, or at the present deadline if
// that is earlier. From then on nothing extends the plan. It reports whether
// the plan changed: a repeated order changes nothing, unless it is earlier.
func (p *Plan) Close(now, deadline time.Duration, reason string) bool {
	if p.phase != Running {
		return false
	}
	earlier := deadline < p.deadline
	if p.ordered && !earlier {
		return false
	}
	if earlier {
		p.deadline = deadline
	}
	p.ordered, p.reason = true, reason
	p.arm(now)
	return true
}

// Stop orders that the app is asked to close now, without warnings: the user
// wants it. It reports whether the plan changed.
func (p *Plan) Stop(now time.Duration, reason string) bool {
	if p.phase != Running {
		return false
	}
	p.deadline = min(p.deadline, now)
	p.ordered, p.reason = true, reason
	p.pending, p.atOnce = nil, false
	return true
}

// Next returns the step that is due now and marks it as taken; call it until
// it returns None. Of several warnings that are due at once, as after a
// suspend, it gives one. Force is returned again each time: it ends when
// nothing is left to be ended.
func (p *Plan) Next(now time.Duration) Step {
	switch {
	case p.phase == Running && now >= p.deadline:
		p.phase = Asked
		p.forceAt = p.deadline + p.margin
		p.pending, p.atOnce = nil, false
		return Step{Action: Ask}
	case p.phase == Running:
		step := Step{Remaining: p.deadline - now}
		for len(p.pending) > 0 && p.deadline-p.pending[0] <= now {
			step.Action, step.Warning = Warn, p.pending[0]
			p.pending = p.pending[1:]
		}
		if p.atOnce {
			step.Action, p.atOnce = Warn, false
		}
		if step.Action == None {
			return Step{}
		}
		return step
	case p.phase == Asked && now >= p.forceAt:
		p.phase = Forced
		return Step{Action: Force}
	case p.phase == Forced:
		return Step{Action: Force}
	}
	return Step{}
}

// Wake returns the moment at which the next step is due.
func (p *Plan) Wake() time.Duration {
	switch {
	case p.phase == Running && p.atOnce, p.phase == Forced:
		return 0
	case p.phase == Running && len(p.pending) > 0:
		return p.deadline - p.pending[0]
	case p.phase == Running:
		return p.deadline
	}
	return p.forceAt
}

// Phase returns how far the plan has got.
func (p *Plan) Phase() Phase { return p.phase }

// Deadline returns the moment at which the app is, or was, asked to close.
func (p *Plan) Deadline() time.Duration { return p.deadline }

// Generation returns that of the last lease that Extend took.
func (p *Plan) Generation() uint64 { return p.generation }

// Ordered reports whether a close was ordered, by Close or Stop, and why.
func (p *Plan) Ordered() (reason string, ok bool) { return p.reason, p.ordered }

// Text is what a warning says: that app will close in about remaining, why if
// there is a reason, and to save one's work.
func Text(app string, remaining time.Duration, reason string) string {
	text := Heading(app, remaining) + ". Save your work."
	if reason = strings.TrimSpace(reason); reason != "" {
		text += "\nReason: " + reason
	}
	return text
}

// Heading is the news of a warning.
func Heading(app string, remaining time.Duration) string {
	return fmt.Sprintf("%s will close in %s", app, Spoken(remaining))
}

// Advice is what a warning's dialog says below its heading.
func Advice(reason string) string {
	text := "Save your work now. The app closes by itself when the time is over."
	if reason = strings.TrimSpace(reason); reason != "" {
		text = "Reason: " + reason + "\n\n" + text
	}
	return text
}

// Spoken writes d as people say it: "2 minutes", "1 minute 30 seconds". What
// is near a minute is rounded to five seconds, so that a warning given a
// moment late still says "2 minutes"; the least is "1 second".
func Spoken(d time.Duration) string {
	unit := time.Second
	if d >= 50*time.Second {
		unit = 5 * time.Second
	}
	d = max(d.Round(unit), time.Second)
	var parts []string
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		n := d / u.size
		d -= n * u.size
		switch {
		case n == 1:
			parts = append(parts, "1 "+u.name)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, u.name))
		}
	}
	return strings.Join(parts, " ")
}
