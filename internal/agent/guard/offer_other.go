//go:build !linux

package guard

// Offer says which limits of a run hold on this machine: none.
func Offer() (memory, processes, cpu error) { return errNoCgroup, errNoCgroup, errNoCgroup }
