package invalid

import (
	"errors"
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for s, want := range map[string]string{
		"Ann": "", "Zoë 🙂 (2)": "", "": "is required", "a\xff": "must be UTF-8 text", strings.Repeat("é", 10): "", strings.Repeat("é", 11): "must have at most 10 characters",
		"a\x00": "must not contain control characters", "a\nb": "must not contain " + Hidden, "a\u200db": "must not contain " + Hidden, "\u202eab": "must not contain " + Hidden,
	} {
		var e Error
		e.Name("name", s, 1, 10)
		if want == "" && e.Err() != nil || want != "" && (len(e) != 1 || e[0] != Field{"name", want}) {
			t.Errorf("%q: %v, want %q", s, e.Err(), want)
		}
	}
}

func TestExcept(t *testing.T) {
	all := Error{{"name", "is bad"}, {"role", "is bad"}}
	if err := Except(all, map[string]bool{"name": true, "role": false}); err == nil || err.Error() != "role is bad" {
		t.Errorf("%v", err)
	}
	if err := Except(all, map[string]bool{"name": true, "role": true}); err != nil {
		t.Errorf("%v", err)
	}
	if len(all) != 2 || all[0].Name != "name" {
		t.Errorf("changed what it was given: %v", all)
	}
	other := errors.New("other")
	if Except(other, nil) != other || Except(nil, nil) != nil {
		t.Error("another error is changed")
	}
}
