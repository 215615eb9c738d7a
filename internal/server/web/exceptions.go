package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

// An exceptionRow is somebody whom a provision lets in, but not to an app.
type exceptionRow struct {
	Who, App string
	Path     string // asks before it lets them in again
	what     directory.Exception
}

// exceptions names a provision's exceptions.
func (c *call) exceptions(p *directory.Provision) ([]exceptionRow, error) {
	var out []exceptionRow
	for _, x := range p.Exceptions {
		who := "a deleted user"
		u, err := c.Control.User(c.r.Context(), x.UserID)
		if err == nil {
			who = u.Name
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		app, err := c.appName(x.AppID)
		if err != nil {
			return nil, err
		}
		out = append(out, exceptionRow{Who: who, App: app, Path: fmt.Sprintf("%s/%d/%s", provisionsPath, p.ID, letIn(x)), what: x})
	}
	return out, nil
}

// letIn names the change that takes an exception back.
func letIn(x directory.Exception) string { return fmt.Sprintf("let-in-%d-%d", x.UserID, x.AppID) }

// lettingIn is a change for each exception, which takes it back.
func (c *call) lettingIn(p *directory.Provision) []change {
	rows, err := c.exceptions(p)
	if err != nil {
		c.Log.Warn("exceptions of a provision", "provision", p.ID, "err", err)
	}
	var out []change
	for _, x := range rows {
		out = append(out, change{Name: letIn(x.what), Verb: "Let in again", Title: "Let " + x.Who + " in again", Done: "Let in again.", Inside: true,
			Happens: fmt.Sprintf("%s can launch %s by %s again, if it names them or a group they are in.", x.Who, x.App, p.Name),
			do: func() error {
				_, err := c.Control.UpdateProvision(c.r.Context(), c.who(), p.ID, control.Ending{}, func(p *directory.Provision) error {
					p.Exceptions = slices.DeleteFunc(p.Exceptions, func(y directory.Exception) bool { return y == x.what })
					return nil
				})
				return err
			}})
	}
	return out
}

// networksText is a provision's networks as its form shows them, one a line.
func (c *call) networksText(p *directory.Provision) string {
	if c.r.Method == http.MethodPost {
		return c.r.PostFormValue("networks")
	}
	lines := make([]string, len(p.Networks))
	for i, n := range p.Networks {
		lines[i] = n.String()
	}
	return strings.Join(lines, "\n")
}

// readNetworks reads one network a line; the fault says which line is none.
func readNetworks(e *invalid.Error, text string) []netip.Prefix {
	var out []netip.Prefix
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		p, err := directory.ParseNetwork(line)
		if err != nil {
			e.Add("networks", "line %d, %s, %v", n, line, err)
			continue
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}
