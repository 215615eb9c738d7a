package main

import "testing"

func TestFieldOf(t *testing.T) {
	const answer = `{"id": 7, "session": {"id": 48213, "name": "a \"b\""}, "users": [{"id": 1}], "none": null}`
	for path, want := range map[string]string{"id": "7", "session.id": "48213", "session.name": `a "b"`, "users.0.id": "1", "users.0": `{"id": 1}`} {
		if got, err := fieldOf([]byte(answer), path); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "nothing", "id.x", "users.1", "users.-1", "session.", "users.x"} {
		if got, err := fieldOf([]byte(answer), path); err == nil {
			t.Errorf("%s: %q", path, got)
		}
	}
}
