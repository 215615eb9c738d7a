//go:build unix

package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/server"
)

// TestAuditLogFile: a server appends what is committed to its file, and after SIGHUP to a new
// one; one that cannot be opened keeps it from starting.
func TestAuditLogFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	c := &serverCmd{Data: t.TempDir(), AuditLog: name}
	log := slog.New(slog.DiscardHandler)
	serve := func(ready func(*server.Server) error) error {
		t.Helper()
		st, err := c.open(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return c.serve(t.Context(), &stdio{strings.NewReader(""), io.Discard, io.Discard}, log, st, l, ready)
	}
	enough := errors.New("enough")
	root := control.Who{UserID: 1, Username: "root", Admin: true}
	err := serve(func(s *server.Server) error {
		if err := s.Control.CreateApp(t.Context(), root, &catalog.App{Name: "Before"}); err != nil {
			return err
		}
		if err := os.Rename(name, name+".1"); err != nil {
			return err
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
		for { // the signal is on its way
			if _, err := os.Stat(name); err == nil {
				break
			}
			if err := t.Context().Err(); err != nil {
				return err
			}
		}
		if err := s.Control.CreateApp(t.Context(), root, &catalog.App{Name: "After"}); err != nil {
			return err
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	for file, want := range map[string]string{name: `"name":"After"`, name + ".1": `"name":"Before"`} {
		b, err := os.ReadFile(file)
		if err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), want) || !strings.Contains(string(b), `"action":"app.create"`) {
			t.Errorf("%s: %v %s", file, err, b)
		}
	}
	c.AuditLog = t.TempDir()
	if err := serve(nil); err == nil || !strings.HasPrefix(err.Error(), "--audit-log: ") {
		t.Errorf("a folder as the audit log: %v", err)
	}
}
