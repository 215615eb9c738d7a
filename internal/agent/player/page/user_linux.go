package page

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// sameUser reports whether the other end of a connection over the loopback address may be
// a process of our user's, or of root's: one that is known to be another's is not. Command
// lines, and so the addresses that open the page, can be read by every user.
func sameUser(remote string) bool {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil || !addr.Addr().Is4() {
		return false
	}
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return true
	}
	defer f.Close()
	b := addr.Addr().As4()
	return mayBe(f, fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(b[:]), addr.Port()), os.Getuid())
}

// mayBe reports whether a table of connections, as /proc/net/tcp, has the local address as
// the user's or root's, or not at all.
func mayBe(table io.Reader, local string, user int) bool {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// sl local_address rem_address st queues tr retrnsmt uid …
		words := strings.Fields(lines.Text())
		if len(words) < 8 || words[1] != local {
			continue
		}
		if uid, err := strconv.Atoi(words[7]); err == nil && uid != 0 && uid != user {
			return false
		}
	}
	return true
}
