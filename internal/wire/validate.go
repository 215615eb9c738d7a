package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

// Decode reads one JSON message of at most MaxBody bytes into m, strictly: no unknown
// field, nothing after it. Errors are an [invalid.Error] or wrap the reader's.
func Decode(r io.Reader, m any) error {
	b, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return fmt.Errorf("wire: read: %w", err)
	}
	if len(b) > MaxBody {
		return invalid.Of("body", "must have at most %d bytes", MaxBody)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return invalid.JSON(err)
	}
	if d.More() {
		return invalid.Of("body", "must hold one JSON value and nothing after it")
	}
	return nil
}

// Validate returns [ErrVersion] or an [invalid.Error] that names each field which is not right.
func (m *Enrol) Validate() error {
	if m.V != Version {
		return ErrVersion
	}
	var e invalid.Error
	e.OneOf("kind", string(m.Kind), string(Player), string(Host))
	e.Name("name", m.Name, 1, 200)
	e.Text("os", m.OS, 1, 20)
	e.Text("arch", m.Arch, 1, 20)
	e.Text("version", m.Version, 0, 100)
	e.Text("key", m.Key, 1, 200)
	return e.Err()
}

// Validate returns [ErrVersion] or an [invalid.Error] that names each field which is not right.
func (m *Redeem) Validate() error {
	if m.V != Version {
		return ErrVersion
	}
	var e invalid.Error
	e.Text("ticket", m.Ticket, 1, 4096)
	return e.Err()
}

// Validate returns [ErrVersion] or an [invalid.Error] that names each field which is not right.
func (m *Forget) Validate() error {
	if m.V != Version {
		return ErrVersion
	}
	if m.User <= 0 {
		return invalid.Of("user", "must be the number of a user")
	}
	return nil
}

// maxGeneration bounds generations, runs' marks and the like, so that a forged report
// cannot push a counter to its end.
const maxGeneration = 1 << 40

// maxLeft is longer than any lease lives (catalog: offline_seconds).
const maxLeft = 400 * 24 * time.Hour

// maxTold is the same for the numbers of messages.
const maxTold = 1 << 30

// Plausible reports whether a time can be one at which something happens to a session, and
// not what a clock shows that was never set: it is in the years 2000 to 9000, in UTC.
func Plausible(t time.Time) bool {
	y := t.UTC().Year()
	return y >= 2000 && y <= 9000
}

// Validate returns [ErrVersion] or an [invalid.Error] that names each field which is not right.
func (m *CheckIn) Validate() error {
	if m.V != Version {
		return ErrVersion
	}
	var e invalid.Error
	if m.Number == 0 || m.Number > maxGeneration {
		e.Add("number", "must be between 1 and %d", int64(maxGeneration))
	}
	if m.Granted >= max(m.Number, 1) {
		e.Add("granted", "must be below number")
	}
	if m.Epoch == 0 || m.Epoch > maxGeneration {
		e.Add("epoch", "must be between 1 and %d", int64(maxGeneration))
	}
	if len(m.Token) > 100 {
		e.Add("token", "must have at most 100 bytes")
	}
	if len(m.Observations) > MaxObservations {
		e.Add("observations", "must have at most %d entries", MaxObservations)
	}
	if len(m.Sessions) > MaxSessions {
		e.Add("sessions", "must have at most %d entries", MaxSessions)
	}
	for i := range m.Observations {
		o := &m.Observations[i]
		at := func(f string) string { return fmt.Sprintf("observations.%d.%s", i, f) }
		if o.Seq == 0 || i > 0 && o.Seq != m.Observations[i-1].Seq+1 {
			e.Add(at("seq"), "must follow the entry before it")
		}
		if !observationTypes[o.Type] {
			e.Add(at("type"), "is not a known observation")
		}
		if !Plausible(o.At) {
			e.Add(at("at"), "must be the time it happened")
		}
		if o.Session <= 0 {
			e.Add(at("session"), "is required")
		}
		if o.Mark > maxGeneration || o.UpTo > maxGeneration {
			e.Add(at("up_to"), "is too large")
		}
		if o.Method < 0 {
			e.Add(at("method"), "must be the number of a delivery method")
		}
		e.Text(at("reason"), o.Reason, 0, MaxText)
		if len(e) > 20 {
			return e
		}
	}
	e.Range("slots", m.Slots, 0, MaxSessions)
	if len(m.Missing) > MaxMissing {
		e.Add("missing", "must have at most %d lines", MaxMissing)
	}
	for i, line := range m.Missing {
		at := fmt.Sprintf("missing.%d", i)
		if e.Text(at, line, 1, MaxText); strings.Contains(line, "\n") {
			e.Add(at, "must be one line")
		}
	}
	seen := make(map[int64]bool, len(m.Sessions))
	for i := range m.Sessions {
		s := &m.Sessions[i]
		at := func(f string) string { return fmt.Sprintf("sessions.%d.%s", i, f) }
		if s.Session <= 0 || seen[s.Session] {
			e.Add(at("session"), "must be a session's number, listed once")
		}
		seen[s.Session] = true
		switch s.State {
		case session.IsRunning, session.IsIdle, session.IsAbsent:
		default:
			e.Add(at("state"), "must be one of running, idle, absent")
		}
		if s.Stored > maxGeneration || s.Seen > maxGeneration || s.Mark > maxGeneration {
			e.Add(at("stored"), "is too large")
		}
		for _, f := range []struct {
			name   string
			millis int64
		}{{"left_millis", s.LeftMillis}, {"closes_millis", s.ClosesMillis}} {
			if f.millis < 0 || f.millis > maxLeft.Milliseconds() {
				e.Add(at(f.name), "must be between 0 and %d", maxLeft.Milliseconds())
			}
		}
		if len(s.Challenge) > MaxChallenge || strings.ContainsFunc(s.Challenge, func(r rune) bool { return r <= ' ' || r > '~' }) {
			e.Add(at("challenge"), "must have at most %d visible ASCII characters", MaxChallenge)
		}
		if s.Told > maxTold {
			e.Add(at("told"), "must be at most %d", maxTold)
		}
		if s.Ended > s.Stored {
			e.Add(at("ended"), "must not be above stored")
		}
		if s.Viewers < 0 || s.Viewers > 1000 {
			e.Add(at("viewers"), "must be between 0 and 1000")
		}
		if s.Progress < 0 || s.Progress > 100 {
			e.Add(at("progress"), "must be between 0 and 100")
		}
		if s.Method < 0 || s.RunMethod < 0 || s.Upgrade < 0 {
			e.Add(at("method"), "must be the number of a delivery method")
		}
		e.Text(at("problem"), s.Problem, 0, MaxText)
		if len(e) > 20 {
			return e
		}
	}
	return e.Err()
}

var observationTypes = map[session.ObservationType]bool{
	session.ObsAdded: true, session.ObsStarted: true, session.ObsExited: true, session.ObsRevoked: true,
	session.ObsWarned: true, session.ObsRenewalAsked: true, session.ObsUpgradeAsked: true,
	session.ObsUpgradePutOff: true, session.ObsReturned: true, session.ObsRemoved: true,
	session.ObsUp: true, session.ObsTold: true,
}
