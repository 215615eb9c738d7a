package session_test

import (
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
)

var exploreFor = flag.Duration("explore", 75*time.Second, "how long the explorer searches in all")

// scenarios are the small worlds that are searched, each with other things that may
// happen. All rules on, none may go wrong.
var scenarios = []config{
	{name: "two devices", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 9, budget: budget{Sends: 4, Lost: 1, Starts: 3, Crashes: 1, Doubles: 1, Evicts: 1, Deaths: 1}},
	{name: "one device", kind: lease.Floating, devOf: [2]int{0, 0}, maxNow: 9, budget: budget{Sends: 4, Lost: 1, Starts: 4, Crashes: 1, Doubles: 1, Evicts: 1, Expires: 1, Removes: 1}},
	{name: "late orders", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 12, budget: budget{Sends: 4, Lost: 1, Starts: 2, Evicts: 2, Expires: 1, Deaths: 1}},
	{name: "lost journal", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 7, budget: budget{Sends: 4, Lost: 1, Starts: 2, Loses: 1, Evicts: 1}},
	{name: "killed server", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 7, budget: budget{Sends: 4, Lost: 1, Starts: 2, Uncommitted: 1}},
	{name: "fixed licence", kind: lease.Fixed, devOf: [2]int{0, 1}, maxNow: 8, budget: budget{Sends: 4, Lost: 1, Starts: 1, Returns: 1, Removes: 1, Evicts: 1, Expires: 1, Doubles: 1}},
	{name: "jumping wall clock", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 8, budget: budget{Sends: 4, Lost: 1, Starts: 2, Jumps: 1, Evicts: 1}},
	{name: "late tick", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 9, budget: budget{Sends: 4, Starts: 2, Stalls: 3, Evicts: 1}},
	{name: "no server", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 14, budget: budget{Sends: 4, Starts: 2, Outages: 1, Evicts: 1}},
	{name: "old backup", kind: lease.Floating, devOf: [2]int{0, 1}, instant: true, maxNow: 14, budget: budget{Sends: 5, Starts: 3, Backups: 1, Restores: 1}},
	{name: "restored database", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 8, budget: budget{Sends: 4, Lost: 1, Starts: 2, Restores: 1}},
	{name: "killed guard", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 8, budget: budget{Sends: 4, Lost: 1, Starts: 3, Crashes: 1, Evicts: 1, Kills: 1}},
	{name: "killed guard, fixed licence", kind: lease.Fixed, devOf: [2]int{0, 1}, maxNow: 8, budget: budget{Sends: 4, Starts: 1, Returns: 1, Removes: 1, Evicts: 1, Kills: 1}},
	{name: "copied folder", kind: lease.Floating, devOf: [2]int{0, 1}, maxNow: 8, budget: budget{Sends: 4, Lost: 1, Starts: 2, Copies: 1}},
}

type node struct {
	w      *world
	parent *node
	how    step
	depth  int
}

// result of a search.
type result struct {
	states, depth int
	complete      bool // nothing was left unexplored
	wrong         string
	trace         []string
}

func (r result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, after %d steps:\n", r.wrong, len(r.trace))
	for i, s := range r.trace {
		fmt.Fprintf(&b, "  %2d. %s\n", i+1, s)
	}
	return b.String()
}

// explore searches breadth first, so that the first trace found is a shortest one.
// It ends at the limits with what it has seen.
func explore(c config, limit time.Duration, states int) result {
	var r result
	begin := time.Now()
	seen := map[string]bool{}
	queue := []*node{{w: newWorld(&c)}}
	seen[queue[0].w.key()] = true
	for len(queue) > 0 {
		n := queue[0]
		queue[0] = nil
		queue = queue[1:]
		r.depth = n.depth
		if r.states++; r.states > states || r.states%256 == 0 && time.Since(begin) > limit {
			return r
		}
		for _, s := range n.w.steps() {
			w := n.w.clone()
			s.do(w)
			k := w.key()
			if seen[k] {
				continue
			}
			seen[k] = true
			next := &node{w, n, s, n.depth + 1}
			if r.wrong = w.wrong(); r.wrong != "" {
				for x := next; x.parent != nil; x = x.parent {
					r.trace = append([]string{x.how.String()}, r.trace...)
				}
				return r
			}
			queue = append(queue, next)
		}
		n.w = nil // only the trace is needed from here on
	}
	r.complete = true
	return r
}

// TestExplore searches every scenario for a seat held twice, an order closed while its
// app can still run, a row that nothing can move again, an honest device taken for a copy.
func TestExplore(t *testing.T) {
	each := *exploreFor / time.Duration(len(scenarios))
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) {
			r := explore(c, each, math.MaxInt)
			if r.wrong != "" {
				t.Fatal(r)
			}
			t.Logf("%d states to depth %d (all: %v)", r.states, r.depth, r.complete)
		})
	}
}

