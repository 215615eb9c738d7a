//go:build !linux

package sessionnet

import "errors"

// Check reports that only Linux has networks for sessions.
func Check() error { return errors.ErrUnsupported }
