package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// The bundle is made by "make web" and is not committed; .keep holds the folder
// so that a bare clone compiles.
//
//go:embed all:dist
var distFiles embed.FS

// Files that need no bundling.
//
//go:embed static
var staticFiles embed.FS

// assets knows the bundle's files by the names that templates use.
type assets struct {
	fsys  fs.FS
	names map[string]string // app.css → app-AB12CD34.css
}

// newAssets reads the bundle's manifest. A missing manifest is no error: the
// pages then say what to run.
func newAssets(fsys fs.FS) *assets {
	a := &assets{fsys: fsys, names: map[string]string{}}
	if data, err := fs.ReadFile(fsys, "manifest.json"); err == nil {
		if err := json.Unmarshal(data, &a.names); err != nil {
			a.names = map[string]string{}
		}
	}
	return a
}

// embeddedAssets returns the bundle compiled into the binary.
func embeddedAssets() *assets {
	sub, err := fs.Sub(distFiles, "dist")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return newAssets(sub)
}

// built reports whether there is a bundle.
func (a *assets) built() bool { return a.names["app.css"] != "" && a.names["app.js"] != "" }

// path returns the address of the asset with the given name.
func (a *assets) path(name string) string { return "/assets/" + a.names[name] }

// ServeHTTP serves the bundle. The names carry a hash of the content, so that a
// browser never needs to ask twice.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	ctype := mime.TypeByExtension(path.Ext(name))
	if name == "" || strings.ContainsAny(name, `/\`) || ctype == "" || path.Ext(name) == ".gz" || name == "manifest.json" {
		http.NotFound(w, r)
		return
	}
	data, err := fs.ReadFile(a.fsys, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", ctype)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if gz, err := fs.ReadFile(a.fsys, name+".gz"); err == nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			h.Set("Content-Encoding", "gzip")
			data = gz
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// acceptsGzip reports whether the client takes gzip. It does not weigh quality
// values: no browser refuses gzip by one.
func acceptsGzip(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}

// serveStatic serves the few files that are committed as they are.
func serveStatic(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=86400")
		http.ServeFileFS(w, r, staticFiles, "static/"+name)
	}
}
