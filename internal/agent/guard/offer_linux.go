package guard

import (
	"errors"
	"log/slog"
)

// Offer says which limits of a run hold on this machine, for runs whose guards this
// process starts: each error is why one does not, nil if it does. It makes a
// cgroup as a guard does, and removes it.
func Offer() (memory, processes, cpu error) {
	spec := Spec{MemoryBytes: 1 << 30, Processes: 1000, CPUPercent: 100, Token: "offer"}
	quiet := slog.New(slog.DiscardHandler)
	memory, processes, cpu = errNoCgroup, errNoCgroup, errNoCgroup
	group := makeCgroup(spec, quiet)
	if group != nil {
		memory, processes, cpu = group.limit(spec)
	}
	var l legacy
	for _, try := range []struct {
		err   *error
		limit func(Spec) error
	}{{&memory, l.memory}, {&processes, l.processes}, {&cpu, l.cpu}} {
		if *try.err != nil {
			if err := try.limit(spec); err == nil || !errors.Is(err, errNoCgroup) {
				*try.err = err
			}
		}
	}
	_ = l.remove()
	if group != nil {
		_ = group.remove()
	}
	return memory, processes, cpu
}
