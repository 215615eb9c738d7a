// Package recovery turns a panic of a handler into an answer and a line in the log. Without
// it, net/http drops the connection: the caller has no answer and no number to ask about.
package recovery

import (
	"bufio"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
)

// Serve calls the handler. If it panics, that is logged with its stack under the request's
// number, and answer says so to the caller. Where an answer has begun already it is broken
// off, by a panic with [http.ErrAbortHandler]: half an answer must not be taken for a whole
// one. A handler's own http.ErrAbortHandler passes.
func Serve(h http.Handler, w *Writer, r *http.Request, log *slog.Logger, answer http.HandlerFunc) {
	header := w.Header().Clone()
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		log.Error("request panicked", "request", w.Header().Get("X-Request-Id"), "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
		if w.begun {
			panic(http.ErrAbortHandler)
		}
		// Nothing that the handler meant to say of its answer is true of this one.
		clear(w.Header())
		maps.Copy(w.Header(), header)
		w.pending = 0
		answer(w, r)
		w.begin()
	}()
	h.ServeHTTP(w, r)
	w.begin()
}

// Writer is a ResponseWriter that holds the status back until the first byte of the body, or
// the handler's end. What fails before that can still be answered with another one.
type Writer struct {
	http.ResponseWriter
	pending int // the status that is held back; 0: none
	status  int // the one that was sent; 0: none
	begun   bool
}

// NewWriter returns a Writer over another ResponseWriter.
func NewWriter(w http.ResponseWriter) *Writer { return &Writer{ResponseWriter: w} }

// Status is that of the answer, 200 if none was given.
func (w *Writer) Status() int {
	switch {
	case w.status != 0:
		return w.status
	case w.pending != 0:
		return w.pending
	}
	return http.StatusOK
}

// begin sends the status that was held back.
func (w *Writer) begin() {
	if w.begun {
		return
	}
	w.begun, w.status = true, w.Status()
	if w.pending != 0 {
		w.ResponseWriter.WriteHeader(w.pending)
	}
}

// WriteHeader holds the status back. Informational ones are sent at once.
func (w *Writer) WriteHeader(code int) {
	switch {
	case code == http.StatusSwitchingProtocols:
		w.pending = code
		w.begin()
	case code < 200:
		w.ResponseWriter.WriteHeader(code)
	case w.pending == 0 && !w.begun:
		w.pending = code
	}
}

// Write implements http.ResponseWriter.
func (w *Writer) Write(b []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(b)
}

// FlushError sends what was written so far, for [http.ResponseController].
func (w *Writer) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *Writer) Flush() { w.FlushError() }

// Hijack implements http.Hijacker. The connection is the caller's from then on.
func (w *Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.begun, w.status = true, w.Status()
	}
	return c, rw, err
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
