package guard

import (
	"crypto/rand"
	"os"
	"path/filepath"
)

// FrozenCgroup is a mechanism of the tests: a cgroup of version 2 that cannot
// be killed as a whole. Its proof is ProofCgroup.
const FrozenCgroup Proof = "frozen cgroup"

// UseMechanism leaves a guard of the tests one way to know that nothing of its
// run is left: the proof that it then gives.
func UseMechanism(p Proof) {
	switch p {
	case FrozenCgroup:
		killFile = "no such file"
		fallthrough
	case ProofCgroup:
		hierarchies = []hierarchy{unified}
	case ProofFreezer:
		hierarchies = []hierarchy{freezer}
	case ProofReaped:
		hierarchies = nil
	}
}

// HasMechanism reports whether this machine has the mechanism, for a process
// with our rights.
func HasMechanism(p Proof) bool {
	for _, h := range []hierarchy{unified, freezer} {
		if h.proof() != p && (h != unified || p != FrozenCgroup) {
			continue
		}
		path := filepath.Join(h.parent(), "leasehold-probe-"+rand.Text())
		if h.parent() == "" || os.Mkdir(path, 0o755) != nil {
			return false
		}
		c, err := openCgroup(path)
		return err == nil && c.remove() == nil
	}
	return true
}
