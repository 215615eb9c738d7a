package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// A build says what to bundle, where from and where to.
type build struct {
	src, out string
	budget   int64
	dev      bool
}

// A file is one file of the bundle, with its compressed form.
type file struct {
	name string // inside the out folder
	data []byte
	gzip []byte // nil where compressing does not pay (fonts are compressed already)
}

// bundle runs esbuild and returns the files with the manifest as the last.
func (b build) bundle() ([]file, error) {
	src, err := filepath.Abs(b.src)
	if err != nil {
		return nil, err
	}
	opts := api.BuildOptions{
		AbsWorkingDir:     src,
		EntryPoints:       []string{"src/app.ts", "src/app.css", "src/viewer.ts", "src/viewer.css"},
		Outdir:            "/",
		Bundle:            true,
		MinifyWhitespace:  !b.dev,
		MinifyIdentifiers: !b.dev,
		MinifySyntax:      !b.dev,
		Format:            api.FormatESModule,
		EntryNames:        "[name]-[hash]",
		AssetNames:        "[name]-[hash]",
		// The styles use light-dark(), nesting and :has(); older browsers than
		// these get no lowered copy of them.
		Engines: []api.Engine{
			{Name: api.EngineChrome, Version: "123"},
			{Name: api.EngineFirefox, Version: "128"},
			{Name: api.EngineSafari, Version: "17.5"},
		},
		Loader: map[string]api.Loader{
			".woff2": api.LoaderFile,
		},
		// A licence banner in a file of its own would be one more request.
		LegalComments: api.LegalCommentsEndOfFile,
		Metafile:      true,
		Write:         false,
	}
	if b.dev {
		opts.Sourcemap = api.SourceMapInline
	}
	res := api.Build(opts)
	if len(res.Errors) > 0 {
		msgs := api.FormatMessages(res.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage})
		return nil, errors.New(strings.Join(msgs, "\n"))
	}
	var files []file
	manifest := make(map[string]string)
	for _, o := range res.OutputFiles {
		f := file{name: filepath.Base(o.Path), data: o.Contents}
		switch ext := filepath.Ext(f.name); ext {
		case ".js", ".css":
			f.gzip = compress(f.data)
			manifest[logicalName(f.name)] = f.name
		case ".woff2":
			manifest[logicalName(f.name)] = f.name
		}
		files = append(files, f)
	}
	icons, err := b.icons()
	if err != nil {
		return nil, err
	}
	m, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(files, icons, file{name: "manifest.json", data: append(m, '\n')}), nil
}

// logicalName takes the hash out of a file's name: app-AB12CD34.css becomes app.css.
func logicalName(name string) string {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if i := strings.LastIndexByte(stem, '-'); i > 0 {
		stem = stem[:i]
	}
	return stem + ext
}

func compress(data []byte) []byte {
	var buf bytes.Buffer
	// Only an unknown level fails, and a bytes.Buffer never does.
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	w.Write(data)
	w.Close()
	return buf.Bytes()
}

// write replaces what is in the out folder, but for .keep, which holds the
// folder's place in a bare clone.
func (b build) write(files []file) error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	old, err := os.ReadDir(b.out)
	if err != nil {
		return err
	}
	keep := []string{".keep"}
	for _, f := range files {
		keep = append(keep, f.name)
		if err := os.WriteFile(filepath.Join(b.out, f.name), f.data, 0o644); err != nil {
			return err
		}
		if f.gzip != nil {
			keep = append(keep, f.name+".gz")
			if err := os.WriteFile(filepath.Join(b.out, f.name+".gz"), f.gzip, 0o644); err != nil {
				return err
			}
		}
	}
	// Old names go last: a server that is being built meanwhile still finds them.
	for _, e := range old {
		if !slices.Contains(keep, e.Name()) {
			if err := os.RemoveAll(filepath.Join(b.out, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// report prints the sizes, and fails when JavaScript and CSS are over the budget.
func (b build) report(files []file, out io.Writer) error {
	var total int64
	for _, f := range files {
		if f.gzip == nil {
			continue
		}
		total += int64(len(f.gzip))
		fmt.Fprintf(out, "%-28s %7.1f KB  %6.1f KB compressed\n", f.name, kb(len(f.data)), kb(len(f.gzip)))
	}
	fmt.Fprintf(out, "%-28s %19.1f KB compressed, budget %.0f KB\n", "JavaScript and CSS", kb(int(total)), kb(int(b.budget)))
	if total > b.budget && !b.dev {
		return fmt.Errorf("JavaScript and CSS are %d bytes compressed, over the budget of %d", total, b.budget)
	}
	return nil
}

func kb(n int) float64 { return float64(n) / 1024 }
