//go:build unix && !linux

package player

import (
	"context"
	"fmt"
	"io"
)

func installHandler(_ context.Context, _, dir string, out io.Writer) error {
	fmt.Fprintf(out, "On this system a click on a link does not reach the player. Use: leasehold player launch LINK --state %s\n", dir)
	return nil
}

func uninstallHandler(context.Context) error { return nil }
