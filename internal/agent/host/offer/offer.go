// Package offer says what a machine offers to streamed sessions, and what a
// session there is therefore protected from. One list answers for the start of
// the host, its page and leasehold host check.
package offer

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/sessionnet"
	"leasehold/internal/agent/stage"
)

// Item is one thing that a machine offers, or does not.
type Item struct {
	Name    string
	Err     error  // why it is not there; nil if it is
	With    string // what a session has with it
	Without string // and without it
}

// Offer is what a machine offers.
type Offer struct {
	Items []Item
	// Separate is why sessions cannot be separated; nil if they can.
	Separate error
}

// Of asks this machine, which may take a second. Limits are those that the host is to have:
// one of 0 is not asked for.
func Of(ctx context.Context, memoryBytes int64, processes, cpuPercent int) Offer {
	uid := stage.SessionUID(account.Default)
	var o Offer
	add := func(name string, err error, with, without string) {
		o.Items = append(o.Items, Item{name, err, with, without})
	}
	var missing []string
	for _, p := range []string{"Xvnc", "openbox"} {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	add("Displays", lacking(missing), "sessions have a display", "no session starts")
	var err error
	if !account.Can() {
		err = fmt.Errorf("the host does not run as root")
	}
	add("Accounts", err, "each session has an account of its own", "sessions run under the host's account, and their sandbox is all that is around them")
	o.Separate = sandbox.Check(ctx, uid, false)
	add("Separation", o.Separate, "a session has its own files, processes, IPC and display, and reaches nobody else's",
		"a session reaches the processes, displays and public files of others and of the host; one runs at a time unless --unseparated is given, and only apps whose network is the host's")
	err = o.Separate
	if err == nil {
		err = sandbox.Check(ctx, uid, true)
	}
	add("Nested sandboxes", err, "browsers and Electron apps start, with the setting nested", "browsers and Electron apps do not start")
	err = o.Separate
	if err == nil {
		err = sessionnet.Check()
	}
	add("Network internet", err, "a session reaches public addresses, and nothing private but what is allowed",
		"apps with network internet are refused; none and the host's remain")
	memory, pids, cpu := guard.Offer()
	limit := func(name string, wanted bool, err error, with, without string) {
		if !wanted {
			err = fmt.Errorf("it is switched off")
		}
		add(name, err, with, without)
	}
	limit("Memory", memoryBytes > 0, memory, "a session that needs too much memory is ended", "a session can take all memory of the host")
	limit("Processes", processes > 0, pids, "a session has so many processes and no more", "only the account's own limit holds, if it has an account")
	limit("Processor time", cpuPercent > 0, cpu, "a session leaves processors to others", "a session can take all processors")
	add("Home size", fmt.Errorf("not limited by this version"), "",
		"a session can fill the disk of its home: keep --sessions on a file system of its own")
	return o
}

func lacking(programs []string) error {
	if len(programs) == 0 {
		return nil
	}
	return fmt.Errorf("not installed: %s", strings.Join(programs, ", "))
}

// Missing lists what is not there, a line each.
func (o Offer) Missing() (list []string) {
	for _, i := range o.Items {
		if i.Err != nil {
			list = append(list, fmt.Sprintf("%s: %v; %s", i.Name, i.Err, i.Without))
		}
	}
	return list
}
