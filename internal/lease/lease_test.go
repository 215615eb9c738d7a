package lease

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestLength(t *testing.T) {
	for _, tt := range []struct {
		terms Terms
		want  time.Duration
	}{
		{Terms{Kind: Floating, Heartbeat: 5 * time.Minute, Window: 2 * time.Minute}, 17 * time.Minute},
		{Terms{Kind: Floating, Heartbeat: time.Second, Window: 2 * time.Second, Offline: time.Hour}, 5 * time.Second},
		{Terms{Kind: Fixed, Heartbeat: 5 * time.Minute, Window: 2 * time.Minute, Offline: 48 * time.Hour}, 48 * time.Hour},
		{Terms{Kind: Fixed, Heartbeat: 5 * time.Minute, Window: 2 * time.Minute, Offline: time.Minute}, 17 * time.Minute},
	} {
		if got := tt.terms.Length(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.terms, got, tt.want)
		}
	}
}

// TestPaceStaysOutOfTheWindow: however the check-ins are spread, at least two come before
// the warnings would begin, and each finds its renewal due.
func TestPaceStaysOutOfTheWindow(t *testing.T) {
	for _, hb := range []time.Duration{time.Second, 15 * time.Second, 5 * time.Minute} {
		terms := Terms{Kind: Floating, Heartbeat: hb, Window: 2 * time.Minute}
		for _, jitter := range []float64{0, 0.5, 0.999} {
			next := NextCheckIn(terms, jitter)
			g := Grant{GrantedAt: 1}
			if !g.RenewalDue(terms, Now{Latest: g.GrantedAt.Add(next)}, -1, 0) {
				t.Errorf("%v, %v: the renewal is not due at the next check-in", hb, jitter)
			}
			if 2*next >= terms.Length()-terms.Window {
				t.Errorf("%v, %v: two check-ins reach into the window", hb, jitter)
			}
		}
	}
}

func TestChain(t *testing.T) {
	type call struct {
		number  uint64
		token   string
		granted uint64
		next    string
		want    Verdict
	}
	for name, calls := range map[string][]call{
		"in order":            {{1, "", 0, "a", Fresh}, {2, "a", 1, "b", Fresh}, {3, "b", 2, "", Fresh}},
		"an answer lost":      {{1, "", 0, "a", Fresh}, {2, "", 0, "b", Fresh}, {3, "b", 2, "c", Fresh}},
		"late and doubled":    {{2, "", 0, "a", Fresh}, {1, "", 0, "", Stale}, {2, "", 0, "", Stale}, {3, "a", 2, "", Fresh}},
		"a copy":              {{1, "", 0, "a", Fresh}, {2, "a", 1, "b", Fresh}, {3, "a", 1, "c", Fresh}, {4, "b", 2, "", Copied}, {5, "c", 3, "", Copied}},
		"a restored database": {{1, "", 0, "a", Fresh}, {9, "z", 8, "y", Restored}, {10, "y", 9, "", Fresh}},
	} {
		var c Chain
		for i, k := range calls {
			got := c.Present(k.number, k.token, k.granted, 0)
			if got != k.want {
				t.Errorf("%s, %d: %v, want %v", name, i, got, k.want)
			}
			if got == Fresh || got == Restored {
				c.Commit(k.number, k.token, k.next)
			}
		}
	}
}

func public(k Key) ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

