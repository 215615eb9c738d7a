package server

import (
	"net/http"
	"time"
)

// writeWithin is how long a client may take to read what was written, before the next
// write. One that reads nothing would hold its connection, and what it has open, for ever.
// It is renewed with every write, so that a long download is not cut, and neither is an
// event stream in which nothing happens.
const writeWithin = 30 * time.Second

// deadlineWriter gives every write a deadline. A connection that is hijacked has none any
// more; see http.Hijacker.
type deadlineWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
}

func newDeadlineWriter(w http.ResponseWriter) *deadlineWriter {
	d := &deadlineWriter{w, http.NewResponseController(w), writeWithin}
	d.extend() // of the connection's last request there is one that may be over
	return d
}

// extend puts the deadline off. Writers of tests have no deadline.
func (d *deadlineWriter) extend() { _ = d.control.SetWriteDeadline(time.Now().Add(d.within)) }

// WriteHeader implements http.ResponseWriter.
func (d *deadlineWriter) WriteHeader(code int) {
	d.extend()
	d.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (d *deadlineWriter) Write(b []byte) (int, error) {
	d.extend()
	return d.ResponseWriter.Write(b)
}

// FlushError is for http.ResponseController.
func (d *deadlineWriter) FlushError() error {
	d.extend()
	return d.control.Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (d *deadlineWriter) Unwrap() http.ResponseWriter { return d.ResponseWriter }
