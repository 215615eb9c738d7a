package boottime

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The call cannot fail on a kernel that Go runs on (2.6.39 and later
		// have this clock); a wrong time would be worse than an end.
		panic("boottime: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

func readBootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
