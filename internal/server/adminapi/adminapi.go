// Package adminapi is the server's REST face, described by the OpenAPI document that it
// serves: what people's programs and the command line use. Every operation declares who
// may call it; bodies are strict, errors are RFC 9457 problems that name the field.
package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/server/problem"
)

// Server serves the REST API.
type Server struct {
	Control  *control.Control
	Log      *slog.Logger
	Version  string
	ClientIP func(*http.Request) string

	api       huma.API
	opsMux    *operations
	described func() ([]byte, error) // the OpenAPI description, made once
}

const prefix = "/api/v1"

// maxBody is the largest body that an operation reads, in bytes.
const maxBody = 1 << 20

type contextKey int

const (
	whoKey   contextKey = iota
	tokenKey            // int64: the API token that the caller was let in by
)

// whoOf is the caller, as the gate found out.
func whoOf(ctx context.Context) control.Who {
	w, _ := ctx.Value(whoKey).(control.Who)
	return w
}

// Register adds the API's routes, each with its operation's access.
func (s *Server) Register(r *auth.Routes) {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		d := problem.New(status, msg)
		for _, err := range errs {
			if x, ok := err.(huma.ErrorDetailer); ok {
				e := x.ErrorDetail()
				d.Errors = append(d.Errors, fieldError(e.Location, e.Message))
			}
		}
		if status == http.StatusRequestEntityTooLarge {
			d.Errors = []problem.FieldError{{Field: "body", Message: fmt.Sprintf("must have at most %d bytes", maxBody)}}
		}
		if len(d.Errors) > 0 {
			d.Detail = d.Errors[0].Field + ": " + d.Errors[0].Message
		}
		return d
	}
	cfg := huma.DefaultConfig("Leasehold", s.Version)
	cfg.Info.Description = "See every app session, know what it is really doing, and end it."
	cfg.OpenAPIPath = ""
	cfg.DocsPath = ""
	cfg.SchemasPath = ""
	cfg.CreateHooks = nil
	cfg.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	cfg.RejectUnknownQueryParameters = true
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer", Description: "A token of POST /tokens"}}
	cfg.Servers = []*huma.Server{{URL: prefix}}
	mux := &operations{s: s, routes: r}
	s.api = humago.New(mux, cfg)
	s.opsMux = mux
	s.sessions()
	s.export()
	s.launches()
	s.tokens()
	s.enrolmentKeys()
	s.apps()
	s.methods()
	s.users()
	s.groups()
	s.provisions()
	s.agents()
	s.audit()
	s.batches()
	s.housekeeping()
	s.revoke()
	s.seats()
	s.described = sync.OnceValues(s.api.OpenAPI().MarshalJSON)
	r.Handle("GET "+prefix+"/openapi.json", auth.Public, s.gate, http.HandlerFunc(s.openapi))
	r.Handle(prefix+"/", auth.Public, s.gate, http.HandlerFunc(s.unknown))
}

// jsonFormat writes an answer whole or not at all. One that cannot be written is a fault of
// the program: huma would send a status of success and half a sentence, so it panics, which
// becomes a problem of its own.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(fmt.Errorf("adminapi: an answer that cannot be written: %w", err))
		}
		_, err := b.WriteTo(w)
		return err
	},
	Unmarshal: json.Unmarshal,
}

var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// ours are huma's messages in the words of our own. An empty choice in a list of words is
// there for what is left out, and is nothing to write.
var ours = []struct {
	huma *regexp.Regexp
	say  string
}{
	{regexp.MustCompile(`^expected value to be one of "(?:, )?(.*)"$`), "must be one of $1"},
	{regexp.MustCompile(`^expected number >= (.*)$`), "must be at least $1"},
	{regexp.MustCompile(`^expected number <= (.*)$`), "must be at most $1"},
}

// misfit is how encoding/json names the field of a number that fits the schema, but not the
// type: it is too large.
var misfit = regexp.MustCompile(`^json: cannot unmarshal number .* into Go (?:struct field [^.\s]*\.(\S+)|value) of type u?int`)