// TestEveryRuleIsNeeded takes each rule out and expects the explorer to find what it
// prevents.
func TestEveryRuleIsNeeded(t *testing.T) {
	two := [2]int{0, 1}
	for _, tt := range []struct {
		name string
		rule lease.Rule
		in   config // the smallest scenario that shows it
	}{
		{"FreeAfterMargin", lease.FreeAfterMargin, config{instant: true, one: true, maxNow: 8, budget: budget{Sends: 2, Starts: 1, Evicts: 1}}},
		{"OneRun", lease.OneRun, config{maxNow: 1, budget: budget{Sends: 4, Starts: 3}}},
		{"FenceReturn", lease.FenceReturn, config{kind: lease.Fixed, maxNow: 1, budget: budget{Sends: 4, Returns: 1}}},
		{"CommitFirst", lease.CommitFirst, config{maxNow: 1, budget: budget{Sends: 4, Lost: 1, Starts: 2, Uncommitted: 1}}},
		{"EndBeforeAck", lease.EndBeforeAck, config{instant: true, maxNow: 2, budget: budget{Sends: 4, Lost: 1, Starts: 2, Evicts: 1}}},
		{"IgnoreRevoked", lease.IgnoreRevoked, config{kind: lease.Fixed, one: true, maxNow: 1, budget: budget{Sends: 4, Expires: 1}}},
		{"RunAfterRevocation", lease.RunAfterRevocation, config{instant: true, one: true, maxNow: 9, budget: budget{Sends: 3, Starts: 1, Evicts: 1}}},
		{"NoLeaseForStale", lease.NoLeaseForStale, config{one: true, maxNow: 2, budget: budget{Sends: 4, Starts: 1, Doubles: 1}}},
		{"LapseEnds", lease.LapseEnds, config{instant: true, one: true, maxNow: 1, budget: budget{Sends: 2, Starts: 1}}},
		{"OrderEndsAtETA", lease.OrderEndsAtETA, config{instant: true, one: true, maxNow: 1, budget: budget{Sends: 2, Starts: 1, Evicts: 1}}},
		{"LatestEnd", lease.LatestEnd, config{one: true, before: true, maxNow: 12, budget: budget{Sends: 2, Starts: 1, Evicts: 1, Shortens: 1}}},
		{"OldNewsClosesNothing", lease.OldNewsClosesNothing, config{instant: true, kind: lease.Fixed, one: true, maxNow: 2, budget: budget{Sends: 3, Starts: 2, Evicts: 1}}},
		{"GuardBeforeAbsent", lease.GuardBeforeAbsent, config{instant: true, maxNow: 1, budget: budget{Sends: 3, Starts: 2, Loses: 1}}},
		{"CountFromSending", lease.CountFromSending, config{one: true, long: true, maxNow: 18, budget: budget{Sends: 2, Starts: 1, Evicts: 1}}},
		{"OwnCount", lease.OwnCount, config{instant: true, one: true, long: true, regular: true, maxNow: 16, budget: budget{Sends: 2, Starts: 1, Outages: 1}}},
		{"HoldRenewals", lease.HoldRenewals, config{instant: true, maxNow: 14, budget: budget{Sends: 5, Starts: 3, Backups: 1, Restores: 1}}},
		{"HoldReported", lease.HoldReported, config{instant: true, report: true, kind: lease.Fixed, maxNow: 12, budget: budget{Sends: 3, Backups: 1, Restores: 1, Lengthens: 1}}},
		{"OneToken", lease.OneToken, config{instant: true, one: true, maxNow: 4, budget: budget{Sends: 8, Starts: 1, Copies: 1}}},
		{"ProofBeforeFree", lease.ProofBeforeFree, config{instant: true, maxNow: 1, budget: budget{Sends: 3, Starts: 2, Kills: 1}}},
		{"HoldAfterRestore", lease.HoldAfterRestore, config{instant: true, maxNow: 1, budget: budget{Sends: 4, Lost: 1, Starts: 2, Restores: 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.in
			c.name, c.devOf = tt.name, two
			if c.kind == "" {
				c.kind = lease.Floating
			}
			// With the rule in force the same small world is sound.
			on := explore(c, time.Minute, 50_000)
			if on.wrong != "" {
				t.Fatal(on)
			}
			t.Logf("with it: sound in %d states to depth %d (all: %v)", on.states, on.depth, on.complete)
			c.without = tt.rule
			r := explore(c, 5*time.Minute, 2_000_000)
			if r.wrong == "" {
				t.Fatalf("without it nothing goes wrong in %d states to depth %d (all: %v): is the rule needed?", r.states, r.depth, r.complete)
			}
			t.Log(r)
		})
	}
}
