//go:build !linux

package page

// sameUser reports whether the other end of a connection may be a process of our user's;
// this system does not tell.
func sameUser(string) bool { return true }