// fieldError turns huma's "body.packages[0].type" into ours, "packages.0.type", and names
// the field that is missing where huma names what it is missing from.
func fieldError(loc, message string) problem.FieldError {
	if m := missing.FindStringSubmatch(message); m != nil {
		loc, message = loc+"."+m[1], "is required"
	} else if m := misfit.FindStringSubmatch(message); m != nil {
		message = outOfRange
		if m[1] != "" {
			loc = m[1]
		}
	}
	for _, o := range ours {
		message = o.huma.ReplaceAllString(message, o.say)
	}
	for _, p := range []string{"body.", "query.", "path."} {
		loc = strings.TrimPrefix(loc, p)
	}
	return problem.FieldError{Field: strings.NewReplacer("[", ".", "]", "").Replace(loc), Message: message}
}

// operations is the mux that huma adds its operations to: it finds each one's access and
// hands it to the routes.
type operations struct {
	s      *Server
	routes *auth.Routes
	next   auth.Access
}

func (o *operations) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	method, path, _ := strings.Cut(pattern, " ")
	o.routes.Handle(method+" "+prefix+path, o.next, o.s.gate, http.HandlerFunc(h))
	o.next = 0 // the next operation declares its own
}

func (o *operations) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.routes.ServeHTTP(w, r) }

// op adds an operation to the API. Errors are mapped here, for all of them.
func op[I, O any](s *Server, a auth.Access, method, path, id, summary string, fn func(context.Context, *I) (*O, error), opts ...func(*huma.Operation)) {
	o := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		Tags: []string{strings.Split(strings.TrimPrefix(path, "/"), "/")[0]}}
	if a != auth.Public {
		o.Security = []map[string][]string{{"bearer": {}}}
	}
	o.Extensions = map[string]any{"x-access": a.String()}
	for _, f := range opts {
		f(&o)
	}
	s.opsMux.next = a
	huma.Register(s.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			d := problem.Of(err, s.Log, requestID(ctx))
			problem.SetRetryAfter(headerOf(ctx), d.RetryAfter)
			return nil, d
		}
		return out, nil
	})
}

func status(code int) func(*huma.Operation) {
	return func(o *huma.Operation) { o.DefaultStatus = code }
}

type requestKey struct{}

// headerKey is of the response's header, which huma's errors cannot set.
type headerKey struct{}

func headerOf(ctx context.Context) http.Header {
	h, _ := ctx.Value(headerKey{}).(http.Header)
	return h
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// gate lets in whom the access names: bearers of an API token.
func (s *Server) gate(a auth.Access, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := w.Header().Get("X-Request-Id")
		ctx := context.WithValue(context.WithValue(r.Context(), requestKey{}, id), headerKey{}, w.Header())
		w.Header().Set("Cache-Control", "no-store")
		if a != auth.Public {
			u, t, err := s.bearer(ctx, r.Header.Get("Authorization"))
			if err == nil {
				control.RequestOf(ctx).Actor = control.WhoIs(u, "").Actor().String()
			}
			switch {
			case err != nil:
			case a == auth.AdminOnly && u.Role != directory.RoleAdmin:
				err = control.ErrDenied
			case !t.Scopes.Allow(r.Method):
				err = problem.New(http.StatusForbidden, "this token may only read; make one with the scope write")
			}
			if err != nil {
				problem.Write(w, problem.Of(err, s.Log, id))
				return
			}
			ctx = context.WithValue(context.WithValue(ctx, whoKey, control.WhoIs(u, s.ClientIP(r))), tokenKey, t.ID)
		} else {
			ctx = context.WithValue(ctx, whoKey, control.Who{From: s.ClientIP(r)})
		}
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

func unauthorized(detail string) error { return problem.New(http.StatusUnauthorized, detail) }

func (s *Server) openapi(w http.ResponseWriter, r *http.Request) {
	b, err := s.described()
	if err != nil {
		problem.Write(w, problem.Of(err, s.Log, requestID(r.Context())))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b)
}

func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	d := problem.New(http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path+"; see "+prefix+"/openapi.json")
	d.RequestID = requestID(r.Context())
	problem.Write(w, d)
}
