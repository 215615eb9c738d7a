//go:build !linux

package account

import "context"

// Can reports whether this process may lend accounts.
func Can() bool { return false }

// Reserve lends an account of the range. The error is [ErrUnsupported].
func Reserve(registry string, r Range, holder string) (uid int, err error) {
	return 0, ErrUnsupported
}

// Release takes back what the holder was lent.
func Release(registry string, uid int, holder string) error { return nil }

// Processes returns the living processes of a user.
func Processes(uid int) ([]int, error) { return nil, ErrUnsupported }

// Clear ends every process of a lent account. The error is [ErrUnsupported].
func Clear(ctx context.Context, uid int) error { return ErrUnsupported }
