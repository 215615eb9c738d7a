//go:build unix

package player_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"leasehold/internal/agent/player"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
)

// A real app is upgraded while it runs: the old version goes on under its own delivery
// method until its user closes it, the next start is the new one.
func TestUpgradeWhileItRuns(t *testing.T) {
	t.Parallel()
	s, app, file := organisation(t)
	d := enrol(t, s)
	d.start()
	id := launch(t, s, d, app.ID)
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the app and its descendants run", func() bool { return len(alive(pids(file))) >= 5 })
	old := s.Session(id).DeliveryMethodID
	first := alive(pids(file))

	newer := filepath.Join(t.TempDir(), "pids")
	dm := &catalog.DeliveryMethod{
		AppID: app.ID, Name: "Sample 2", HeartbeatSeconds: 1, WarningsSeconds: []int{2, 1},
		Packages: []catalog.Package{{Type: catalog.Command, Command: []string{sample, "--terminal", "--pid-file", newer}}},
	}
	if err := s.Control.CreateDeliveryMethod(t.Context(), s.Admin, dm); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Control.UpdateProvision(t.Context(), s.Admin, 1, control.Ending{}, func(p *directory.Provision) error {
		p.DeliveryMethodIDs = append(p.DeliveryMethodIDs, dm.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Control.UpdateDeliveryMethod(t.Context(), s.Admin, old, func(m *catalog.DeliveryMethod) error {
		m.SuccessorID = dm.ID
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, long, "the session has moved", func() bool { return s.Session(id).DeliveryMethodID == dm.ID })
	granted := s.Session(id).Lease.GrantedAt
	servertest.Eventually(t, long, "its lease is renewed", func() bool { return s.Session(id).Lease.GrantedAt > granted })
	if st := s.Session(id); st.Status != session.Running || st.Lease.DeliveryMethod != old || len(alive(first)) != len(first) || len(pids(newer)) > 0 {
		t.Errorf("the old version goes on: %s under the lease of %d, %v of %v, %v", st.Status, st.Lease.DeliveryMethod, alive(first), first, pids(newer))
	}

	// Its user closes it, and starts the app again.
	for _, pid := range first {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	awaitStatus(t, s, id, session.Stopped)
	if err := player.StartSession(t.Context(), d.dir, id); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, id, session.Running)
	servertest.Eventually(t, long, "the new version runs", func() bool { return len(alive(pids(newer))) > 0 })
	servertest.Eventually(t, long, "it has its own lease", func() bool {
		l := s.Session(id).Lease
		return l != nil && l.DeliveryMethod == dm.ID
	})
	if got := alive(pids(file)); len(got) > 0 {
		t.Errorf("the old version runs: %v", got)
	}
}
