package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"leasehold/internal/wire"
)

// ErrPlainHTTP: the address is http:// and not of this machine.
var ErrPlainHTTP = errors.New("plain http:// is accepted for loopback addresses only; use https://")

// ServerError is an answer that is an error.
type ServerError struct {
	Status int
	Detail string // in words for people; may be empty
}

func (e *ServerError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the server answered: %s (%d)", e.Detail, e.Status)
}

// silence is how long a stream of hints may say nothing: the server says that it is alive
// every 20 seconds.
const silence = time.Minute

// Client reaches a server over HTTP. It is safe for concurrent use.
type Client struct {
	base       string
	credential string
	http       *http.Client
}

// NewClient returns a client for the server at an address. The error says what is wrong
// with the address; it is ErrPlainHTTP for one that would send secrets in the clear.
func NewClient(server, credential string) (*Client, error) {
	base, err := CleanServer(server)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	// One connection for the check-ins, one for the stream.
	t.MaxIdleConnsPerHost = 2
	t.ResponseHeaderTimeout = 60 * time.Second
	return &Client{base: base, credential: credential, http: &http.Client{
		Transport: t,
		// A redirect would take the credential elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// CleanServer checks a server's address and returns it without a final slash, so that two
// that mean the same are equal.
func CleanServer(server string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(server))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is not a server's address, such as https://leasehold.example.org", server)
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !Loopback(u.Hostname()) {
			return "", fmt.Errorf("%s: %w", server, ErrPlainHTTP)
		}
	default:
		return "", fmt.Errorf("%q: a server's address begins with https://", server)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimSuffix(u.Path, "/"), nil
}

// Loopback reports whether a host is this machine itself.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Base is the server's address.
func (c *Client) Base() string { return c.base }

// Enrol makes this machine an agent.
func (c *Client) Enrol(ctx context.Context, m *wire.Enrol) (*wire.Enrolled, error) {
	return call[wire.Enrolled](ctx, c, wire.PathEnrol, m)
}

// CheckIn implements [Server].
func (c *Client) CheckIn(ctx context.Context, m *wire.CheckIn) (*wire.Answer, error) {
	return call[wire.Answer](ctx, c, wire.PathCheckIn, m)
}

// Redeem turns a launch ticket into a session on this device. It may be repeated. With ask,
// nothing is done for somebody who has not used this device before: the answer says who.
func (c *Client) Redeem(ctx context.Context, ticket string, ask bool) (*wire.Redeemed, error) {
	return call[wire.Redeemed](ctx, c, wire.PathRedeem, &wire.Redeem{V: wire.Version, Ticket: ticket, Ask: ask})
}

// People lists who uses this device.
func (c *Client) People(ctx context.Context) (*wire.People, error) {
	r, err := c.request(ctx, http.MethodGet, wire.PathPeople, nil)
	if err != nil {
		return nil, err
	}
	return answered[wire.People](c, r)
}

// Forget has the server send no more launches of a person to this device.
func (c *Client) Forget(ctx context.Context, user int64) (*wire.People, error) {
	return call[wire.People](ctx, c, wire.PathForget, &wire.Forget{V: wire.Version, User: user})
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if c.credential != "" {
		r.Header.Set("Authorization", "Bearer "+c.credential)
	}
	return r, nil
}

func call[T any](ctx context.Context, c *Client, path string, m any) (*T, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	r, err := c.request(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return answered[T](c, r)
}

// answered sends a request and reads its answer.
func answered[T any](c *Client, r *http.Request) (*T, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, serverError(resp)
	}
	var out T
	if err := wire.Decode(resp.Body, &out); err != nil {
		return nil, fmt.Errorf("agent: the server's answer: %w", err)
	}
	return &out, nil
}

func serverError(resp *http.Response) error {
	e := &ServerError{Status: resp.StatusCode}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); strings.HasSuffix(t, "json") {
		var p struct {
			Detail string `json:"detail"`
		}
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&p) == nil {
			e.Detail = p.Detail
		}
	}
	return e
}

// Events implements [Server].
func (c *Client) Events(ctx context.Context, hint func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := c.request(ctx, http.MethodGet, wire.PathEvents, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return serverError(resp)
	}
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	hint()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		quiet.Reset(silence)
		if strings.HasPrefix(lines.Text(), "event:") {
			hint()
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return io.EOF
}

// Close closes the connections that are kept open.
func (c *Client) Close() { c.http.CloseIdleConnections() }
