package room

import "golang.org/x/sys/windows"

var fulls = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
