package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"leasehold/internal/auth"
	"leasehold/internal/calendar"
	"leasehold/internal/export"
	"leasehold/internal/invalid"
	"leasehold/internal/server/download"
	"leasehold/internal/store"
)

// AuditFilter selects entries of the audit log.
type AuditFilter struct {
	Who    string `query:"who" maxLength:"200" doc:"Contains, any case: who did it, as admin ann"`
	Action string `query:"action" maxLength:"100" doc:"Only this action, as session.evict"`
	Target string `query:"target" maxLength:"200" doc:"Contains, any case: what it is about, as app 12, or its name"`
	From   string `query:"from" doc:"At or after: a date or an RFC 3339 time"`
	To     string `query:"to" doc:"Before this time, or on this date at the latest"`
	TZ     string `query:"tz" doc:"Time zone of dates, as Europe/Berlin; that of the settings by default"`
}

// query is the filter as the use cases take it, with its zone.
func (s *Server) auditQuery(ctx context.Context, f *AuditFilter) (q store.AuditQuery, zone *time.Location, err error) {
	q = store.AuditQuery{Who: f.Who, Action: f.Action, Target: f.Target}
	var e invalid.Error
	if f.TZ == "" {
		set, err := s.Control.Settings(ctx)
		if err != nil {
			return q, nil, err
		}
		zone = set.Location()
	} else if zone, err = calendar.Zone(f.TZ); err != nil {
		return q, nil, invalid.Of("tz", "must be a time zone, as Europe/Berlin")
	}
	q.From, q.To = e.Period(f.From, f.To, zone)
	return q, zone, e.Err()
}

func (s *Server) audit() {
	type AuditInput struct {
		AuditFilter
		PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
		PageToken string `query:"page_token" maxLength:"50"`
	}
	type AuditOutput struct {
		Body struct {
			Audit         []store.AuditEntry `json:"audit"`
			NextPageToken string             `json:"next_page_token"`
		}
	}
	op(s, auth.AdminOnly, "GET", "/audit", "list-audit", "What people, agents and the server did and were refused, newest first", func(ctx context.Context, in *AuditInput) (*AuditOutput, error) {
		q, _, err := s.auditQuery(ctx, &in.AuditFilter)
		if err != nil {
			return nil, err
		}
		q.Page = store.Page{Size: in.PageSize, Token: in.PageToken}
		list, next, err := s.Control.Audit(ctx, q)
		if err != nil {
			return nil, err
		}
		out := &AuditOutput{}
		out.Body.Audit, out.Body.NextPageToken = append([]store.AuditEntry{}, list...), next
		return out, nil
	})
	s.exportAudit()
}

func (s *Server) exportAudit() {
	type Input struct {
		AuditFilter
		Format export.Format `query:"format" default:"csv" enum:"csv,ndjson"`
		BOM    bool          `query:"bom" doc:"Begin a CSV file with a byte-order mark, by which Excel knows UTF-8"`
	}
	op(s, auth.AdminOnly, "GET", "/audit/export", "export-audit", "Every entry of the audit log that matches, as a file", func(ctx context.Context, in *Input) (*huma.StreamResponse, error) {
		q, zone, err := s.auditQuery(ctx, &in.AuditFilter)
		if err != nil {
			return nil, err
		}
		o := export.Options{Format: in.Format, BOM: in.BOM, Zone: zone}
		return s.file(ctx, func(w http.ResponseWriter, r *http.Request) error {
			return download.Audit(w, r, s.Control, s.Log, whoOf(ctx), q, o)
		}), nil
	}, fileOf("A header, and a line for each entry"))
}
