package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leasehold/internal/agent/guard/plan"
)

const sec = time.Second

// op is something that happens to a plan at a moment.
type op struct {
	at time.Duration
	do func(p *plan.Plan, now time.Duration) bool
	// want is what the operation must report.
	want bool
}

func extend(at, deadline time.Duration, generation uint64, want bool) op {
	return op{at, func(p *plan.Plan, now time.Duration) bool { return p.Extend(now, deadline, generation) }, want}
}

func closeBy(at, deadline time.Duration, want bool) op {
	return op{at, func(p *plan.Plan, now time.Duration) bool { return p.Close(now, deadline, "evicted") }, want}
}

func stop(at time.Duration, want bool) op {
	return op{at, func(p *plan.Plan, now time.Duration) bool { return p.Stop(now, "the user") }, want}
}

// play runs a plan second by second and writes down what it does.
func play(t *testing.T, c plan.Config, ops []op, until time.Duration) []string {
	t.Helper()
	var log []string
	p := plan.New(c, 0)
	for now := time.Duration(0); now <= until; now += sec {
		for _, o := range ops {
			if o.at == now {
				if got := o.do(p, now); got != o.want {
					t.Errorf("operation at %v reported %v, want %v", now, got, o.want)
				}
			}
		}
		for step := p.Next(now); step.Action != plan.None; step = p.Next(now) {
			switch step.Action {
			case plan.Warn:
				log = append(log, fmt.Sprintf("%d warn %d", now/sec, step.Remaining/sec))
			case plan.Ask:
				log = append(log, fmt.Sprintf("%d ask", now/sec))
			case plan.Force:
				return append(log, fmt.Sprintf("%d force", now/sec))
			}
		}
	}
	return log
}

