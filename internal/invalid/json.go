package invalid

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// JSON turns an error of encoding/json's decoder into one that names the field. Errors
// that are not about the input's form come back as they are.
func JSON(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ):
		field := typ.Field
		if field == "" {
			field = "body"
		}
		return Of(field, "must be %s, not %s", words[typ.Type.Kind().String()], typ.Value)
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Of("body", "must be one JSON object")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		return Of(name, "is not a known field")
	case strings.HasPrefix(err.Error(), "parsing time"), strings.HasPrefix(err.Error(), "Time."):
		return Of("body", "has a time that is not RFC 3339")
	}
	return err
}

var words = map[string]string{
	"int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0", "uint32": "a whole number from 0",
	"string": "a text", "bool": "true or false", "slice": "a list", "struct": "an object", "map": "an object", "ptr": "an object",
}
