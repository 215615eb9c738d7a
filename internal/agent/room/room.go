// Package room is about the room on a disk: whether an error says that there is none, and
// room that is taken before it is needed.
package room

import "errors"

// Gone reports whether an error says that a disk is full, or that whoever writes may have no
// more of it: what was tried may work later.
func Gone(err error) bool {
	for _, full := range fulls {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}
