// Package diff says which fields differ between two states of a record, for the audit
// log. It is pure, and knows no kind of record: every exported field counts unless it is in
// one of the tables here.
package diff

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"leasehold/internal/store"
)

// Secret is what is said of a secret instead of its text or hash.
const Secret = "changed"

// secrets are the fields that hold one, and what they are called.
var secrets = map[string]string{"PasswordHash": "password", "Credential": "credential", "Hash": "key"}

// ignored are the fields that say nothing of what somebody changed: numbers and times that
// the entry has itself, and what agents report all day.
var ignored = map[string]bool{"ID": true, "CreatedAt": true, "DeletedAt": true, "Seen": true, "Chain": true, "Epoch": true, "Seq": true, "UsedAt": true}

const (
	// maxText is how many characters of a value are kept.
	maxText = 2000
	// maxList is how many elements of a list are kept. Of a longer one those are that the other
	// side has not.
	maxList = 100
)

// Between returns the fields in which two structs of one type differ, or pointers to such, in
// their order. Before is nil for a record that was made, after for one that was deleted; then
// fields without a value are left out. Fields of a struct inside are named as
// licence.seats, elements of a list of structs as packages.0.url.
func Between(before, after any) []store.Change {
	b, a := flatten(before), flatten(after)
	var out []store.Change
	for _, f := range merged(b.order, a.order) {
		x, y := b.values[f], a.values[f]
		if x.same(y) {
			continue
		}
		c := store.Change{Field: f, Before: x.text(y), After: y.text(x)}
		if x.secret || y.secret {
			c.Before, c.After = hidden(x), hidden(y)
		}
		out = append(out, c)
	}
	return out
}

func hidden(v value) string {
	if !v.filled {
		return ""
	}
	return Secret
}

// merged is the fields of either side, in the order of both.
func merged(before, after []string) []string {
	out := slices.Clone(after)
	at := 0
	for _, f := range before {
		if i := slices.Index(out, f); i >= 0 {
			at = i + 1
			continue
		}
		out = slices.Insert(out, at, f)
		at++
	}
	return out
}

// value is a field's, as text or as the texts of a list. The zero value is that of a field
// that is not there.
type value struct {
	plain         string
	list          []string
	there, secret bool
	filled        bool // with a value
}

func (v value) same(o value) bool {
	if v.there != o.there {
		return !v.filled && !o.filled
	}
	return v.plain == o.plain && slices.Equal(v.list, o.list)
}

// text is the value as it is kept, beside the one on the other side.
func (v value) text(other value) string {
	s := v.plain
	if v.list != nil {
		list, rest := v.list, 0
		if len(list) > maxList {
			has := map[string]bool{}
			for _, x := range other.list {
				has[x] = true
			}
			list = slices.DeleteFunc(slices.Clone(list), func(x string) bool { return has[x] })
			list = list[:min(len(list), maxList)]
			rest = len(v.list) - len(list)
		}
		s = strings.Join(list, ", ")
		if rest > 0 {
			s = strings.TrimPrefix(fmt.Sprintf("%s and %d others", s, rest), " and ")
		}
	}
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return s
}

type record struct {
	order  []string
	values map[string]value
}

func flatten(x any) record {
	r := record{values: map[string]value{}}
	if v := reflect.ValueOf(x); v.IsValid() {
		r.add("", v)
	}
	return r
}

func (r *record) put(name string, v value) {
	v.there = true
	r.order, r.values[name] = append(r.order, name), v
}

func (r *record) add(name string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if !v.IsNil() {
			r.add(name, v.Elem())
		}
		return
	}
	switch {
	case isText(v):
		s := textOf(v)
		r.put(name, value{plain: s, filled: !v.IsZero()})
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || ignored[f.Name] {
				continue
			}
			if called, ok := secrets[f.Name]; ok {
				r.put(join(name, called), value{plain: fmt.Sprint(v.Field(i).Interface()), secret: true, filled: v.Field(i).Len() > 0})
				continue
			}
			r.add(join(name, fieldName(f)), v.Field(i))
		}
	case v.Kind() == reflect.Slice && (v.Type().Elem().Kind() != reflect.Struct || isText(reflect.Zero(v.Type().Elem()))):
		list := make([]string, v.Len())
		for i := range list {
			list[i] = textOf(v.Index(i))
		}
		if v.Type().Elem().Kind() == reflect.Int64 { // ids are a set
			ids := slices.Clone(v.Interface().([]int64))
			slices.Sort(ids)
			for i, id := range ids {
				list[i] = fmt.Sprint(id)
			}
		}
		r.put(name, value{list: list, filled: len(list) > 0})
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			r.add(fmt.Sprintf("%s.%d", name, i), v.Index(i))
		}
	default:
		panic(fmt.Sprintf("diff: %s is of type %v", name, v.Type())) // a record that no test has tried
	}
}

// isText reports whether a value is written as one text.
func isText(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Struct:
		_, ok := v.Interface().(fmt.Stringer) // a time, an address
		return ok
	}
	return false
}

func textOf(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v.Interface())
}

func join(outer, name string) string {
	if outer == "" {
		return name
	}
	return outer + "." + name
}

// fieldName is a field's name in the API: that of its JSON, or its own with underscores.
func fieldName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	var b strings.Builder
	var last rune
	for _, r := range strings.ReplaceAll(f.Name, "IDs", "Ids") {
		capital := 'A' <= r && r <= 'Z'
		if capital && 'a' <= last && last <= 'z' {
			b.WriteByte('_')
		}
		last = r
		if capital {
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
