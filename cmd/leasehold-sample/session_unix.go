//go:build unix

package main

import "syscall"

// newSession takes a process out of our session and process group.
func newSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
