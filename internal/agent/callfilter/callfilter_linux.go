// Package callfilter says which calls of the kernel a streamed session does not
// have: those of which an app needs none and that have opened ways out of
// sandboxes. The list is that of Flatpak
// (https://github.com/flatpak/flatpak, common/flatpak-run.c), with what came
// to the kernel since. A filter is a program for the kernel's seccomp, which
// everything below the process that loads it inherits.
//
// Calls of the machine's second architecture (32-bit programs) are filtered
// alike, and those of x32 do not exist. ptrace stays: a session's processes may
// debug each other, and see no others.
package callfilter

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in the kernel's struct seccomp_data, and its answers.
const (
	offsetNumber, offsetArch, offsetArguments = 0, 4, 16

	allow = 0x7fff0000
	deny  = 0x00050000 // and an error number
)

// refused are answered EPERM, whatever a session is.
var refused = []string{
	// What reads or changes the machine.
	"syslog", "acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "vhangup", "nfsservctl",
	"settimeofday", "clock_settime", "clock_adjtime", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load",
	"iopl", "ioperm", "uselib", "modify_ldt", "lookup_dcookie", "open_by_handle_at",
	// Keys are a user's and not a session's.
	"add_key", "keyctl", "request_key",
	// Memory of nodes: other processes' pages too.
	"move_pages", "mbind", "get_mempolicy", "set_mempolicy", "migrate_pages",
	// Large parts of the kernel, with a history of faults.
	"perf_event_open", "bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	// Other namespaces.
	"setns",
}

// strictly are refused where no sandbox may be made in the session.
var strictly = []string{"unshare", "mount", "umount", "umount2", "pivot_root", "chroot"}

// unknown are answered ENOSYS: programs then do without, and by calls whose
// arguments can be seen.
var unknown = []string{
	"clone3", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr",
}

// Families of sockets that there are: of a machine, of the internet, and to ask the
// kernel about it. Others, such as AF_VSOCK, know of no network namespace.
var families = []uint32{unix.AF_UNSPEC, unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// For returns the filter, as the kernel's sock_filter instructions in the
// machine's byte order. In a nested session programs may make namespaces of
// their own.
func For(nested bool) ([]byte, error) {
	native, second, err := architectures()
	if err != nil {
		return nil, err
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetArch, Size: 4}}
	for _, a := range []*arch.Info{native, second} {
		if a == nil {
			continue
		}
		calls := filter(a, nested)
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(a.ID), SkipTrue: 1}, bpf.Jump{Skip: uint32(len(calls))})
		program = append(program, calls...)
	}
	program = append(program, answer(unix.ENOSYS)) // of no architecture that we know
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter of calls: %w", err)
	}
	var b []byte
	for _, r := range raw {
		b = binary.NativeEndian.AppendUint16(b, r.Op)
		b = append(b, r.Jt, r.Jf)
		b = binary.NativeEndian.AppendUint32(b, r.K)
	}
	return b, nil
}

// architectures returns that of this program and the other one whose programs
// its kernel runs.
func architectures() (native, second *arch.Info, err error) {
	switch runtime.GOARCH {
	case "amd64":
		return arch.X86_64, arch.I386, nil
	case "arm64":
		return arch.AARCH64, arch.ARM, nil
	}
	return nil, nil, fmt.Errorf("there is no filter of calls for %s", runtime.GOARCH)
}

func answer(errno unix.Errno) bpf.Instruction { return bpf.RetConstant{Val: deny | uint32(errno)} }

// filter are the instructions for one architecture. They end with an answer.
func filter(a *arch.Info, nested bool) (list []bpf.Instruction) {
	number := bpf.LoadAbsolute{Off: offsetNumber, Size: 4}
	list = append(list, number)
	if a == arch.X86_64 {
		list = append(list, bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32(arch.X32.SeccompMask), SkipTrue: 1}, answer(unix.ENOSYS))
	}
	when := func(name string, then ...bpf.Instruction) {
		n, ok := a.SyscallNames[name]
		if !ok {
			return // the architecture never had it
		}
		list = append(list, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(n), SkipTrue: uint8(len(then))})
		list = append(list, then...)
	}
	names := refused
	if !nested {
		names = append(names[:len(names):len(names)], strictly...)
	}
	for _, name := range names {
		when(name, answer(unix.EPERM))
	}
	for _, name := range unknown {
		when(name, answer(unix.ENOSYS))
	}
	// Only the lower half of an argument: the kernel looks at no more of these, so a
	// program that sets the other half must not get by.
	argument := func(i uint32) bpf.Instruction {
		return bpf.LoadAbsolute{Off: offsetArguments + 8*i + lowHalf, Size: 4}
	}
	if !nested {
		when("clone", argument(0), bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.CLONE_NEWUSER, SkipTrue: 1}, answer(unix.EPERM), number)
	}
	// To type into a terminal that somebody else reads.
	when("ioctl", argument(1),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
		answer(unix.EPERM), number)
	socket := []bpf.Instruction{argument(0)}
	for i, family := range families {
		socket = append(socket, bpf.JumpIf{Cond: bpf.JumpEqual, Val: family, SkipTrue: uint8(len(families) - i)})
	}
	when("socket", append(socket, answer(unix.EAFNOSUPPORT), number)...)
	// Its arguments are in memory, which a filter does not see. Most programs of i386 open
	// sockets so, and cannot here: otherwise those of every family would be open to all.
	const callSocket = 1
	when("socketcall", argument(0), bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: callSocket, SkipTrue: 1}, answer(unix.ENOSYS), number)
	return append(list, bpf.RetConstant{Val: allow})
}

// lowHalf is where in an argument its lower 32 bits are, on the architectures
// that there are: all of them have those first.
const lowHalf = 0
