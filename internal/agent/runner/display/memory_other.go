//go:build !linux

package display

import "leasehold/internal/agent/stage"

// memory has nobody to ask: there are no sessions here.
func memory() (total, free uint64, err error) { return 0, 0, stage.ErrUnsupported }
