package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// icons collects the inner elements of the icons that src/icons.txt names.
func (b build) icons() (file, error) {
	list, err := os.ReadFile(filepath.Join(b.src, "src/icons.txt"))
	if err != nil {
		return file{}, err
	}
	icons := map[string]string{}
	for _, name := range strings.Fields(string(list)) {
		svg, err := os.ReadFile(filepath.Join(b.src, "node_modules/@tabler/icons/icons/outline", name+".svg"))
		if err != nil {
			return file{}, fmt.Errorf("icon %q of icons.txt: %w", name, err)
		}
		icons[name] = inner(string(svg))
	}
	data, err := json.MarshalIndent(icons, "", "  ")
	return file{name: "icons.json", data: append(data, '\n')}, err
}

// inner is what an icon draws. The first path of each is an invisible box.
func inner(svg string) string {
	var out strings.Builder
	for line := range strings.Lines(svg) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "<path") && !strings.Contains(line, `stroke="none"`) {
			out.WriteString(line)
		}
	}
	return out.String()
}
