package sqldb

import (
	"embed"
	"io/fs"
)

// Sub is the folder migrations of an embedded file system.
func Sub(f embed.FS) fs.FS {
	sub, err := fs.Sub(f, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}
