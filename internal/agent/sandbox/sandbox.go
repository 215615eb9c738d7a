// Package sandbox gives a streamed session a machine of its own, by bubblewrap:
// its own mounts, processes, IPC, host name and network. It sees the programs of
// the host, a few of its settings and what the host's owner adds, all to be
// read; it writes to its home and to scratch space in memory. Of other sessions
// and of the host it sees nothing.
//
// Bubblewrap runs as the session's account, never as root: root of the host would
// stay root of the host in there.
package sandbox

import (
	"errors"
	"os/user"
	"strings"
	"unicode"

	"leasehold/internal/fold"
)

// ErrUnsupported means that this machine cannot separate sessions; what it
// wraps says why.
var ErrUnsupported = errors.New("this host cannot separate its sessions")

// Share is a file or folder of the host that its sessions see at the same path.
type Share struct {
	Path  string `json:"path"`
	Write bool   `json:"write,omitempty"` // the account's rights are what counts then
}

// Scratch is a folder in memory.
type Scratch struct {
	Path  string
	Bytes int64 // the most that it holds
	Mode  string
}

// Spec says what a session sees.
type Spec struct {
	UID     int    // of its account, and the same number as its group
	Login   string // the account's name, as [Login] makes it
	Name    string // the user's name, as people know it
	Home    string
	Own     []string  // folders of the host that are the session's, to be written
	Scratch []Scratch // besides /tmp and its like
	Shares  []Share
	Size    int64 // of /tmp, /var/tmp and /dev/shm, each, in bytes

	Nested    bool     // programs may make sandboxes of their own
	Network   bool     // it has the network of whoever starts it
	Resolvers []string // addresses of name servers
}

// loginLimit is the longest name of an account that useradd makes.
const loginLimit = 32

// Login makes an account's name of a user's name: of small letters, digits, dot, dash and
// underscore. A name that the machine has, such as root, is never the result.
func Login(name string) string {
	var b strings.Builder
	for _, r := range fold.Fold(name) {
		switch {
		case b.Len() == loginLimit-2:
		case 'a' <= r && r <= 'z', r == '_', b.Len() > 0 && ('0' <= r && r <= '9' || r == '-' || r == '.'):
			b.WriteRune(r)
		case b.Len() > 0:
			b.WriteByte('_')
		}
	}
	login := strings.TrimRight(b.String(), "-._")
	if login == "" {
		return "user"
	}
	if _, err := user.Lookup(login); err == nil || login == "root" || login == "nobody" {
		login += "_u"
	}
	return login
}

// gecos is a name as a field of a passwd file holds it.
func gecos(name string) string {
	return strings.Map(func(r rune) rune {
		if r == ':' || r == ',' || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
}
