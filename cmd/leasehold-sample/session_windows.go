package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// newSession takes a process out of our console and process group.
func newSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}
