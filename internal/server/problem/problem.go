// Package problem turns errors into RFC 9457 problems, once, for every face that speaks
// JSON: what happened in words, which field is not right and what would be, and nothing
// that is not the caller's business.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// ContentType of a problem (RFC 9457, section 3).
const ContentType = "application/problem+json"

// Details is a problem. It is an error itself, so that a handler can return one.
type Details struct {
	Type      string       `json:"type,omitempty"` // about:blank unless said
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail,omitempty"`
	Code      string       `json:"code,omitempty" doc:"Why a launch or a lease was refused"`
	RequestID string       `json:"request_id,omitempty" doc:"The number under which the server's log has it"`
	Errors    []FieldError `json:"errors,omitempty" doc:"The fields that are not right"`

	RetryAfter time.Duration `json:"-"` // when to try again; 0 if that is not known
}

// FieldError is one field that is not right.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (d *Details) Error() string { return d.Detail }

// GetStatus is the HTTP status, as huma asks for it.
func (d *Details) GetStatus() int { return d.Status }

// ContentType is that of a problem whatever the answer's would have been, as huma asks.
func (d *Details) ContentType(string) string { return ContentType }

// New returns a problem of an HTTP status with a sentence about it.
func New(status int, detail string) *Details {
	return &Details{Title: http.StatusText(status), Status: status, Detail: detail}
}

// Of maps an error. An error that it does not know is the server's fault: it is logged
// under the request's number and the caller learns only that.
func Of(err error, log *slog.Logger, requestID string) *Details {
	var d *Details
	var bad invalid.Error
	var refused *session.RefusedError
	var denied *session.Refusal
	var tooMany *control.TooManyError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &d):
	case errors.As(err, &bad):
		d = New(http.StatusUnprocessableEntity, bad.Error())
		for _, f := range bad {
			d.Errors = append(d.Errors, FieldError{f.Name, f.Message})
		}
	case errors.As(err, &refused):
		d = New(http.StatusConflict, refused.Error())
	case errors.As(err, &denied):
		d = New(http.StatusForbidden, denied.Message)
		d.Code = string(denied.Code)
	case errors.As(err, &tooMany):
		d = New(http.StatusTooManyRequests, tooMany.What)
		d.RetryAfter = tooMany.After
	case errors.Is(err, store.ErrNotFound):
		d = New(http.StatusNotFound, "there is nothing with this number")
	case errors.Is(err, store.ErrBadPageToken):
		d = New(http.StatusUnprocessableEntity, "page_token belongs to another query")
		d.Errors = []FieldError{{"page_token", "must come from a page of the same query"}}
	case errors.Is(err, store.ErrNameTaken):
		d = New(http.StatusUnprocessableEntity, "name is taken")
		d.Errors = []FieldError{{"name", "is taken"}}
	case errors.Is(err, store.ErrInUse):
		d = New(http.StatusConflict, "something else still needs it")
	case errors.Is(err, control.ErrBusy):
		d = New(http.StatusConflict, control.ErrBusy.Error())
	case errors.Is(err, control.ErrBegun):
		d = New(http.StatusConflict, err.Error())
	case errors.Is(err, control.ErrTokenByToken):
		d = New(http.StatusForbidden, control.ErrTokenByToken.Error())
	case errors.Is(err, control.ErrMustChange):
		d = New(http.StatusForbidden, control.ErrMustChange.Error())
	case errors.Is(err, control.ErrDenied):
		d = New(http.StatusForbidden, control.ErrDenied.Error())
	case errors.Is(err, control.ErrSignIn):
		d = New(http.StatusUnauthorized, control.ErrSignIn.Error())
	case errors.Is(err, control.ErrBadCredential):
		d = New(http.StatusUnauthorized, control.ErrBadCredential.Error())
	case errors.Is(err, control.ErrBadKey):
		d = New(http.StatusUnauthorized, control.ErrBadKey.Error())
	case errors.Is(err, control.ErrLastAdmin):
		d = New(http.StatusConflict, control.ErrLastAdmin.Error())
	case errors.Is(err, control.ErrTicketUsed):
		d = ticket(http.StatusConflict, control.ErrTicketUsed)
	case errors.Is(err, control.ErrTicketOver):
		d = ticket(http.StatusGone, control.ErrTicketOver)
	case errors.Is(err, lease.ErrForged):
		d = New(http.StatusUnprocessableEntity, "ticket was not signed by this server")
		d.Errors = []FieldError{{"ticket", "must be a launch link of this server"}}
	case errors.Is(err, wire.ErrVersion):
		d = New(http.StatusBadRequest, "this server speaks version 1 of the protocol")
		d.Errors = []FieldError{{"v", "must be 1"}}
	case errors.As(err, &tooLarge):
		d = New(http.StatusRequestEntityTooLarge, "the body is larger than this call takes")
		d.Errors = []FieldError{{"body", "is too large"}}
	case errors.Is(err, store.ErrLocked):
		d = New(http.StatusServiceUnavailable, "another transaction has locked what this needs; try again in a moment")
	case errors.Is(err, lease.ErrNoReading):
		d = New(http.StatusServiceUnavailable, "this server cannot read the lease clock at the moment; try again in a second")
	case errors.Is(err, context.Canceled):
		d = New(499, "the caller has gone")
	case errors.Is(err, context.DeadlineExceeded):
		d = New(http.StatusServiceUnavailable, "the server is busy; try again")
	default:
		log.Error("request failed", "request", requestID, "err", err)
		d = Fault()
	}
	c := *d
	c.RequestID = requestID
	return &c
}

// Fault returns the problem of what is the server's fault. Its RequestID says where the log
// tells more.
func Fault() *Details {
	return New(http.StatusInternalServerError, "it is the server's fault; its log has it under this request_id")
}

func ticket(status int, err error) *Details {
	d := New(status, err.Error())
	d.Errors = []FieldError{{"ticket", err.Error()}}
	return d
}

// SetRetryAfter says in a response's headers when to try again, in whole seconds, unless that
// is 0 (RFC 9110, section 10.2.3).
func SetRetryAfter(h http.Header, after time.Duration) {
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
}

// Write sends a problem.
func Write(w http.ResponseWriter, d *Details) {
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Cache-Control", "no-store")
	if d.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	SetRetryAfter(w.Header(), d.RetryAfter)
	w.WriteHeader(d.Status)
	json.NewEncoder(w).Encode(d)
}
