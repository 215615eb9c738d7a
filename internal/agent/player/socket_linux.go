package player

import (
	"fmt"
	"os"
)

// socketPath returns a path to the socket that fits into the 108 bytes of a unix address
// however deep dir lies: through an open folder of ours.
func socketPath(dir string) (path string, release func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketFile), func() { d.Close() }, nil
}
