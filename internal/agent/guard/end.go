package guard

import (
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard/plan"
)

// Proof says how it is known that nothing of a run is left.
type Proof string

// The proofs. All but [ProofNone] are statements of the kernel.
const (
	ProofNone     Proof = "none"      // it is not known: nothing was to be seen any more
	ProofCgroup   Proof = "cgroup"    // its cgroup of version 2 is not populated
	ProofFreezer  Proof = "freezer"   // its cgroup of version 1 was empty and could be removed
	ProofReaped   Proof = "reaped"    // its subreaper, the guard, has no child left
	ProofJob      Proof = "job"       // its job object has no active process (Windows)
	ProofReboot   Proof = "reboot"    // the machine was started again
	ProofNeverRan Proof = "never ran" // nothing of it was ever started
)

// Proved reports whether it is known. A guard from before there were proofs
// wrote none.
func (p Proof) Proved() bool { return p != "" && p != ProofNone }

const (
	lookFirst    = 5 * time.Millisecond   // the first pause between two looks at what is left
	countEvery   = 250 * time.Millisecond // how often what is left is counted, which takes a walk over all processes
	leftWithin   = 100 * time.Millisecond // how long what ends with the main process may take
	resistsAfter = 10 * time.Second       // how long force may take before it is told
)

// over reports whether nothing of the run is left, its main process having
// ended, and notes how that is known.
func (g *guard) over() bool {
	if !g.tree.vacant() {
		return false
	}
	// With the dialogs gone, no child of ours may be left.
	if g.notify != nil {
		g.notify.close()
		g.notify = nil
	}
	proof, ok := g.tree.proof()
	if !ok {
		g.notify = newNotifier(g.spec, g.tree, g.log)
		return false
	}
	g.proof = proof
	return true
}

// count counts what the main process has left behind, for those who ask, and
// tells once that something is left.
func (g *guard) count(now time.Duration) {
	if g.countedAt == 0 || now-g.countedAt >= countEvery {
		g.countedAt = now
		left, err := g.tree.tenants()
		if err != nil {
			g.log.Error("cannot see the app's processes", "err", err)
		}
		g.tenants = len(left)
	}
	// A walk may miss all of them.
	if g.told || g.tenants == 0 && now-g.exitedAt < leftWithin {
		return
	}
	g.told, g.tenants = true, max(g.tenants, 1)
	e := Event{Type: MainExited}
	e.Code, e.Signal = exitOf(g.state)
	g.record(e)
}

// force kills what is left, once; the loop comes again until nothing is.
func (g *guard) force() {
	now := boottime.Now().At
	if g.killWait == 0 {
		g.record(Event{Type: ForceUsed})
		g.killWait, g.forcedAt = 5*time.Millisecond, now
	}
	if !g.resisted && now-g.forcedAt >= resistsAfter {
		g.resisted = true
		g.log.Error("force does not end the app; it is tried for as long as something is left", "since", now-g.forcedAt)
		g.record(Event{Type: Resisting})
	}
	g.termAt = 0
	if err := g.tree.kill(); err != nil {
		g.log.Error("cannot end every process", "err", err)
	}
	// What cannot be killed yet, such as a process in a hanging disk access,
	// is not worth a busy loop.
	g.killWait = min(2*g.killWait, time.Second)
}

// endNow is for when the guard cannot go on.
func (g *guard) endNow() {
	for range 100 {
		_ = g.tree.kill()
		select {
		case g.state = <-g.exits:
			g.exits = nil
		default:
		}
		if (g.state != nil || g.app.Process == nil) && g.over() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (g *guard) finish() error {
	g.output.wait()
	e := Event{Type: Exited, PID: g.app.Process.Pid, Forced: g.killWait > 0, Proof: g.proof}
	if !e.Proof.Proved() {
		e.Deadline = stamp(g.latest)
	}
	e.Reason, _ = g.plan.Ordered()
	e.Code, e.Signal = exitOf(g.state)
	e.OutOfMemory = g.tree.outOfMemory()
	if e.Reason == "" {
		e.Reason = g.whyEnded(e.OutOfMemory)
	}
	g.after()
	switch {
	case !g.ready:
		e.Outcome = NotStarted
	case e.Forced:
		e.Outcome = Killed
	case g.plan.Phase() == plan.Asked:
		e.Outcome = Closed
	default:
		e.Outcome = ByItself
	}
	return g.events.append(e)
}

// notStarted ends a run that could not be started, or not be watched over, and
// writes its last event.
func (g *guard) notStarted(why error) error {
	e := Event{Type: Exited, Outcome: NotStarted, Reason: why.Error(), Proof: ProofNeverRan}
	if g.tree != nil && g.app != nil {
		g.endNow()
		e.Proof = g.proof
	}
	if !e.Proof.Proved() {
		e.Proof, e.Deadline = ProofNone, stamp(g.latest)
	}
	g.after()
	return g.events.append(e)
}
