package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/server/adminapi"
	"leasehold/internal/server/problem"
)

// apiFlags say which server to speak to, and as whom.
type apiFlags struct {
	Server   string `help:"Address of the server." default:"http://127.0.0.1:8080" env:"LEASEHOLD_SERVER"`
	Token    string `help:"API token." env:"LEASEHOLD_TOKEN"`
	User     string `help:"User name, to sign in without a token." env:"LEASEHOLD_USER"`
	Password string `help:"Password; better given in the environment." env:"LEASEHOLD_PASSWORD"`
	JSON     bool   `help:"Write the API's JSON."`
}

// apiClient follows no redirects: they would take the token elsewhere.
var apiClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// call makes one API call and decodes the answer into out, which may be nil. Nothing is
// sent to an address that would have the password or the token in the clear.
func (f *apiFlags) call(ctx context.Context, method, path string, in, out any) error {
	if err := f.signIn(ctx); err != nil {
		return err
	}
	return f.do(ctx, method, path, in, out)
}

// signIn makes sure that there is a token, and an address that it may be sent to.
func (f *apiFlags) signIn(ctx context.Context) error {
	base, err := agent.CleanServer(f.Server)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	f.Server = base
	if f.Token == "" {
		if f.User == "" || f.Password == "" {
			return errors.New("sign in: set LEASEHOLD_TOKEN, or LEASEHOLD_USER and LEASEHOLD_PASSWORD")
		}
		var t struct {
			Token string `json:"token"`
		}
		if err := f.do(ctx, "POST", "/tokens", map[string]string{"username": f.User, "password": f.Password}, &t); err != nil {
			return err
		}
		f.Token = t.Token
	}
	return nil
}

func (f *apiFlags) do(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, f.Server+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if f.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.Token)
	}
	resp, err := apiClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return refusal(resp, b)
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = b
		return nil
	}
	return json.Unmarshal(b, out)
}

// refusal is an answer that is none, with its body.
func refusal(resp *http.Response, body []byte) error {
	var d problem.Details
	if json.Unmarshal(body, &d) != nil || d.Detail == "" {
		return fmt.Errorf("the server says %s", resp.Status)
	}
	return &d
}

type sessionCmd struct {
	List   sessionList   `cmd:"" help:"List sessions."`
	Show   sessionShow   `cmd:"" help:"Show one session with its history."`
	Evict  sessionEvict  `cmd:"" help:"Close the app; the user may run it again."`
	Expire sessionExpire `cmd:"" help:"Let the session never run again; the user may launch another."`
	Kill   sessionKill   `cmd:"" help:"End a streamed session at once."`
	Cancel sessionCancel `cmd:"" help:"End a streamed session that is starting."`

	Message sessionMessage `cmd:"" help:"Show the users of open apps a text."`

	Export sessionExport `cmd:"" help:"Write every session that matches to a file."`
}

type sessionList struct {
	apiFlags
	Text string `arg:"" optional:"" name:"text" help:"As --query."`
	filterFlags
	Sort      string `help:"Column to sort by, with - before it for descending, as --sort=-duration." default:"-id"`
	PageSize  int    `help:"Rows a page, 1 to 500." default:"50"`
	PageToken string `help:"From the page before."`
}

// Run is leasehold session list.
func (c *sessionList) Run(ctx context.Context, std *stdio) error {
	f, err := c.with(c.Text)
	if err != nil {
		return err
	}
	q := f.Values()
	q.Set("sort", c.Sort)
	q.Set("page_size", strconv.Itoa(c.PageSize))
	if c.PageToken != "" {
		q.Set("page_token", c.PageToken)
	}
	var raw json.RawMessage
	if err := c.call(ctx, "GET", "/sessions?"+q.Encode(), nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(std.Out, raw)
	}
	var out struct {
		Sessions      []adminapi.Session `json:"sessions"`
		NextPageToken string             `json:"next_page_token"`
		Total         struct {
			Count int
			Exact bool
		}
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NO.\tUSER\tAPP\tDEVICE\tSTATUS\tSINCE")
	for _, s := range out.Sessions {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.User.Name, s.App.Name, where(&s), statusText(&s), s.StatusSince.Local().Format(time.DateTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	more := ""
	if !out.Total.Exact {
		more = "more than "
	}
	noun := "sessions"
	if out.Total.Count == 1 {
		noun = "session"
	}
	fmt.Fprintf(std.Out, "%s%d %s\n", more, out.Total.Count, noun)
	if out.NextPageToken != "" {
		fmt.Fprintf(std.Out, "next page: --page-token %s\n", out.NextPageToken)
	}
	return nil
}

func where(s *adminapi.Session) string {
	switch {
	case s.Device != nil:
		return s.Device.Name
	case s.Host != nil:
		return s.Host.Name
	}
	return "-"
}

// statusText shows what is wanted and how far it has got.
func statusText(s *adminapi.Session) string {
	t := s.Status.Label()
	if o := s.Order; o != nil && !s.StatusSince.After(o.RequestedAt) {
		switch {
		case o.ClosedAt == nil && o.ClosesAt != nil:
			t += ", closes at " + o.ClosesAt.Local().Format(time.TimeOnly)
		case o.ClosedAt == nil:
			t += ", closes by " + o.ETA.Local().Format(time.TimeOnly) + " at the latest"
		default:
			t += ", closed " + o.ClosedAt.Local().Format(time.TimeOnly)
		}
	}
	return t
}

func writeJSON(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}

type sessionShow struct {
	apiFlags
	ID int64 `arg:"" help:"The session's number."`
}

// Run is leasehold session show.
func (c *sessionShow) Run(ctx context.Context, std *stdio) error {
	path := fmt.Sprintf("/sessions/%d", c.ID)
	var raw json.RawMessage
	if err := c.call(ctx, "GET", path, nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(std.Out, raw)
	}
	var s adminapi.Session
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	var h struct {
		Transitions []struct {
			From, To, Actor, Reason string
			At                      time.Time
		}
	}
	if err := c.call(ctx, "GET", path+"/transitions", nil, &h); err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "session\t%d\nuser\t%s (%s)\napp\t%s\ndevice\t%s\nstatus\t%s\nreason\t%s\nobserved\t%s since %s\n",
		s.ID, s.User.Name, s.User.Username, s.App.Name, where(&s), statusText(&s), s.StatusReason, s.Observed.State, s.Observed.Since.Local().Format(time.DateTime))
	if s.Lease != nil {
		fmt.Fprintf(w, "lease\tgeneration %d until %s\n", s.Lease.Generation, s.Lease.ExpiresAt.Local().Format(time.DateTime))
	}
	if o := s.Order; o != nil {
		fmt.Fprintf(w, "order\t%s by %s at %s\n", o.Action, o.RequestedBy, o.RequestedAt.Local().Format(time.DateTime))
		for _, step := range []struct {
			name string
			at   *time.Time
		}{{"delivered", o.DeliveredAt}, {"warned", o.WarnedAt}, {"closed", o.ClosedAt}} {
			if step.at != nil {
				fmt.Fprintf(w, "\t%s %s\n", step.name, step.at.Local().Format(time.DateTime))
			}
		}
	}
	fmt.Fprintln(w, "history\t")
	for _, t := range h.Transitions {
		fmt.Fprintf(w, "\t%s  %s by %s  %s\n", t.At.Local().Format(time.DateTime), t.To, t.Actor, t.Reason)
	}
	return w.Flush()
}
