package guard

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// zombieState is SZOMB of sys/proc.h.
const zombieState = 5

func toProcess(k *unix.KinfoProc) process {
	return process{
		pid: int(k.Proc.P_pid), ppid: int(k.Eproc.Ppid), pgrp: int(k.Eproc.Pgid),
		zombie: k.Proc.P_stat == zombieState,
		start:  fmt.Sprintf("%d.%06d", k.Proc.P_starttime.Sec, k.Proc.P_starttime.Usec),
	}
}

func processes() ([]process, error) {
	table, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	list := make([]process, 0, len(table))
	for i := range table {
		list = append(list, toProcess(&table[i]))
	}
	return list, nil
}

func readProcess(pid int) (process, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return process{}, err
	}
	return toProcess(k), nil
}

// environment returns the arguments and the environment that a process of ours
// was started with, NUL after each. The system hides those of its own programs.
func environment(pid int) []byte {
	b, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(b) < 4 {
		return nil
	}
	// The count of arguments, the program's path, padding, arguments, environment.
	argc := int(binary.NativeEndian.Uint32(b))
	_, b, _ = bytes.Cut(b[4:], []byte{0})
	b = bytes.TrimLeft(b, "\x00")
	for ; argc > 0 && len(b) > 0; argc-- {
		_, b, _ = bytes.Cut(b, []byte{0})
	}
	return b
}
