package web

import (
	"encoding/json"
	"io/fs"
)

// iconPaths holds the inner elements of each icon under its name. The icons are Tabler's
// (MIT licence); web/src/icons.txt says which, and "make web" takes them from the package.
// They are inlined, not linked: a page shows about twenty, and none of them may flicker.
var iconPaths = loadIcons(distFiles)

// loadIcons reads what the build made; nothing where it was not run, which the pages say.
func loadIcons(fsys fs.FS) map[string]string {
	icons := map[string]string{}
	if data, err := fs.ReadFile(fsys, "dist/icons.json"); err == nil {
		if err := json.Unmarshal(data, &icons); err != nil {
			panic(err) // the file is embedded
		}
	}
	return icons
}
