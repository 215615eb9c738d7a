package export

import (
	"bufio"
	"encoding/json"
	"io"
	"time"

	"leasehold/internal/session"
)

type jsonWriter struct {
	buf  *bufio.Writer
	enc  *json.Encoder
	zone *time.Location
}

func newJSON(w io.Writer, o Options) *jsonWriter {
	buf := bufio.NewWriter(w)
	j := &jsonWriter{buf: buf, enc: json.NewEncoder(buf), zone: o.zone()}
	j.enc.SetEscapeHTML(false) // nobody puts it into a page
	return j
}

// line is a row in JSON, under the API's names where it has the same.
type line struct {
	ID              int64          `json:"id"`
	Name            string         `json:"name"`
	Username        string         `json:"username"`
	Email           string         `json:"email"`
	App             string         `json:"app"`
	StartedAt       *time.Time     `json:"started_at"`
	DurationSeconds int64          `json:"duration_seconds"`
	Status          session.Status `json:"status"`
	Kind            session.Kind   `json:"kind"`
	StatusReason    string         `json:"status_reason"`
	DeliveryMethod  string         `json:"delivery_method"`
	Provision       string         `json:"provision"`
	Agent           string         `json:"device_or_host"`
	FirstRunAt      *time.Time     `json:"first_run_at"`
	LastActivityAt  *time.Time     `json:"last_activity_at"`
	EndedAt         *time.Time     `json:"ended_at"`
	DeletedAt       *time.Time     `json:"deleted_at"`
}

func (j *jsonWriter) write(r *Row) error {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.In(j.zone)
		return &t
	}
	return j.enc.Encode(&line{
		ID: r.ID, Name: r.Name, Username: r.Username, Email: r.Email, App: r.App,
		StartedAt: at(r.StartedAt), DurationSeconds: int64(r.Duration / time.Second), Status: r.Status,
		Kind: r.Kind, StatusReason: r.Reason, DeliveryMethod: r.DeliveryMethod, Provision: r.Provision, Agent: r.Agent,
		FirstRunAt: at(r.FirstRunAt), LastActivityAt: at(r.LastActivityAt), EndedAt: at(r.EndedAt), DeletedAt: at(r.DeletedAt),
	})
}

func (j *jsonWriter) flush() error { return j.buf.Flush() }
