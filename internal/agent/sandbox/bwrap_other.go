//go:build !linux

package sandbox

import "context"

// Check reports that only Linux has sandboxes.
func Check(ctx context.Context, uid int, nested bool) error { return ErrUnsupported }
