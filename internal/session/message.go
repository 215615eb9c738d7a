package session

import (
	"fmt"
	"time"
)

// MaxWaiting is how many messages to the user of one session may wait to be shown.
const MaxWaiting = 10

// Message is what an administrator tells the user of an app that is open. It changes
// neither the status nor the lease. It is for those who use the app now: what was not shown
// when the app ends is not shown later.
type Message struct {
	N       uint32 // among the session's messages, from 1
	By      Actor
	Text    string
	At      time.Time
	ShownAt time.Time // when the agent, or the viewer's page, showed it; zero if it did not
}

// Waits reports whether the session's message is still to be shown.
func (s *Session) Waits(m *Message) bool { return m.ShownAt.IsZero() && m.N > s.Told }

// say leaves a message to be shown.
func (s *Session) say(by Actor, text string, now time.Time) error {
	if s.Said-s.Told >= MaxWaiting {
		return &RefusedError{Action: Tell, Kind: s.Kind, Status: s.Status, Why: fmt.Sprintf("%d messages wait to be shown already", MaxWaiting)}
	}
	s.Said++
	s.messages = append(s.messages, Message{N: s.Said, By: by, Text: text, At: now})
	return nil
}

// Shown notes that the messages up to n were shown.
func (s *Session) Shown(n uint32, at time.Time) {
	for n = min(n, s.Said); s.Told < n; {
		s.Told++
		s.messages = append(s.messages, Message{N: s.Told, ShownAt: at})
	}
}

// hush drops the messages that wait: nobody is there to be told.
func (s *Session) hush() { s.Told = s.Said }

// TakeMessages returns the messages said and those shown since the last call, for the store
// to keep: a new one has its text, one that was shown its number and when.
func (s *Session) TakeMessages() []Message {
	ms := s.messages
	s.messages = nil
	return ms
}