func TestSignedLease(t *testing.T) {
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := NewKey()
	keys := Keys{k.ID: public(k)}
	now := time.Now()
	g := &Grant{Session: 5, DeliveryMethod: 3, Generation: 2, Run: 4, GrantedAt: 1}
	token, err := k.Sign(g, 7, 17*time.Minute, "", now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := keys.Verify(token, 7)
	if err != nil || c.Session != 5 || c.Generation != 2 || c.Run != 4 || c.LengthSeconds != 17*60 {
		t.Fatalf("%+v, %v", c, err)
	}
	forged, _ := foreign.Sign(g, 7, time.Minute, "", now)
	impostor := Key{ID: k.ID, Private: foreign.Private}
	named, _ := impostor.Sign(g, 7, time.Minute, "", now)
	ticket, _ := k.SignTicket(5, now)
	unsigned, _ := jwt.NewWithClaims(jwt.SigningMethodNone, c).SignedString(jwt.UnsafeAllowNoneSignatureType)
	symmetric, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(public(k)))
	for name, bad := range map[string]string{"another key": forged, "another key by the same name": named, "a ticket": ticket, "unsigned": unsigned,
		"signed with the public key": symmetric, "cut short": token[:len(token)-4], "nothing": ""} {
		if _, err := keys.Verify(bad, 7); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keys.Verify(token, 8); !errors.Is(err, ErrForged) {
		t.Errorf("a lease of another agent: %v", err)
	}

	id, over, err := keys.VerifyTicket(ticket, now)
	if err != nil || id != 5 || over {
		t.Errorf("ticket: %d %v %v", id, over, err)
	}
	if _, over, err := keys.VerifyTicket(ticket, now.Add(TicketLife+time.Second)); err != nil || !over {
		t.Errorf("a ticket whose time is over: %v %v", over, err)
	}
	if _, _, err := keys.VerifyTicket(token, now); !errors.Is(err, ErrForged) {
		t.Errorf("a lease as a ticket: %v", err)
	}
}

func TestHolderLateLease(t *testing.T) {
	const end, now = 100, 10
	h := Holder{Kind: Floating}
	run, err := h.Start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Start(); err == nil {
		t.Error("two runs at a time")
	}
	if err := h.Accept(1, run, end, now, 1); err != nil || !h.Covered(now) {
		t.Fatalf("the lease of the run: %v", err)
	}
	h.Exit()
	if h.Lease != nil {
		t.Error("a floating lease outlives its run")
	}
	for name, tt := range map[string]struct {
		do   func(h *Holder)
		gen  uint64
		run  uint32
		end  Instant
		sent uint64
		want error
	}{
		"of the run before":           {func(h *Holder) { h.Start() }, 1, run, end, 2, ErrOtherRun},
		"while nothing runs":          {func(*Holder) {}, 1, run, end, 2, ErrOtherRun},
		"of a revoked generation":     {func(h *Holder) { h.Revoke(1); h.Start() }, 1, run + 1, end, 2, ErrRevoked},
		"of the next, for an old run": {func(h *Holder) { h.Start(); h.Revoke(1) }, 2, run + 1, end, 2, ErrRevoked},
		"that has ended":              {func(h *Holder) { h.Start() }, 1, run + 1, now, 2, ErrEnded},
		"asked for before a return":   {func(h *Holder) { h.GiveUp(2); h.Start() }, 2, run + 1, end, 2, ErrLate},
		"of the next, for a new run":  {func(h *Holder) { h.Revoke(1); h.Start() }, 2, run + 1, end, 2, nil},
	} {
		c := h
		tt.do(&c)
		if err := c.Accept(tt.gen, tt.run, tt.end, now, tt.sent); !errors.Is(err, tt.want) {
			t.Errorf("a lease %s: %v, want %v", name, err, tt.want)
		}
		if tt.want != nil && c.Covered(now) {
			t.Errorf("a lease %s covers the run", name)
		}
	}
}

func TestEndedWaitsForTheRun(t *testing.T) {
	h := Holder{Kind: Floating}
	h.Start()
	if news, end := h.Revoke(1); !news || !end {
		t.Error("the running app is not to be ended")
	}
	if news, end := h.Revoke(1); news || !end {
		t.Error("a repeated order is news")
	}
	if h.Ended() != 0 {
		t.Error("acknowledged while the app still runs")
	}
	h.Exit()
	if h.Ended() != 1 {
		t.Error("not acknowledged though the app has exited")
	}
	h.Start()
	if h.Ended() != 1 {
		t.Error("a run after the revocation takes the acknowledgement back")
	}
}

func TestKeysAsJWKS(t *testing.T) {
	a, _ := NewKey()
	b, _ := NewKey()
	keys := Keys{a.ID: public(a), b.ID: public(b)}
	j, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	var back Keys
	if err := json.Unmarshal(j, &back); err != nil || len(back) != 2 || !back[a.ID].Equal(keys[a.ID]) {
		t.Errorf("%v: %s", err, j)
	}
	if err := json.Unmarshal([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"k"}]}`), &back); err == nil {
		t.Error("a short key is read")
	}
	if err := json.Unmarshal([]byte(`{"keys":[{"kty":"RSA","kid":"k"}]}`), &back); err != nil || len(back) != 0 {
		t.Errorf("a key of another kind: %v %v", err, back)
	}
}
