package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"leasehold/internal/export"
)

type sessionExport struct {
	apiFlags
	Text string `arg:"" optional:"" name:"text" help:"As --query."`
	filterFlags
	Format string `enum:",csv,ndjson" default:"" env:"-" help:"csv, the default, or ndjson: a JSON object a line."`
	BOM    bool   `name:"bom" env:"-" help:"Begin a CSV file with a byte-order mark, by which Excel knows UTF-8."`
	Output string `short:"o" env:"-" default:"-" placeholder:"FILE" help:"Where to; a file appears whole or not at all. Else standard output."`
}

// Run is leasehold session export.
func (c *sessionExport) Run(ctx context.Context, std *stdio) error {
	f, err := c.with(c.Text)
	if err != nil {
		return err
	}
	format := cmp.Or(c.Format, string(export.CSV))
	if c.JSON {
		if c.Format == string(export.CSV) {
			return errors.New("--json: writes ndjson; leave --format out")
		}
		format = string(export.NDJSON)
	}
	q := f.Values()
	q.Set("format", format)
	if c.BOM {
		q.Set("bom", "true")
	}
	fetch := func(to io.Writer) error { return c.download(ctx, "/sessions/export?"+q.Encode(), to) }
	if c.Output == "-" {
		return fetch(std.Out)
	}
	return writeWhole(c.Output, fetch)
}

// download copies an answer of the API, which may take as long as it takes. It fails if the
// answer is not whole.
func (f *apiFlags) download(ctx context.Context, path string, to io.Writer) error {
	if err := f.signIn(ctx); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "GET", f.Server+"/api/v1"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+f.Token)
	resp, err := apiClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return err
		}
		return refusal(resp, b)
	}
	_, err = io.Copy(to, resp.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server broke off: what arrived is not all of it")
	}
	return err
}

// writeWhole puts a file in place, only its owner's to read, once write has written all of
// it. Until then, and if it fails, what was there stays as it was.
func writeWhole(name string, write func(io.Writer) error) (err error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("--output: %s must be a file that can be replaced, or - for standard output", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriterSize(f, 64<<10)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
