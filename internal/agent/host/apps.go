package host

import (
	"context"
	"fmt"

	"leasehold/internal/agent"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/catalog"
	"leasehold/internal/wire"
)

// apps implements [agent.Apps]: the apps of a host are installed on it.
type apps struct{}

// Add implements [agent.Apps]. There is nothing to bring.
func (apps) Add(_ context.Context, app *wire.App, _ func(int)) error {
	switch {
	case app.Stream == nil:
		return fmt.Errorf("%w: it is not one that is streamed", agent.ErrUnusable)
	case app.Package == nil:
		return fmt.Errorf("%w: its delivery method has no command for this host's system", agent.ErrUnusable)
	case app.Package.Type != catalog.Command:
		return fmt.Errorf("%w: its delivery method has no command, but a package of type %s", agent.ErrUnusable, app.Package.Type)
	}
	return nil
}

// Prepare implements [agent.Apps].
func (apps) Prepare(app *wire.App, spec *runner.Spec) error {
	spec.Argv = app.Package.Command
	spec.Stream = &guard.Stream{
		Geometry: app.Stream.Geometry, Clipboard: app.Stream.Clipboard,
		Network: string(app.Stream.Network), Allow: app.Stream.Allow,
		Nested: app.Stream.Nested, Login: app.Stream.Login, Name: app.User,
	}
	return nil
}

// Remove implements [agent.Apps]. A session's own folder goes when its run ends.
func (apps) Remove(context.Context, *wire.App, func() []*wire.App) error { return nil }
