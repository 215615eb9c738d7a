package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// disk is the agent's state folder. What it writes is there whole, or not at all, and on
// the disk itself when it returns.
type disk struct {
	dir string // "" keeps nothing, for simulated agents
	// hook is called before and after each write; a test returns an error there to
	// stand for a crash.
	hook func(at string) error
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d *disk) at(point string) error {
	if d.hook == nil {
		return nil
	}
	return d.hook(point)
}

// read reads a JSON file; the error wraps fs.ErrNotExist if there is none.
func (d *disk) read(name string, v any) error {
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		return fmt.Errorf("agent: state: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("agent: state: %s: %w", name, err)
	}
	return nil
}

// write replaces a JSON file.
func (d *disk) write(name string, v any) error {
	if d.dir == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("agent: state: %s: %w", name, err)
	}
	return d.replace(name, append(b, '\n'))
}

func (d *disk) replace(name string, b []byte) error {
	if err := d.at("before " + name); err != nil {
		return err
	}
	path := d.path(name)
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		// Half of it is of no use, and takes up room.
		_ = os.Remove(tmp)
		return fmt.Errorf("agent: state: write %s: %w", name, err)
	}
	return d.at("after " + name)
}

func (d *disk) remove(name string) error {
	if d.dir == "" {
		return nil
	}
	if err := d.at("before removing " + name); err != nil {
		return err
	}
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("agent: state: %w", err)
	}
	if err := syncDir(filepath.Dir(d.path(name))); err != nil {
		return fmt.Errorf("agent: state: %w", err)
	}
	return d.at("after removing " + name)
}

// list lists the JSON files of a folder, and clears what a crash left half written.
func (d *disk) list(folder string) ([]string, error) {
	entries, err := os.ReadDir(d.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("agent: state: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			names = append(names, folder+"/"+e.Name())
		}
	}
	return names, nil
}

// makeFolders makes the state folder and those in it.
func (d *disk) makeFolders() error {
	for _, name := range []string{"", sessionsFolder} {
		if err := os.MkdirAll(d.path(name), 0o700); err != nil {
			return fmt.Errorf("agent: state: %w", err)
		}
	}
	// One that was there already is closed to others all the same.
	if err := os.Chmod(d.dir, 0o700); err != nil {
		return fmt.Errorf("agent: state: %w", err)
	}
	return nil
}
