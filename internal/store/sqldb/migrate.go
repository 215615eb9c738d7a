package sqldb

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"leasehold/internal/store"
)

// Sub is the folder migrations of an embedded file system.
func Sub(f embed.FS) fs.FS {
	sub, err := fs.Sub(f, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// Migrate brings a database's schema up to date. It returns store.ErrNewerSchema, and
// changes nothing, if a later version of the program has changed it already.
func Migrate(ctx context.Context, p *goose.Provider) error {
	newest := int64(0)
	for _, s := range p.ListSources() {
		newest = max(newest, s.Version)
	}
	is, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if is > newest {
		return fmt.Errorf("%w: its schema is version %d, this program knows up to %d; start the program that it was last used with, or a later one", store.ErrNewerSchema, is, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
