package web

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

// The icons are from Tabler Icons 3.51.0 (MIT licence, Paweł Kuna). They are
// inlined, not linked: a page shows about twenty, and none of them may flicker.
//
//go:embed icons/*.svg
var iconFiles embed.FS

// iconPaths holds the inner elements of each icon under its name.
var iconPaths = loadIcons(iconFiles)

func loadIcons(fsys fs.FS) map[string]string {
	names, err := fs.Glob(fsys, "icons/*.svg")
	if err != nil {
		panic(err) // the pattern is constant
	}
	icons := make(map[string]string, len(names))
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			panic(err) // the files are embedded
		}
		var inner strings.Builder
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			// The first path of each icon is an invisible box.
			if strings.HasPrefix(line, "<path") && !strings.Contains(line, `stroke="none"`) {
				inner.WriteString(line)
			}
		}
		icons[strings.TrimSuffix(path.Base(name), ".svg")] = inner.String()
	}
	return icons
}
