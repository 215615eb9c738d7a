//go:build !linux

package localsocket

import (
	"os"
	"path/filepath"
)

// pathOf returns a path to the socket that fits into a unix address, which
// is 104 bytes on some systems: through a short link where dir lies too deep.
func pathOf(dir, name string) (path string, release func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) < 100 {
		return path, func() {}, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	tmp, err := os.MkdirTemp("", "lh")
	if err != nil {
		return "", nil, err
	}
	release = func() { os.RemoveAll(tmp) }
	link := filepath.Join(tmp, "d")
	if err := os.Symlink(abs, link); err != nil {
		release()
		return "", nil, err
	}
	return filepath.Join(link, name), release, nil
}
