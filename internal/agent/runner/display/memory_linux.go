package display

import (
	"errors"

	"github.com/prometheus/procfs"
)

// memory returns the machine's memory and what of it is available, in bytes.
func memory() (total, free uint64, err error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0, err
	}
	m, err := proc.Meminfo()
	if err != nil {
		return 0, 0, err
	}
	if m.MemTotalBytes == nil || m.MemAvailableBytes == nil {
		return 0, 0, errors.New("the kernel does not say")
	}
	return *m.MemTotalBytes, *m.MemAvailableBytes, nil
}
