//go:build unix

package room

import "syscall"

var fulls = []error{syscall.ENOSPC, syscall.EDQUOT}
