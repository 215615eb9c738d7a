package download

import (
	"log/slog"
	"net/http"

	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/store"
)

// Audit sends every entry of the audit log that matches, as [Sessions] sends sessions.
func Audit(w http.ResponseWriter, r *http.Request, c *control.Control, log *slog.Logger, who control.Who, q store.AuditQuery, o export.Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	out := export.NewAuditWriter(w, o)
	return send(w, r, log, periodName("audit", q.From, q.To, o), o, func(step func(func() error) error) error {
		return c.ExportAudit(r.Context(), who, q, string(o.Format), func(list []store.AuditEntry) error {
			return step(func() error {
				for i := range list {
					if err := out.Write(&list[i]); err != nil {
						return err
					}
				}
				return out.Flush()
			})
		})
	})
}
