package main

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"leasehold/internal/agent/dialog"
	"leasehold/internal/wire"
)

// A desktop starts what opens a link with /dev/null as its standard input. Nobody can answer
// there, so a dialog asks; and where there is none the user is told so.
func TestNobodyAtTheTerminal(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	in := os.NewFile(uintptr(fd), "/dev/stdin") // as os.Stdin is called, whatever it is
	defer in.Close()
	var out bytes.Buffer
	yes, err := acceptPerson(t.Context(), &stdio{In: in, Out: &out, Err: &out}, wire.Person{Username: "mallory", Name: "Mal Ory"}, "Editor")
	if yes || !errors.Is(err, dialog.ErrNone) {
		t.Errorf("%v, %v; printed %q", yes, err, &out)
	}
}
