package localsocket

import (
	"fmt"
	"os"
)

// pathOf returns a path to the socket that fits into the 108 bytes of a
// unix address however deep dir lies: through an open folder of ours.
func pathOf(dir, name string) (path string, release func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name), func() { d.Close() }, nil
}
