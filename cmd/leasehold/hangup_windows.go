package main

// onHangup does nothing: there is no SIGHUP.
func onHangup(func()) (stop func()) { return func() {} }
