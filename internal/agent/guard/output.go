package guard

import (
	"io"
	"os"
	"time"
)

// outputLimit is how much of an app's output one file keeps; the file before
// it is kept too, so at least so much is there and at most twice that.
const outputLimit = 1 << 20

// output keeps the last of what the app prints. It reads a pipe: a file given
// to the app itself could grow until the disk is full.
type output struct {
	path string
	r, w *os.File
	done chan struct{}
}

func newOutput(path string) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{path: path, r: r, w: w, done: make(chan struct{})}
	go o.copy()
	return o, nil
}

func (o *output) copy() {
	defer close(o.done)
	defer o.r.Close()
	buf := make([]byte, 32<<10)
	var f *os.File
	var size int64
	for {
		n, err := o.r.Read(buf)
		if n > 0 {
			if f != nil && size+int64(n) > outputLimit {
				f.Close()
				f = nil
				_ = os.Rename(o.path, o.path+".1")
			}
			if f == nil {
				// An app does not wait for its log: without a file, what it
				// prints is lost.
				f, _ = os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
				size = 0
			}
			if f != nil {
				_, _ = f.Write(buf[:n])
				size += int64(n)
			}
		}
		if err != nil {
			if f != nil {
				f.Close()
			}
			if err != io.EOF {
				_, _ = io.Copy(io.Discard, o.r)
			}
			return
		}
	}
}

// wait returns when the app's last output is on disk, or soon: a process that
// is no part of the run any more may hold the pipe.
func (o *output) wait() {
	select {
	case <-o.done:
	case <-time.After(500 * time.Millisecond):
	}
}
