//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onHangup calls do on each SIGHUP until stop is called, which returns once do has.
func onHangup(do func()) (stop func()) {
	c, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(c, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for range c {
			do()
		}
	}()
	return func() {
		signal.Stop(c)
		close(c) // nothing is sent to it any more
		<-ended
	}
}
