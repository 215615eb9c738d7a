package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// seenField is the hidden field in which a form keeps what its record was like when the
// form was shown.
const seenField = "seen"

// unedited are the fields of records that no form changes.
var unedited = []string{"ID", "CreatedAt", "DeletedAt", "PasswordHash", "Credential", "Chain", "Epoch", "Seq", "Seen", "Version", "OS", "Arch", "Slots", "Missing", "Simulated", "Kind", "AppID", "Source"}

// maxTold is the longest value that a form keeps, and tells, as it is; of longer ones it
// keeps a hash.
const maxTold = 60

// seenOf is what a form shows of a record, by field.
func seenOf(x any) map[string]string {
	out := map[string]string{}
	v := reflect.Indirect(reflect.ValueOf(x))
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || slices.Contains(unedited, f.Name) {
			continue
		}
		text := fmt.Sprint(v.Field(i))
		switch v.Field(i).Kind() {
		case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer:
			b, err := json.Marshal(v.Field(i).Interface())
			if err != nil {
				panic("web: " + err.Error()) // plain records of ours
			}
			text = string(b)
		}
		if len(text) > maxTold {
			h := sha256.Sum256([]byte(text))
			text = "#" + hex.EncodeToString(h[:8])
		}
		out[f.Name] = text
	}
	return out
}

// seenText is seenOf as the hidden field carries it.
func seenText(x any) string {
	b, err := json.Marshal(seenOf(x))
	if err != nil {
		panic("web: " + err.Error()) // texts by text
	}
	return string(b)
}

// A staleError says that somebody else has changed a record since its form was shown.
type staleError struct{ changed []string }

func (e *staleError) Error() string {
	return "Somebody else has changed this meanwhile: " + strings.Join(e.changed, ", ") + ". Nothing was saved. What you entered is still here; save again to put it in place of theirs."
}

// fresh returns a *staleError if the record is not as the posted form showed it. It is
// called in the transaction that changes the record. A form without the field is not held to
// anything.
func (c *call) fresh(x any) error {
	var was map[string]string
	if err := json.Unmarshal([]byte(c.r.PostFormValue(seenField)), &was); err != nil {
		return nil
	}
	var changed []string
	for name, is := range seenOf(x) {
		old, known := was[name]
		if !known || old == is {
			continue
		}
		say := "“" + fieldName(x, name) + "”"
		if simple(old) && simple(is) {
			say += fmt.Sprintf(" from “%s” to “%s”", old, is)
		}
		changed = append(changed, say)
	}
	if len(changed) == 0 {
		return nil
	}
	slices.Sort(changed)
	return &staleError{changed}
}

// simple reports whether people can read a value as it is.
func simple(v string) bool { return v != "" && !strings.ContainsAny(v[:1], "#[{") && v != "null" }
