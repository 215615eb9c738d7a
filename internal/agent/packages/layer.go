package packages

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"leasehold/internal/invalid"
)

// layer is what a folder becomes.
type layer struct {
	programs []string // files that may be run
	files    map[string]bool
}

// writeLayer writes a folder as a gzipped tar that depends on nothing but names, contents,
// links, and whether a file may be run, so that the same folder always has the same
// digest. It refuses what a device would refuse.
func writeLayer(ctx context.Context, out io.Writer, folder string, limits Limits) (*layer, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, invalid.Of("folder", "must be a folder that can be read: %v", err)
	}
	defer root.Close()
	gz := gzip.NewWriter(out)
	w := tar.NewWriter(gz)
	l := &layer{files: map[string]bool{}}
	// The device's own rules, without anything being unpacked.
	rules := &unpacker{root: root, left: limits}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || name == "." {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: name, Mode: 0o644, ModTime: time.Unix(0, 0).UTC()}
		switch mode := info.Mode(); {
		case mode.IsDir():
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		case mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
			if h.Linkname, err = root.Readlink(name); err != nil {
				return err
			}
			if err := rules.addLink(name, h.Linkname); err != nil {
				return err
			}
			return w.WriteHeader(h)
		case mode.IsRegular():
			h.Typeflag, h.Size = tar.TypeReg, info.Size()
			if mode&0o111 != 0 {
				h.Mode = 0o755
				l.programs = append(l.programs, name)
			}
			l.files[name] = true
		default:
			return fmt.Errorf("%w: %s is neither a file, a folder nor a link", ErrUnsafe, name)
		}
		if _, err := rules.clean(name); err != nil {
			return err
		}
		if rules.left.Bytes -= h.Size; rules.left.Bytes < 0 {
			return fmt.Errorf("%w: a device takes at most %d bytes", ErrTooLarge, limits.Bytes)
		}
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag == tar.TypeDir {
			return nil
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.Copy(w, f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil {
		err = rules.checkLinks()
	}
	if err == nil && len(l.files) == 0 {
		return nil, invalid.Of("folder", "must hold the app's files; there are none in %s", folder)
	}
	if err = errors.Join(err, w.Close(), gz.Close()); err != nil {
		return nil, fmt.Errorf("make a package of %s: %w", folder, err)
	}
	return l, nil
}
