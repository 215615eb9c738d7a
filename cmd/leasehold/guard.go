package main

import (
	"context"

	"leasehold/internal/agent/guard"
)

// guardCmd is the process above an app. The player starts it; nobody types it.
type guardCmd struct {
	Dir string `help:"Folder of the run." required:"" type:"path"`
}

// Run is leasehold guard.
func (c *guardCmd) Run(ctx context.Context) error { return guard.Main(ctx, c.Dir) }
