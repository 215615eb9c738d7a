package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/store"
)

// start runs a command that is expected to be refused, for a little while at most.
func start(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, args, &stdio{strings.NewReader(""), &out, &out})
	return out.String(), err
}

// TestServerRefusesMargins: what could not be set as a setting is no default either.
func TestServerRefusesMargins(t *testing.T) {
	for _, args := range [][]string{{"--force=-5s"}, {"--force", "0s"}, {"--force=601s"}, {"--force=1500ms"}, {"--wait=5000h"}, {"--wait=0s"}, {"--heartbeat=0s"}, {"--heartbeat=25h"}} {
		dir := filepath.Join(t.TempDir(), "data")
		flag, _, _ := strings.Cut(args[0], "=")
		out, err := start(t, append([]string{"server", "--listen=127.0.0.1:0", "--data", dir}, args...)...)
		if err == nil || !strings.HasPrefix(err.Error(), flag+" must be whole seconds, between 1s and ") {
			t.Errorf("%v: %v %s", args, err, out)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%v: the folder is made: %v", args, err)
		}
	}
}

// TestDataFolder: server and demo make their folder, and refuse one that is in use.
func TestDataFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	st, err := (&serverCmd{Data: dir}).open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sample, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"server", "--listen=127.0.0.1:0", "--data", dir}, {"demo", "--sample", sample, "--data", dir}} {
		if out, err := start(t, args...); err == nil || !strings.HasPrefix(err.Error(), "--data: ") || !strings.Contains(err.Error(), dir+": another server is using this folder") {
			t.Errorf("%v beside a server: %v %s", args, err, out)
		}
	}
	// The demo makes its folder too, before it finds that there is no such port.
	dir = filepath.Join(t.TempDir(), "c", "d")
	_, err = start(t, "demo", "--sample", sample, "--port=70000", "--data", dir)
	if _, missing := os.Stat(filepath.Join(dir, "leasehold.db")); err == nil || missing != nil {
		t.Errorf("%v, %v", err, missing)
	}
}

// TestClosesSoon: a database that somebody reads for ever does not keep the process alive.
func TestClosesSoon(t *testing.T) {
	st, err := (&serverCmd{Data: t.TempDir()}).open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	reading, free, read := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		_ = st.View(context.Background(), func(store.Tx) error { close(reading); <-free; return nil })
	}()
	<-reading
	var log bytes.Buffer
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeSoon(slog.New(slog.NewTextHandler(&log, nil)), "database", st, 100*time.Millisecond)
	}()
	select {
	case <-closed:
		if !strings.Contains(log.String(), "something still uses it") {
			t.Errorf("the log: %s", log.String())
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits without end")
	}
	close(free)
	<-read
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
