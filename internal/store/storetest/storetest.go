// Package storetest is the conformance suite that every database passes: what the
// comments of internal/store promise, concurrency included. A method of store.Tx that
// no test here calls fails the suite.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// Open opens a new, empty database that goes by the clock.
type Open func(t *testing.T, clock *Clock) store.Store

// Clock is a machine's two clocks, which a test steps: the wall clock, which can be set, and
// the boot-time clock, which only goes on.
type Clock struct {
	mu   sync.Mutex
	now  time.Time
	boot time.Duration
}

// NewClock starts at a fixed date.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Boot is the boot-time clock.
func (c *Clock) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot
}

// Step lets d pass.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	c.now, c.boot = c.now.Add(d), c.boot+d
	c.mu.Unlock()
}

// Set sets the wall clock by d, forward or back.
func (c *Clock) Set(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// suite is one run of the tests on one database.
type suite struct {
	open   Open
	mu     sync.Mutex
	called map[string]bool
}

// test is a test of the suite.
type test struct {
	name string
	fn   func(*testing.T, *env)
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	s := &suite{open: open, called: map[string]bool{}}
	for _, tt := range []test{
		{"catalogue", testCatalogue}, {"directory", testDirectory}, {"deleted names", testDeletedNames}, {"one name", testOneName}, {"two names", testTwoNames}, {"names in order", testNamesInOrder}, {"provisions", testProvisions}, {"version", testVersion},
		{"agents", testAgents}, {"streams", testStreams}, {"enrolment keys", testKeys}, {"one use of a key at once", testUseKey}, {"hosts that fail", testStartFailures}, {"tunnels", testTunnels}, {"access", testAccess}, {"tries to sign in", testSignInTries}, {"tries to sign in at once", testTriesAtOnce}, {"known browsers", testBrowsers}, {"sign-ins", testSignIns}, {"tokens", testTokens}, {"launches of a user", testLaunchLoad}, {"a setting swapped at once", testSwap}, {"locked administrators", testLockAdmins}, {"records", testRecords}, {"audit", testAudit}, {"audit, counted", testCountAudit},
		{"session", testSession}, {"messages", testMessages}, {"save only what changed", testSaveParts}, {"orders", testOrders}, {"sessions of an agent", testSessionsOfAgent},
		{"leases over", testLeasesOver}, {"seats", testSeats}, {"seats at once", testSeatsAtOnce},
		{"list", testList}, {"search", testSearch}, {"paging while rows change", testPaging}, {"foreign page tokens", testPageTokens}, {"count", testCount}, {"lists of many", testMany},
		{"lists by duration", testDurations}, {"lists of many by duration", testManyDurations}, {"paging by duration", testPagingByDuration},
		{"update is all or nothing", testAtomic}, {"a panic", testPanic}, {"view cannot write", testView}, {"updates of one row", testContended}, {"a cancelled update", testCancelled},
		{"lease clock", testClock}, {"wall clock set", testWallSet}, {"restarted lease clock", testRestartClock}, {"hold after a restore", testRestoreHold}, {"locked sessions", testTryLock}, {"locked sessions of an agent", testTryLockOfAgent}, {"reopen", testSeen},
		{"renamed with many sessions", testRenamed}, {"duties", testDuties}, {"batches", testBatches}, {"checks", testChecks}, {"housekeeping", testHousekeeping},
		{"restrictions", testRestrictions}, {"silence", testSilence}, {"history", testHistory}, {"denials", testDenials},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := s.env(t)
			tt.fn(t, e)
		})
	}
	t.Run("every method is tested", func(t *testing.T) {
		tx := reflect.TypeFor[store.Tx]()
		for i := range tx.NumMethod() {
			if m := tx.Method(i).Name; !s.called[m] {
				t.Errorf("no test of the suite calls %s", m)
			}
		}
	})
}

// env is one test's database.
type env struct {
	*suite
	t     *testing.T
	st    store.Store
	clock *Clock
}

func (s *suite) env(t *testing.T) *env {
	e := &env{suite: s, t: t, clock: NewClock()}
	e.st = s.open(t, e.clock)
	t.Cleanup(func() {
		if err := e.st.Close(); err != nil {
			t.Error(err)
		}
	})
	e.tick()
	e.step(lease.Period)
	return e
}

func (e *env) tick() {
	e.t.Helper()
	if err := e.st.Tick(context.Background()); err != nil {
		e.t.Fatal(err)
	}
}

// step lets d pass by both clocks, and ticks.
func (e *env) step(d time.Duration) {
	e.t.Helper()
	e.clock.Step(d)
	e.tick()
}

// now is a look at the clocks.
func (e *env) now() (n lease.Now) {
	e.t.Helper()
	e.view(func(tx store.Tx) error { n = tx.LeaseNow(); return nil })
	return n
}

// in is the lease time d from now.
func (e *env) in(d time.Duration) lease.Time { return e.now().Earliest.Add(d) }

// update runs fn in a transaction and fails the test if it fails.
func (e *env) update(fn func(store.Tx) error) {
	e.t.Helper()
	if err := e.st.Update(context.Background(), func(tx store.Tx) error { return fn(watched{tx, e.suite}) }); err != nil {
		e.t.Fatal(err)
	}
}

// view is update for reading.
func (e *env) view(fn func(store.Tx) error) {
	e.t.Helper()
	if err := e.st.View(context.Background(), func(tx store.Tx) error { return fn(watched{tx, e.suite}) }); err != nil {
		e.t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// same fails the test unless both are deeply equal.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %s\nwant %s", what, show(got), show(want))
	}
}

func show(v any) string { return fmt.Sprintf("%+v", v) }
