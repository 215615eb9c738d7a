package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// blob is something that is downloaded, known by its digest.
type blob struct {
	url    string
	digest string // SHA-256 in lower-case hex
	size   int64  // -1: the server says
	limit  int64  // bytes that it may have
	do     func(*http.Request) (*http.Response, error)
}

// errStalled is why a download was given up; trying again goes on from there.
var errStalled = errors.New("the server sent nothing for too long")

// download brings a blob into a file and checks its digest. What the file holds already,
// from an attempt that was cut short, is not asked for again.
func (s *Store) download(ctx context.Context, b blob, file string, m *meter) error {
	resumed, err := s.attempt(ctx, b, file, m)
	if !resumed || !errors.Is(err, ErrDigest) {
		return err
	}
	// A crash may have spoilt what was on the disk, or the server has another file by now.
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("packages: %w", err)
	}
	_, err = s.attempt(ctx, b, file, m)
	return err
}

// attempt downloads what is missing of a blob. resumed tells whether some was there.
func (s *Store) attempt(ctx context.Context, b blob, file string, m *meter) (resumed bool, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, fmt.Errorf("packages: %w", err)
	}
	// Also what there is of it should outlive a crash.
	defer func() {
		if e := errors.Join(f.Sync(), f.Close()); e != nil && err == nil {
			err = fmt.Errorf("packages: %w", e)
		}
	}()
	sum := sha256.New()
	have, err := io.Copy(sum, f)
	if err != nil {
		return false, fmt.Errorf("packages: %w", err)
	}
	again := func() error {
		have = 0
		sum.Reset()
		_, err := f.Seek(0, io.SeekStart)
		if err = errors.Join(err, f.Truncate(0)); err != nil {
			return fmt.Errorf("packages: %w", err)
		}
		return nil
	}
	if have > 0 && sumOf(sum) == b.digest {
		m.blob(have, have)
		return false, nil // it was cut short after its last byte
	}
	if have > b.limit || b.size >= 0 && have >= b.size {
		if err := again(); err != nil {
			return false, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(s.stall, func() { cancel(errStalled) })
	defer watch.Stop()
	resp, err := b.ask(ctx, have)
	if err == nil && have > 0 && !continues(resp, have) {
		// This server does not send parts, or not of this length.
		if err = again(); err != nil {
			resp.Body.Close()
			return false, err
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			resp, err = b.ask(ctx, 0)
		}
	}
	if err != nil {
		return have > 0, stalled(ctx, err)
	}
	defer resp.Body.Close()
	if err := checkStatus(resp); err != nil {
		return have > 0, err
	}
	if resp.StatusCode == http.StatusPartialContent && have == 0 {
		return false, errors.New("download the package: the server sent a part where all was asked for")
	}
	size := b.size
	if size < 0 && resp.ContentLength >= 0 {
		size = have + resp.ContentLength
	}
	if size > b.limit {
		return have > 0, fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, size, b.limit)
	}
	m.blob(have, size)
	resumed = have > 0
	most := b.limit
	if b.size >= 0 {
		most = b.size
	}
	body := readerFunc(func(p []byte) (int, error) {
		n, err := resp.Body.Read(p)
		watch.Reset(s.stall)
		return n, err
	})
	n, err := io.Copy(io.MultiWriter(f, sum, m), io.LimitReader(body, most-have+1))
	if err != nil {
		return resumed, stalled(ctx, fmt.Errorf("download the package: %w", err))
	}
	if have += n; have > most {
		return resumed, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	}
	if got := sumOf(sum); got != b.digest {
		return resumed, fmt.Errorf("%w: it is %s, and %s was expected", ErrDigest, got, b.digest)
	}
	return resumed, nil
}

// ask sends the request for a blob, or for what comes after its first bytes.
func (b *blob) ask(ctx context.Context, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	// A length that was saved is not to be one of compressed bytes.
	req.Header.Set("Accept-Encoding", "identity")
	switch {
	case from > 0 && b.size > 0:
		// Some registries want to be told the end, too.
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, b.size-1))
	case from > 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := b.do(req)
	if err != nil {
		return nil, fmt.Errorf("download the package: %w", err)
	}
	return resp, nil
}

// continues reports whether an answer is the part of a blob that begins at from, or an
// error that has nothing to do with parts.
func continues(resp *http.Response, from int64) bool {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		return strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from))
	case http.StatusOK, http.StatusRequestedRangeNotSatisfiable:
		return false
	}
	return true
}

// checkStatus tells errors that go away from those that do not.
func checkStatus(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent:
		return nil
	case passing(code):
		return fmt.Errorf("download the package: the server answered %s", resp.Status)
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%w: the server answered %s: it wants other credentials than this device has", ErrRefused, resp.Status)
	}
	return fmt.Errorf("%w: the server answered %s", ErrRefused, resp.Status)
}

// passing are the statuses of servers that may do better later.
func passing(code int) bool {
	return code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout
}

// stalled says why a request ended that was given up here.
func stalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("download the package: %w", errStalled)
	}
	return err
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// meter tells how much of a package is there, each percent once.
type meter struct {
	total    int64 // of all blobs; 0 if only the server can tell
	before   int64 // bytes of the blobs that are done
	n, size  int64 // of this one
	percent  int
	progress func(int)
}

// blob begins with a blob of which n bytes are there.
func (m *meter) blob(n, size int64) {
	m.n, m.size = n, size
	m.tell()
}

// next ends the blob.
func (m *meter) next() {
	m.before += m.n
	m.n, m.size = 0, 0
}

func (m *meter) Write(b []byte) (int, error) {
	m.n += int64(len(b))
	m.tell()
	return len(b), nil
}

func (m *meter) tell() {
	total := m.total
	if total == 0 {
		total = m.size
	}
	if total <= 0 || m.progress == nil {
		return
	}
	if p := min(int((m.before+m.n)*100/total), 100); p != m.percent {
		m.percent = p
		m.progress(p)
	}
}
