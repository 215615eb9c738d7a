package main

import (
	"context"

	"leasehold/internal/agent/stage"
)

// stageCmd is what runs a streamed session. The guard starts it; nobody types it.
type stageCmd struct {
	Run    stageRunCmd    `cmd:"" help:"Put up the display of a session and run its app."`
	Inside stageInsideCmd `cmd:"" help:"The part of that which plays in the session's sandbox."`
	Clean  stageCleanCmd  `cmd:"" help:"Take a session that has ended away."`
}

type stageRunCmd struct {
	Dir string `arg:"" help:"Folder of the session." type:"path"`
}

// Run is leasehold stage run. Its exit code is the app's.
func (c *stageRunCmd) Run(ctx context.Context) error {
	code, err := stage.Run(ctx, c.Dir)
	if err != nil || code == 0 {
		return err
	}
	return exitCode(code)
}

type stageInsideCmd struct{}

// Run is leasehold stage inside. Its exit code is the app's.
func (c *stageInsideCmd) Run(ctx context.Context) error {
	code, err := stage.Inside(ctx)
	if err != nil || code == 0 {
		return err
	}
	return exitCode(code)
}

type stageCleanCmd struct {
	Dir string `arg:"" help:"Folder of the session." type:"path"`
}

// Run is leasehold stage clean.
func (c *stageCleanCmd) Run(ctx context.Context) error { return stage.Clean(ctx, c.Dir) }
