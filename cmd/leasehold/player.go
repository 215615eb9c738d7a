package main

// playerCmd is leasehold player.
type playerCmd struct{}
