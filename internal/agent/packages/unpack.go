package packages

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpacker writes the entries of an archive into a folder. [os.Root] keeps every one of
// them inside, whatever links the archive has made before.
type unpacker struct {
	root  *os.Root
	left  Limits
	links []link
}

// link is made last, so that no entry is written through one.
type link struct{ name, target string }

// unpack unpacks files, each a .zip or .tar.gz told apart by how it begins, into one new
// folder.
func unpack(ctx context.Context, files []string, dir string, limits Limits) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	defer root.Close()
	u := &unpacker{root: root, left: limits}
	for _, file := range files {
		if err := u.file(ctx, file); err != nil {
			return err
		}
	}
	return u.makeLinks()
}

func (u *unpacker) file(ctx context.Context, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	defer f.Close()
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil {
		return fmt.Errorf("%w: it is empty", ErrBadArchive)
	}
	switch {
	case string(head[:2]) == "PK":
		return u.zip(ctx, f)
	case head[0] == 0x1f && head[1] == 0x8b:
		return u.tarGz(ctx, f)
	}
	return fmt.Errorf("%w: it is neither a .zip nor a .tar.gz", ErrBadArchive)
}

func (u *unpacker) zip(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fmt.Errorf("%w: %w", ErrBadArchive, err)
	}
	for _, e := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		mode := e.Mode()
		// Some tools on Windows write backslashes.
		name := strings.ReplaceAll(e.Name, `\`, "/")
		if strings.HasSuffix(name, "/") {
			mode |= fs.ModeDir
		}
		err := u.entry(name, mode, func() (io.ReadCloser, error) { return e.Open() })
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) tarGz(ctx context.Context, f *os.File) error {
	gz, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadArchive, err)
	}
	// Headers and padding count too, so that no archive of nothing is endless.
	t := tar.NewReader(io.LimitReader(gz, u.left.Bytes+int64(u.left.Files+2)*2048+1<<20))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("%w: %w", ErrBadArchive, err)
		}
		mode := h.FileInfo().Mode()
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg, tar.TypeDir:
		case tar.TypeSymlink:
			if err := u.addLink(h.Name, h.Linkname); err != nil {
				return err
			}
			continue
		case tar.TypeLink:
			return fmt.Errorf("%w: %s is a hard link", ErrUnsafe, h.Name)
		default:
			return fmt.Errorf("%w: %s is neither a file nor a folder", ErrUnsafe, h.Name)
		}
		if err := u.entry(h.Name, mode, func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); err != nil {
			return err
		}
	}
}

// clean checks an entry's name and counts it. "" is the folder itself.
func (u *unpacker) clean(name string) (string, error) {
	if u.left.Files--; u.left.Files < 0 {
		return "", fmt.Errorf("%w: it has too many files", ErrTooLarge)
	}
	trimmed := strings.TrimSuffix(name, "/")
	if trimmed == "." || trimmed == "" && name != "/" {
		return "", nil
	}
	// Backslashes and drive letters are names here and ways out on Windows.
	if strings.ContainsAny(name, "\\\x00") || !filepath.IsLocal(filepath.FromSlash(trimmed)) || path.IsAbs(name) || len(name) > 4096 || len(name) > 1 && name[1] == ':' {
		return "", fmt.Errorf("%w: %q lies outside of its folder", ErrUnsafe, name)
	}
	if strings.HasPrefix(path.Base(trimmed), ".wh.") {
		return "", fmt.Errorf("%w: %q removes files of another layer; a package must not have any such", ErrUnsafe, name)
	}
	return path.Clean(trimmed), nil
}

// entry writes one file or folder.
func (u *unpacker) entry(name string, mode fs.FileMode, open func() (io.ReadCloser, error)) error {
	if mode&fs.ModeSymlink != 0 {
		r, err := open()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBadArchive, err)
		}
		defer r.Close()
		target, err := io.ReadAll(io.LimitReader(r, 4097))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBadArchive, err)
		}
		return u.addLink(name, string(target))
	}
	if mode&fs.ModeType&^fs.ModeDir != 0 {
		return fmt.Errorf("%w: %s is neither a file nor a folder", ErrUnsafe, name)
	}
	clean, err := u.clean(name)
	if err != nil || clean == "" {
		return err
	}
	if mode.IsDir() {
		if err := u.root.MkdirAll(clean, 0o700); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnsafe, name, err)
		}
		return nil
	}
	if err := u.root.MkdirAll(path.Dir(clean), 0o700); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnsafe, name, err)
	}
	perm := fs.FileMode(0o600)
	if mode&0o111 != 0 {
		perm = 0o700
	}
	out, err := u.root.OpenFile(clean, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnsafe, name, err)
	}
	r, err := open()
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %s: %w", ErrBadArchive, name, err), out.Close())
	}
	defer r.Close()
	n, err := io.Copy(out, io.LimitReader(r, u.left.Bytes+1))
	if u.left.Bytes -= n; u.left.Bytes < 0 {
		return errors.Join(fmt.Errorf("%w: what is in it is too large", ErrTooLarge), out.Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %s: %w", ErrBadArchive, name, err), out.Close())
	}
	return errors.Join(out.Sync(), out.Close())
}

// addLink takes a symbolic link, which must stay inside.
func (u *unpacker) addLink(name, target string) error {
	clean, err := u.clean(name)
	if err != nil {
		return err
	}
	to := path.Join(path.Dir(clean), target)
	if clean == "" || target == "" || path.IsAbs(target) || strings.ContainsAny(target, "\\\x00") || !filepath.IsLocal(filepath.FromSlash(to)) || len(target) > 1 && target[1] == ':' {
		return fmt.Errorf("%w: the link %s points outside of its folder", ErrUnsafe, name)
	}
	u.links = append(u.links, link{clean, target})
	return nil
}

// makeLinks makes the links, and then checks them.
func (u *unpacker) makeLinks() error {
	for _, l := range u.links {
		if err := u.root.MkdirAll(path.Dir(l.name), 0o700); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnsafe, l.name, err)
		}
		if err := u.root.Symlink(l.target, l.name); err != nil {
			return fmt.Errorf("%w: the link %s: %w", ErrUnsafe, l.name, err)
		}
	}
	return u.checkLinks()
}

// checkLinks looks where each link really leads: one through another may lead out though
// each alone does not.
func (u *unpacker) checkLinks() error {
	for _, l := range u.links {
		if _, err := u.root.Stat(l.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: the link %s: %w", ErrUnsafe, l.name, err)
		}
	}
	return nil
}
