package adminapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"leasehold/internal/server/problem"
)

// tagged is an answer with one record that can be changed, and its entity tag (RFC 9110,
// section 8.8.3), which a PATCH sends back as If-Match.
type tagged[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

// record answers one record.
func record[T any](v T, err error) (*tagged[T], error) {
	if err != nil {
		return nil, err
	}
	return &tagged[T]{etag(v), v}, nil
}

// A steady record says which part of it an administrator changes; the rest, as when a device
// was last seen, makes no other version of it.
type steady interface{ steady() any }

// etag names a version of a record by its content.
func etag(v any) string {
	if s, ok := v.(steady); ok {
		v = s.steady()
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("adminapi: " + err.Error()) // what is answered can be written
	}
	h := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(h[:12]) + `"`
}

// MatchInput lets a change be refused if the record is not as its caller saw it.
type MatchInput struct {
	IfMatch string `header:"If-Match" doc:"The ETag of the record as you read it: the change is refused with 412 if somebody else has changed it since"`
}

// match returns a problem of status 412 unless the record, as it is in the transaction that
// changes it, has a tag that the caller named (RFC 9110, section 13.1.1). Without If-Match
// the change is made whatever the record is.
func (in *MatchInput) match(current any) error {
	if strings.TrimSpace(in.IfMatch) == "" {
		return nil
	}
	tag := etag(current)
	for t := range strings.SplitSeq(in.IfMatch, ",") {
		if t = strings.TrimSpace(t); t == "*" || t == tag {
			return nil
		}
	}
	return problem.New(http.StatusPreconditionFailed, "somebody has changed it since you read it; nothing was changed. Read it again, its ETag is now "+tag)
}

// UpdateInput is the number of what is changed, and the version that its caller saw.
type UpdateInput struct {
	IDInput
	MatchInput
}
