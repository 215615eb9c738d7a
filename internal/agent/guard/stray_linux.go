package guard

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// killStray kills what a dead guard has left: by the run's cgroup, of which
// path is the folder or "", and by the token of the run. It reports whether
// there was anything, and returns when there is nothing any more that it can
// see. Only the cgroup is proof of that: the guard was the subreaper of the
// run, and with it went who would know.
func killStray(ctx context.Context, spec Spec, path string) (killed bool, proof Proof, err error) {
	var group *cgroup
	if path != "" {
		group, err = openCgroup(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.WarnContext(ctx, "the cgroup of a run cannot be asked", "run", spec.marker(), "err", err)
		}
	}
	targets := func() ([]process, error) { return marked(spec.Token) }
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		list, err := targets()
		if err != nil {
			return killed, ProofNone, err
		}
		if len(list) == 0 && group == nil {
			return killed, ProofNone, nil
		}
		if len(list) == 0 && group.empty() {
			return killed, group.kind.proof(), nil
		}
		killed = true
		if group != nil {
			group.kill()
		}
		kerr := killAll(targets)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if kerr != nil {
				return killed, ProofNone, kerr
			}
			return killed, ProofNone, ctx.Err()
		}
	}
}

// removeCgroups removes the empty cgroups that a run may have left.
func removeCgroups(paths []string) {
	for _, path := range paths {
		if c, err := openCgroup(path); err == nil {
			_ = c.remove() // one that stays is empty, or about to be
		} else {
			_ = unix.Rmdir(path) // one that only limits
		}
	}
}
