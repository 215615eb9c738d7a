package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Change is a field of a PATCH body: left out, null, or a value. In a Change of a pointer
// null stands for none, as it does where the API shows the field; any other field has no
// none, and null is refused there rather than taken for a field that was left out.
type Change[T any] struct {
	given bool
	bad   string // why what was given cannot be taken
	value T
}

// UnmarshalJSON takes what the body gives. What is wrong with it is told by Resolve,
// which knows the field's name.
func (c *Change[T]) UnmarshalJSON(b []byte) error {
	c.given = true
	if !c.nullable() && bytes.Equal(b, []byte("null")) {
		c.bad = "must not be null; leave it out to keep it"
	} else if err := json.Unmarshal(b, &c.value); err != nil {
		c.bad = "cannot be read as what this field holds"
		if typ := (*json.UnmarshalTypeError)(nil); errors.As(err, &typ) && strings.HasPrefix(typ.Value, "number ") {
			c.bad = outOfRange
		}
	}
	return nil
}

// outOfRange is what is wrong with a number that fits the schema and not the type.
const outOfRange = "has a number that is too large"

func (c *Change[T]) nullable() bool { return reflect.TypeFor[T]().Kind() == reflect.Pointer }

// Resolve names the field if what was given cannot be taken.
func (c *Change[T]) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if c.bad == "" {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: at.String(), Message: c.bad}}
}

// Schema is the value's schema, or null where that stands for none.
func (c *Change[T]) Schema(r huma.Registry) *huma.Schema {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	// What a reference leads to is the same object where it cannot be null.
	s := *r.Schema(t, !c.nullable(), "")
	s.Nullable = c.nullable()
	return &s
}

// patch sets what a PATCH body gives.
func patch[T any](to *T, from Change[T]) {
	if from.given {
		*to = from.value
	}
}

// patchNone sets what a PATCH body gives; null is the zero value, which stands for none.
func patchNone[T any](to *T, from Change[*T]) {
	if !from.given {
		return
	}
	var none T
	*to = none
	if from.value != nil {
		*to = *from.value
	}
}