func TestPlan(t *testing.T) {
	two := []time.Duration{60 * sec, 120 * sec}
	for _, tc := range []struct {
		name     string
		warnings []time.Duration
		deadline time.Duration
		ops      []op
		want     []string
	}{
		{"a lease that runs out", two, 300 * sec, nil,
			[]string{"180 warn 120", "240 warn 60", "300 ask", "305 force"}},
		{"no warnings", nil, 10 * sec, nil, []string{"10 ask", "15 force"}},
		{"extended in time: no warning", two, 150 * sec, []op{extend(10*sec, 300*sec, 1, true)},
			[]string{"180 warn 120", "240 warn 60", "300 ask", "305 force"}},
		{"extended after a warning: warned again", two, 150 * sec, []op{extend(40*sec, 200*sec, 1, true)},
			[]string{"30 warn 120", "80 warn 120", "140 warn 60", "200 ask", "205 force"}},
		{"the same end again changes nothing", two, 150 * sec, []op{extend(40*sec, 150*sec, 1, false)},
			[]string{"30 warn 120", "90 warn 60", "150 ask", "155 force"}},
		{"a lease may end earlier", two, 150 * sec, []op{extend(1*sec, 124*sec, 1, true)},
			[]string{"4 warn 120", "64 warn 60", "124 ask", "129 force"}},
		{"a lower generation is late news", two, 150 * sec,
			[]op{extend(1*sec, 200*sec, 2, true), extend(2*sec, 400*sec, 1, false)},
			[]string{"80 warn 120", "140 warn 60", "200 ask", "205 force"}},
		{"evicted: two minutes, then one", two, 1000 * sec, []op{closeBy(5*sec, 125*sec, true)},
			[]string{"5 warn 120", "65 warn 60", "125 ask", "130 force"}},
		{"evicted with less time than the largest warning", two, 1000 * sec, []op{closeBy(5*sec, 95*sec, true)},
			[]string{"5 warn 90", "35 warn 60", "95 ask", "100 force"}},
		{"evicted with less time than any warning", two, 1000 * sec, []op{closeBy(5*sec, 35*sec, true)},
			[]string{"5 warn 30", "35 ask", "40 force"}},
		{"one minute and a little is said once", two, 1000 * sec, []op{closeBy(5*sec, 67*sec, true)},
			[]string{"5 warn 62", "67 ask", "72 force"}},
		{"evicted when the lease ends sooner: the lease decides", two, 100 * sec, []op{closeBy(5*sec, 125*sec, true)},
			[]string{"0 warn 100", "5 warn 95", "40 warn 60", "100 ask", "105 force"}},
		{"a later close does not put off", two, 1000 * sec,
			[]op{closeBy(5*sec, 125*sec, true), closeBy(50*sec, 500*sec, false)},
			[]string{"5 warn 120", "65 warn 60", "125 ask", "130 force"}},
		{"an earlier close counts", two, 1000 * sec,
			[]op{closeBy(5*sec, 125*sec, true), closeBy(10*sec, 90*sec, true)},
			[]string{"5 warn 120", "10 warn 80", "30 warn 60", "90 ask", "95 force"}},
		{"nothing extends an ordered close", two, 1000 * sec,
			[]op{closeBy(5*sec, 125*sec, true), extend(6*sec, 2000*sec, 9, false)},
			[]string{"5 warn 120", "65 warn 60", "125 ask", "130 force"}},
		{"nothing extends a close that has begun", two, 10 * sec, []op{extend(12*sec, 2000*sec, 9, false)},
			[]string{"0 warn 10", "10 ask", "15 force"}},
		{"the user stops it", two, 1000 * sec, []op{stop(7*sec, true), stop(8*sec, false), closeBy(9*sec, 8*sec, false)},
			[]string{"7 ask", "12 force"}},
		{"a stop does not put off the force", two, 10 * sec, []op{stop(10*sec, true)},
			[]string{"0 warn 10", "10 ask", "15 force"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := play(t, plan.Config{Warnings: tc.warnings, Margin: 5 * sec, Deadline: tc.deadline}, tc.ops, 3000*sec)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A machine that slept past the warnings says once what truly remains; one
// that slept past the deadline closes at once, and forces at the old moment.
func TestSuspend(t *testing.T) {
	c := plan.Config{Warnings: []time.Duration{120 * sec, 60 * sec}, Margin: 5 * sec, Deadline: 300 * sec}
	p := plan.New(c, 0)
	want := plan.Step{Action: plan.Warn, Remaining: 20 * sec, Warning: 60 * sec}
	if got := p.Next(280 * sec); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := p.Next(280 * sec); got.Action != plan.None {
		t.Errorf("a second step %v", got)
	}
	p = plan.New(c, 0)
	if got := p.Next(time.Hour); got.Action != plan.Ask {
		t.Errorf("got %v, want Ask", got)
	}
	if got := p.Next(time.Hour); got.Action != plan.Force {
		t.Errorf("got %v, want Force", got)
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(label string, lo, hi int) time.Duration {
			return time.Duration(rapid.IntRange(lo, hi).Draw(t, label)) * sec
		}
		c := plan.Config{
			Warnings: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
				return time.Duration(rapid.IntRange(1, 200).Draw(t, "warning")) * sec
			}), 0, 4).Draw(t, "warnings"),
			Margin:   seconds("margin", 0, 20),
			Deadline: seconds("deadline", 0, 500),
		}
		p := plan.New(c, 0)
		var largest time.Duration
		for _, w := range c.Warnings {
			largest = max(largest, w)
		}
		deadline, known := c.Deadline, time.Duration(0) // the model: when, and since when it is known
		ordered, stopped := false, false
		first, last := time.Duration(-1), time.Duration(-1) // remaining time at the first and last warning of this closing
		asked := time.Duration(-1)
		for now := time.Duration(0); now < 3000*sec; {
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0:
				d := now + seconds("extend", 0, 500)
				if p.Extend(now, d, 1) {
					if ordered || asked >= 0 {
						t.Fatal("extended after a close")
					}
					deadline, known, first, last = d, now, -1, -1
				}
			case 1:
				d := now + seconds("close", 0, 300)
				if p.Close(now, d, "") {
					if asked >= 0 || ordered && d >= deadline {
						t.Fatal("an order was put off")
					}
					ordered, known = true, now
					deadline = min(deadline, d)
					first, last = -1, -1
				}
			case 2:
				if rapid.IntRange(0, 9).Draw(t, "really") == 0 && p.Stop(now, "") {
					ordered, stopped, deadline = true, true, min(deadline, now)
				}
			}
			if p.Deadline() != deadline && asked < 0 {
				t.Fatalf("deadline %v, want %v", p.Deadline(), deadline)
			}
			for step := p.Next(now); step.Action != plan.None; step = p.Next(now) {
				switch step.Action {
				case plan.Warn:
					if step.Remaining != deadline-now {
						t.Fatalf("said %v, truly %v", step.Remaining, deadline-now)
					}
					if last >= 0 && step.Remaining >= last {
						t.Fatalf("warning %v after %v", step.Remaining, last)
					}
					if first < 0 {
						first = step.Remaining
					}
					last = step.Remaining
				case plan.Ask:
					if now < deadline {
						t.Fatalf("asked at %v, before %v", now, deadline)
					}
					asked = now
					// Warned as early as could be, unless the deadline was never ahead.
					if could := min(largest, deadline-known); !stopped && could > 0 && first < could {
						t.Fatalf("first warning %v before the close; %v was possible", first, could)
					}
				case plan.Force:
					if asked < 0 || now < deadline+c.Margin {
						t.Fatalf("forced at %v, deadline %v, asked %v", now, deadline, asked)
					}
					return
				}
			}
			// Go on to the next moment that matters, or a little.
			next := now + seconds("pass", 1, 40)
			if wake := p.Wake(); wake > now && wake < next {
				next = wake
			}
			if p.Wake() <= now {
				t.Fatalf("at %v still due: %v", now, p.Wake())
			}
			now = next
		}
	})
}

func TestText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		2 * time.Minute:        "2 minutes",
		119700 * sec / 1000:    "2 minutes",
		61 * sec:               "1 minute",
		59 * sec:               "1 minute",
		90 * sec:               "1 minute 30 seconds",
		30 * sec:               "30 seconds",
		200 * time.Millisecond: "1 second",
		3661 * sec:             "1 hour 1 minute",
	} {
		if got := plan.Spoken(d); got != want {
			t.Errorf("Spoken(%v) = %q, want %q", d, got, want)
		}
	}
	if got, want := plan.Text("MATLAB", 2*time.Minute, ""), "MATLAB will close in 2 minutes. Save your work."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := plan.Text("MATLAB", time.Minute, "Maintenance"), "MATLAB will close in 1 minute. Save your work.\nReason: Maintenance"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWarningsAreOrderedAndOnce(t *testing.T) {
	w := []time.Duration{sec, 3 * sec, sec, 0, 2 * sec}
	got := play(t, plan.Config{Warnings: w, Deadline: 5 * sec, Margin: sec}, nil, 10*sec)
	want := []string{"2 warn 3", "3 warn 2", "4 warn 1", "5 ask", "6 force"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
