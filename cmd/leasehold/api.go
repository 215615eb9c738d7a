package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// apiCmd is leasehold api.
type apiCmd struct {
	apiFlags
	Method string `arg:"" enum:"GET,POST,PUT,PATCH,DELETE" help:"GET, POST, PUT, PATCH or DELETE."`
	Path   string `arg:"" help:"Path below /api/v1, as /apps."`
	Body   string `arg:"" optional:"" help:"JSON to send; - reads it from standard input."`
	Get    string `help:"Write one field of the answer, as id or session.id, in place of all of it." env:"-" placeholder:"FIELD"`
}

// maxInput is the largest body that is read from standard input, in bytes.
const maxInput = 1 << 20

// Run is leasehold api.
func (c *apiCmd) Run(ctx context.Context, std *stdio) error {
	if !strings.HasPrefix(c.Path, "/") {
		return fmt.Errorf("path: begin it with a slash, as /%s", c.Path)
	}
	var in any
	if c.Body != "" {
		text := []byte(c.Body)
		if c.Body == "-" {
			var err error
			if text, err = io.ReadAll(io.LimitReader(std.In, maxInput+1)); err != nil {
				return err
			}
			if len(text) > maxInput {
				return fmt.Errorf("body: it is longer than %d bytes", maxInput)
			}
		}
		if !json.Valid(text) {
			return errors.New("body: it is not JSON")
		}
		in = json.RawMessage(text)
	}
	var raw json.RawMessage
	if err := c.call(ctx, c.Method, c.Path, in, &raw); err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	if c.Get == "" {
		return writeJSON(std.Out, raw)
	}
	text, err := fieldOf(raw, c.Get)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.Out, text)
	return err
}

// fieldOf is the field of a JSON value that the path leads to, by names and indexes with
// dots between. A string is written without its quotes, anything else as JSON.
func fieldOf(raw json.RawMessage, path string) (string, error) {
	at := raw
	for name := range strings.SplitSeq(path, ".") {
		var object map[string]json.RawMessage
		var list []json.RawMessage
		i, err := strconv.Atoi(name)
		switch {
		case json.Unmarshal(at, &object) == nil && object[name] != nil:
			at = object[name]
		case err == nil && json.Unmarshal(at, &list) == nil && i >= 0 && i < len(list):
			at = list[i]
		default:
			return "", fmt.Errorf("--get: the answer has no field %s", path)
		}
	}
	var s string
	if json.Unmarshal(at, &s) == nil {
		return s, nil
	}
	return string(at), nil
}
