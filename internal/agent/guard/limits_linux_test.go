package guard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The limits of a run are written where its cgroup has the files for them. Few
// machines that run tests can have such a cgroup, so this is a folder like one.
func TestLimitsOfACgroup(t *testing.T) {
	parent := t.TempDir()
	group := filepath.Join(parent, "group")
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(group, name))
		return string(b)
	}
	spec := Spec{MemoryBytes: 1 << 30, Processes: 500, CPUPercent: 250}
	if memory, processes, cpu := (&cgroup{path: group}).limit(spec); !errors.Is(memory, fs.ErrNotExist) || !errors.Is(processes, fs.ErrNotExist) || !errors.Is(cpu, fs.ErrNotExist) {
		t.Errorf("without controllers: %v, %v, %v", memory, processes, cpu)
	}
	if (&cgroup{path: group}).oomKilled() {
		t.Error("killed, and there is no controller")
	}
	for _, name := range []string{"memory.max", "memory.oom.group", "memory.swap.max", "pids.max", "cpu.max", "../cgroup.subtree_control"} {
		if err := os.WriteFile(filepath.Join(group, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if memory, processes, cpu := (&cgroup{path: group}).limit(spec); memory != nil || processes != nil || cpu != nil {
		t.Errorf("%v, %v, %v", memory, processes, cpu)
	}
	for name, want := range map[string]string{"memory.max": "1073741824", "memory.oom.group": "1", "memory.swap.max": "0", "pids.max": "500", "cpu.max": "250000 100000"} {
		if got := read(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := read("../cgroup.subtree_control"); !strings.Contains(got, "cpu") {
		t.Errorf("controllers %q", got)
	}
	for events, want := range map[string]bool{"low 0\noom 1\noom_kill 0\n": false, "low 0\noom_kill 2\noom_group_kill 1\n": true} {
		if err := os.WriteFile(filepath.Join(group, "memory.events"), []byte(events), 0o600); err != nil {
			t.Fatal(err)
		}
		if (&cgroup{path: group}).oomKilled() != want {
			t.Errorf("of %q: %v", events, !want)
		}
	}
	if got := (&guard{spec: spec}).whyEnded(true); got != "It needed more memory than the 1024 MiB that it may have" {
		t.Errorf("reason %q", got)
	}
}
