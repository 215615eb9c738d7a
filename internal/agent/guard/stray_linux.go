package guard

import (
	"context"
	"os"
	"time"
)

// killStray kills what a dead guard has left: by the token of the run and by
// its cgroup. It reports whether there was anything, and returns when there is
// nothing any more.
func killStray(ctx context.Context, spec Spec, c claim) (killed bool, err error) {
	targets := func() ([]process, error) { return marked(spec.Token) }
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		list, err := targets()
		if err != nil {
			return killed, err
		}
		populated := c.Cgroup != "" && cgroupPopulated(c.Cgroup)
		if len(list) == 0 && !populated {
			break
		}
		killed = true
		if populated {
			killCgroup(c.Cgroup)
		}
		kerr := killAll(targets)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if kerr != nil {
				return killed, kerr
			}
			return killed, ctx.Err()
		}
	}
	if c.Cgroup != "" {
		if _, err := os.Stat(c.Cgroup); err == nil {
			// One that stays is empty, or about to be.
			_ = removeCgroup(c.Cgroup)
		}
	}
	return killed, nil
}
