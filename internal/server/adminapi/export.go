package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"leasehold/internal/auth"
	"leasehold/internal/calendar"
	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/server/download"
	"leasehold/internal/server/problem"
)

type exportInput struct {
	Filter
	Format export.Format `query:"format" default:"csv" enum:"csv,ndjson"`
	BOM    bool          `query:"bom" doc:"Begin a CSV file with a byte-order mark, by which Excel knows UTF-8"`
}

const exportAbout = `Every session that matches, in one file, however many there are: those of the list; of streams, deleted ones too.
Whole days are those of tz, both ends included. A file that ends before its last chunk is not whole: the connection was broken off.

CSV is RFC 4180 with a header; its times are YYYY-MM-DD hh:mm:ss in the zone that the last column names. A text that a spreadsheet
would run as a formula has an apostrophe before it (OWASP, "CSV Injection"). NDJSON has a JSON object a line, texts as they are and
times with their offset.`

func (s *Server) export() {
	const path = "/sessions/export"
	op(s, auth.AdminOnly, "GET", path, "export-sessions", "Every session that matches, as a file", func(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
		if in.TZ == "" {
			set, err := s.Control.Settings(ctx)
			if err != nil {
				return nil, err
			}
			in.TZ = set.TimeZone
		}
		q, err := in.Filter.query(time.Now())
		if err != nil {
			return nil, err
		}
		zone, err := calendar.Zone(in.TZ)
		if err != nil {
			return nil, err // query has taken it
		}
		o := export.Options{Format: in.Format, BOM: in.BOM, Zone: zone}
		return s.file(ctx, func(w http.ResponseWriter, r *http.Request) error {
			return download.Sessions(w, r, s.Control, s.Log, whoOf(ctx), q, o)
		}), nil
	}, func(o *huma.Operation) { o.Description = exportAbout }, fileOf("A header, and a line for each session"))
	for _, p := range s.api.OpenAPI().Paths[path].Get.Parameters {
		if p.Name == "tz" {
			p.Description = "Time zone of dates, and of all times in the file, as Europe/Berlin; that of the settings by default"
		}
	}
}

// file answers with a file that send writes, as long as the caller's token is good.
func (s *Server) file(ctx context.Context, send func(http.ResponseWriter, *http.Request) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		token, _ := ctx.Value(tokenKey).(int64)
		inner, closed, err := s.Control.Open(ctx, control.Download, whoOf(ctx).UserID, control.By{Token: token})
		if err == nil {
			defer closed()
			err = send(w, r.WithContext(inner))
		}
		if err != nil {
			problem.Write(w, problem.Of(err, s.Log, requestID(ctx)))
		}
	}}
}

// fileOf describes the answer of an operation that sends a file.
func fileOf(csv string) func(*huma.Operation) {
	text := func(about string) *huma.MediaType {
		return &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: about}}
	}
	return func(o *huma.Operation) {
		o.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{
			"text/csv":             text(csv),
			"application/x-ndjson": text("A JSON object a line"),
		}}}
	}
}
