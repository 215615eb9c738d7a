package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

var when = time.Date(2026, 3, 1, 9, 30, 0, 500_000_000, time.UTC)

// examples has one message of each kind with every field set.
var examples = map[string]any{
	"enrol":    &wire.Enrol{V: 1, Key: "k", Kind: wire.Player, Name: "LAB-204", OS: "linux", Arch: "amd64", Version: "1.2.3"},
	"enrolled": &wire.Enrolled{V: 1, AgentID: 7, Credential: "7.secret", Keys: json.RawMessage(`{"keys":[]}`)},
	"checkin": &wire.CheckIn{V: 1, Number: 18, Token: "t", Granted: 17, Epoch: 2, More: true, Complete: true,
		Observations: []wire.Observation{{Seq: 4, Session: 48213, Type: session.ObsStarted, At: when, Run: 2, Mark: 1, Method: 3},
			{Seq: 5, Session: 48213, Type: session.ObsWarned, At: when, Run: 2, Seconds: 120},
			{Seq: 6, Session: 48213, Type: session.ObsRevoked, At: when, UpTo: 2},
			{Seq: 7, Session: 48214, Type: session.ObsExited, At: when, Run: 1, Reason: "no display", Unproved: true}, {Seq: 8, Session: 48217, Type: session.ObsUp, At: when, Run: 1},
			{Seq: 9, Session: 48213, Type: session.ObsTold, At: when, Run: 2, UpTo: 1}},
		Sessions: []wire.SessionState{{Session: 48213, State: session.IsRunning, Run: 2, Mark: 1, Stored: 2, Ended: 1, Seen: 2, Guard: true, Holds: true, Progress: 42,
			Method: 3, RunMethod: 3, Upgrade: 4, Ready: true, Told: 1, Problem: "no room on the disk"},
			{Session: 48217, State: session.IsRunning, Run: 1, Up: true, Viewers: 2, UnwatchedSince: &when, IdleAt: &when}}, Slots: 8, Missing: []string{"Memory: the run has no cgroup of its own; a session can take all memory of the host"}},
	"answer": &wire.Answer{V: 1, Number: 18, Ack: wire.Ack{Epoch: 2, Seq: 7}, Token: "u",
		Leases:   []wire.Lease{{Session: 48213, Token: "jwt"}},
		Refusals: []wire.Refusal{{Session: 48214, Run: 1, Code: session.RefusedNoSeat, Message: "All 5 seats are in use."}},
		Directives: []wire.Directive{{Type: wire.DirRevoke, Session: 48213, UpTo: 3, Action: session.Evict, Reason: "exam"},
			{Type: wire.DirAdd, Session: 48215, App: &wire.App{Name: "MATLAB", DeliveryMethod: 3, Licence: lease.Floating, HeartbeatSeconds: 300, WarningsSeconds: []int{120, 60},
				ForceSeconds: 10, WaitSeconds: 30, User: "Ann Berg", Start: true, Package: &catalog.Package{OS: "linux", Type: catalog.Archive, URL: "https://example.org/a.zip", SHA256: strings.Repeat("a", 64), Command: []string{"bin/a"}}}},
			{Type: wire.DirAdd, Session: 48217, App: &wire.App{Name: "MATLAB", DeliveryMethod: 5, Licence: lease.Floating, HeartbeatSeconds: 10, ForceSeconds: 10, WaitSeconds: 30, User: "Ann Berg", Start: true,
				Stream: &wire.Stream{Geometry: "1280x800", ReconnectSeconds: 300, IdleSeconds: 3600, MaxSeconds: 43200, Clipboard: true}}},
			{Type: wire.DirView, Session: 48217, Ticket: "t1", URL: "https://node-1.example.org"},
			{Type: wire.DirMessage, Session: 48213, Message: &wire.Message{N: 2, From: "olga", Text: "The licence server\nstops at five.", At: when}},
			{Type: wire.DirOffer, Session: 48216}},
		NextMillis: 310000, NextEpoch: 3, JumpTo: 40, Quarantined: true, Keys: json.RawMessage(`{"keys":[]}`)},
	"redeem":   &wire.Redeem{V: 1, Ticket: "jwt"},
	"redeemed": &wire.Redeemed{V: 1, New: true, Directive: wire.Directive{Type: wire.DirAdd, Session: 48215}},
}

// TestGolden keeps the form of every message: agents that are out there speak it.
func TestGolden(t *testing.T) {
	for name, m := range examples {
		b, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, '\n')
		path := filepath.Join("testdata", name+".golden.json")
		if *update {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s is now\n%s", name, b)
		}
	}
	var m wire.CheckIn
	b, _ := os.ReadFile("testdata/checkin.golden.json")
	if err := wire.Decode(bytes.NewReader(b), &m); err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for _, bad := range []string{"", "null x", "[]", `{"v":1}{"v":1}`, `{"v":1,"x":2}`, `{"v":"1"}`, `{"number":-1}`, `{"sessions":{}}`, `{"v":1} trailing`} {
		var m wire.CheckIn
		err := wire.Decode(strings.NewReader(bad), &m)
		var e invalid.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var m wire.CheckIn
	if err := wire.Decode(strings.NewReader(`{"token":"`+strings.Repeat("x", wire.MaxBody)+`"}`), &m); err == nil {
		t.Error("a message over the limit is read")
	}
}

// FuzzCheckIn: no message, however malformed, is accepted that breaks a limit, and one
// that is accepted reads the same when written.
func FuzzCheckIn(f *testing.F) {
	for _, m := range examples {
		b, _ := json.Marshal(m)
		f.Add(b)
	}
	f.Add([]byte(`{"v":1,"number":1,"epoch":1,"observations":[{"seq":18446744073709551615,"session":1,"type":"added","at":"2026-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.CheckIn
		if wire.Decode(bytes.NewReader(b), &m) != nil || m.Validate() != nil {
			return
		}
		if len(m.Sessions) > wire.MaxSessions || len(m.Observations) > wire.MaxObservations || m.Number == 0 || m.V != wire.Version {
			t.Fatalf("accepted %+v", m)
		}
		out, err := json.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		var again wire.CheckIn
		if err := wire.Decode(bytes.NewReader(out), &again); err != nil {
			t.Fatalf("what was accepted is not read again: %v: %s", err, out)
		}
		if err := again.Validate(); err != nil {
			t.Fatalf("what was accepted is not valid again: %v: %s", err, out)
		}
	})
}
