//go:build !linux

package stage

import "context"

// Prepare makes the folder of a session. The error is [ErrUnsupported].
func Prepare(dir string, c Config, l Lending) error { return ErrUnsupported }

// Run runs the session. The error is [ErrUnsupported].
func Run(ctx context.Context, dir string) (code int, err error) { return ExitStart, ErrUnsupported }

// Inside plays a session in its sandbox. The error is [ErrUnsupported].
func Inside(ctx context.Context) (code int, err error) { return ExitStart, ErrUnsupported }

// Clean takes a session away. The error is [ErrUnsupported].
func Clean(ctx context.Context, dir string) error { return ErrUnsupported }

// Explain says for people what went wrong.
func Explain(err error) string { return err.Error() }
