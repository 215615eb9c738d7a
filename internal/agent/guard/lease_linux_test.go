package guard_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner/runnertest"
	"leasehold/internal/lease"
)

// TestLeaseIsVerified: any process of the user can speak to a guard. What no server signed
// for this run, just now, puts no deadline off.
func TestLeaseIsVerified(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := spec(time.Minute)
	h := spawn(t, s)
	other := spec(time.Minute)
	other.Run = 2
	stranger := spawn(t, other)
	challenge := func(h *guard.Handle) string {
		t.Helper()
		c, err := h.Challenge(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	foreign, err := lease.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	later := boottime.Now().Add(time.Hour)
	good := lease.Grant{Session: s.Session, Run: uint32(s.Run), Generation: 3}
	sign := func(g lease.Grant, challenge string) guard.Lease {
		return runnertest.Sign(t, &g, time.Hour, challenge, later)
	}
	with := func(change func(*lease.Grant)) lease.Grant {
		g := good
		change(&g)
		return g
	}
	signed := func(k lease.Key, agent int64) guard.Lease {
		token, err := k.Sign(&good, agent, time.Hour, challenge(h), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return guard.Lease{Deadline: later, Generation: 3, Token: token}
	}
	forged := sign(good, challenge(h))
	head, _, _ := strings.Cut(forged.Token, ".")
	forged.Token = head + "." + strings.Repeat("x", 40) + ".x"
	lying := sign(good, challenge(h))
	lying.Generation = 9
	for name, l := range map[string]guard.Lease{
		"nobody's word":              {Deadline: later, Generation: 3},
		"a forged token":             forged,
		"another server's key":       signed(foreign, runnertest.Agent),
		"another session's":          sign(with(func(g *lease.Grant) { g.Session++ }), challenge(h)),
		"another run's":              sign(with(func(g *lease.Grant) { g.Run++ }), challenge(h)),
		"no challenge":               sign(good, ""),
		"another guard's challenge":  sign(good, challenge(stranger)),
		"a challenge that was bent":  sign(good, "B"+challenge(h)[1:]),
		"another generation is said": lying,
	} {
		if changed, err := h.Extend(ctx, l); changed || !errors.Is(err, guard.ErrRefused) {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
	}
	if st, err := h.Status(ctx); err != nil || st.Deadline.Sub(h.Spec().Deadline) != 0 || st.Generation != 0 {
		t.Fatalf("status %+v, %v", st, err)
	}

	// One that is right counts from its challenge, however late and often it is shown.
	asked := boottime.Now()
	kept := runnertest.Sign(t, &good, 90*time.Second, challenge(h), later)
	answered := boottime.Now()
	time.Sleep(200 * time.Millisecond)
	for range 2 {
		if _, err := h.Extend(ctx, kept); err != nil {
			t.Fatal(err)
		}
		st, err := h.Status(ctx)
		if err != nil || st.Deadline.Before(asked.Add(90*time.Second)) || answered.Add(90*time.Second).Before(st.Deadline) {
			t.Fatalf("status %+v, %v; asked at %v", st, err, asked)
		}
	}
	// A word can shorten, and no more: the leases that follow are not behind it.
	soon := boottime.Now().Add(2 * time.Second)
	if changed, err := h.Extend(ctx, guard.Lease{Deadline: soon, Generation: 1 << 63}); err != nil || !changed {
		t.Errorf("shortened: %v, %v", changed, err)
	}
	if st, err := h.Status(ctx); err != nil || st.Generation != 3 {
		t.Errorf("status %+v, %v", st, err)
	}
	wantTypes(t, follow(t, h), "starting started extended extended warned warned asked exited")
}

// A run that begins under a lease goes on no longer than that is, whatever its folder says.
func TestBeginsUnderALease(t *testing.T) {
	t.Parallel()
	g := lease.Grant{Session: 7, Generation: 1} // fixed: for every run
	s := spec(time.Hour)
	s.Lease = runnertest.Sign(t, &g, 3*time.Second, "from an earlier run", s.Deadline).Token
	h := spawn(t, s)
	if st, err := h.Status(t.Context()); err != nil || st.Deadline.Sub(boottime.Now()) > 3*time.Second {
		t.Errorf("status %+v, %v", st, err)
	}
	g.Session++
	s.Lease = runnertest.Sign(t, &g, time.Hour, "", s.Deadline).Token
	if _, err := guard.Spawn(t.Context(), t.TempDir()+"/run", s, commandWith("")); !errors.Is(err, guard.ErrNotStarted) {
		t.Errorf("under another session's lease: %v", err)
	}
}

// The secrets of the player's environment are not the app's.
func TestEnvironmentOfApps(t *testing.T) {
	t.Setenv("LEASEHOLD_TEST_SECRET", "a secret of the player")
	t.Setenv("LC_TIME", "C")
	s := spec(time.Minute)
	s.Argv = []string{"/usr/bin/env"}
	s.Env = []string{"OF_THE_PACKAGE=yes"}
	h := spawn(t, s)
	follow(t, h)
	b, err := os.ReadFile(filepath.Join(h.Dir(), "app.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PATH=", "LC_TIME=C\n", "OF_THE_PACKAGE=yes\n", guard.EnvRun + "=7.1\n", guard.EnvToken + "="} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the app gets no %q: %s", want, b)
		}
	}
	if strings.Contains(string(b), "LEASEHOLD_TEST_SECRET") {
		t.Errorf("the app gets the player's secrets: %s", b)
	}
}

// A lease by a key that was made after the run began is believed if a key that the guard
// knows has endorsed it, and not otherwise.
func TestKeysTakeTurns(t *testing.T) {
	t.Parallel()
	s := spec(time.Minute)
	h := spawn(t, s)
	next, err := lease.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	later := boottime.Now().Add(time.Hour)
	signed := func(set json.RawMessage) guard.Lease {
		t.Helper()
		challenge, err := h.Challenge(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		token, err := next.Sign(&lease.Grant{Session: s.Session, Run: uint32(s.Run), Generation: 1}, runnertest.Agent, time.Hour, challenge, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return guard.Lease{Deadline: later, Generation: 1, Token: token, Keys: set}
	}
	public := next.Private.Public().(ed25519.PublicKey)
	keys := lease.Keys{next.ID: public}
	set := func(by lease.Key) json.RawMessage {
		t.Helper()
		e, err := by.Endorse(next.ID, public)
		if err != nil {
			t.Fatal(err)
		}
		b, err := keys.Set(map[string]string{next.ID: e})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, keys := range map[string]json.RawMessage{"nobody": nil, "itself": set(next), "what is no set": json.RawMessage(`[]`)} {
		if changed, err := h.Extend(t.Context(), signed(keys)); changed || !errors.Is(err, guard.ErrRefused) {
			t.Errorf("endorsed by %s: %v, %v", name, changed, err)
		}
	}
	if changed, err := h.Extend(t.Context(), signed(set(runnertest.Key()))); !changed || err != nil {
		t.Errorf("endorsed by a key that is known: %v, %v", changed, err)
	}
	// From then on it is known.
	if _, err := h.Extend(t.Context(), signed(nil)); err != nil {
		t.Error(err)
	}
}
