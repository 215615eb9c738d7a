package callfilter

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// call is one that the kernel asks the filter about.
type call struct {
	arch   *arch.Info
	number int
	args   [6]uint64
}

// ask runs the filter as the kernel does.
func ask(t *testing.T, nested bool, c call) uint32 {
	t.Helper()
	b, err := For(nested)
	if err != nil {
		t.Fatal(err)
	}
	var raw []bpf.RawInstruction
	for ; len(b) > 0; b = b[8:] {
		raw = append(raw, bpf.RawInstruction{Op: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:])})
	}
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("not a program")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	// The VM reads packets, which are big-endian; the kernel reads its own.
	data := binary.BigEndian.AppendUint32(nil, uint32(c.number))
	data = binary.BigEndian.AppendUint32(data, uint32(c.arch.ID))
	data = append(data, make([]byte, 8)...)
	for _, a := range c.args {
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

func TestFilter(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the table is that of amd64")
	}
	const high = 1 << 32
	eperm, enosys, family := uint32(deny|unix.EPERM), uint32(deny|unix.ENOSYS), uint32(deny|unix.EAFNOSUPPORT)
	for _, c := range []struct {
		name           string
		args           [6]uint64
		strict, nested uint32
	}{
		{"read", [6]uint64{}, allow, allow},
		{"ptrace", [6]uint64{}, allow, allow},
		{"bpf", [6]uint64{}, eperm, eperm},
		{"keyctl", [6]uint64{}, eperm, eperm},
		{"io_uring_setup", [6]uint64{}, eperm, eperm},
		{"perf_event_open", [6]uint64{}, eperm, eperm},
		{"userfaultfd", [6]uint64{}, eperm, eperm},
		{"setns", [6]uint64{}, eperm, eperm},
		{"unshare", [6]uint64{}, eperm, allow},
		{"mount", [6]uint64{}, eperm, allow},
		{"chroot", [6]uint64{}, eperm, allow},
		{"clone3", [6]uint64{}, enosys, enosys},
		{"clone", [6]uint64{uint64(unix.SIGCHLD)}, allow, allow},
		{"clone", [6]uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm, allow},
		{"clone", [6]uint64{unix.CLONE_NEWUSER | high}, eperm, allow},
		{"ioctl", [6]uint64{0, unix.TIOCGWINSZ}, allow, allow},
		{"ioctl", [6]uint64{0, unix.TIOCSTI}, eperm, eperm},
		{"ioctl", [6]uint64{0, unix.TIOCSTI | high}, eperm, eperm},
		{"ioctl", [6]uint64{0, unix.TIOCLINUX}, eperm, eperm},
		{"socket", [6]uint64{unix.AF_UNIX}, allow, allow},
		{"socket", [6]uint64{unix.AF_INET6}, allow, allow},
		{"socket", [6]uint64{unix.AF_NETLINK}, allow, allow},
		{"socket", [6]uint64{unix.AF_VSOCK}, family, family},
		{"socket", [6]uint64{unix.AF_VSOCK | high}, family, family},
		{"socket", [6]uint64{unix.AF_ALG}, family, family},
		{"socket", [6]uint64{unix.AF_PACKET}, family, family},
	} {
		for _, a := range []*arch.Info{arch.X86_64, arch.I386} {
			n, ok := a.SyscallNames[c.name]
			if !ok {
				t.Errorf("%s has no %s", a.Name, c.name)
				continue
			}
			if got := ask(t, false, call{a, n, c.args}); got != c.strict {
				t.Errorf("strict, %s, %s%x: %x, want %x", a.Name, c.name, c.args, got, c.strict)
			}
			if got := ask(t, true, call{a, n, c.args}); got != c.nested {
				t.Errorf("nested, %s, %s%x: %x, want %x", a.Name, c.name, c.args, got, c.nested)
			}
		}
	}
	for _, c := range []call{
		{arch.X86_64, 0 | arch.X32.SeccompMask, [6]uint64{}},
		{arch.X86_64, arch.X86_64.SyscallNames["ptrace"] | arch.X32.SeccompMask, [6]uint64{}},
		{arch.AARCH64, 0, [6]uint64{}},
		{arch.I386, arch.I386.SyscallNames["socketcall"], [6]uint64{1}},
	} {
		if got := ask(t, false, c); got != enosys {
			t.Errorf("%s %#x: %x, want %x", c.arch.Name, c.number, got, enosys)
		}
	}
}

// A name that no architecture has is a slip of the pen.
func TestNames(t *testing.T) {
	for _, list := range [][]string{refused, strictly, unknown} {
		for _, name := range list {
			if _, a := arch.X86_64.SyscallNames[name]; a {
				continue
			}
			if _, a := arch.I386.SyscallNames[name]; !a {
				t.Errorf("there is no %s", name)
			}
		}
	}
}
