package web

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// TestPreview serves a made-up organisation at the address in PREVIEW, for looking at
// the pages while styling them: sign in as olga or ann with "correct horse".
//
//	PREVIEW=127.0.0.1:8990 go test -run TestPreview -timeout 0 ./internal/server/web
func TestPreview(t *testing.T) {
	addr := os.Getenv("PREVIEW")
	if addr == "" {
		t.Skip("set PREVIEW to an address to look at the pages")
	}
	s := newSite(t)
	s.organisation()
	go func() {
		for range time.Tick(time.Second) {
			s.c.Beat(t.Context())
		}
	}()
	l, err := net.Listen("tcp", addr)
	s.must(err)
	// What changes by itself, so that live pages have something to show.
	http.HandleFunc("POST /preview/launch", func(http.ResponseWriter, *http.Request) {
		s.launch(1, 1, true)
	})
	http.HandleFunc("POST /preview/exit/{id}", func(_ http.ResponseWriter, r *http.Request) {
		var id int64
		fmt.Sscan(r.PathValue("id"), &id)
		s.exit(1, id)
	})
	http.Handle("/", s.http.Config.Handler)
	t.Fatal(http.Serve(l, nil))
}

// organisation fills the site with people, apps, devices and sessions of every status.
func (s *site) organisation() {
	ctx := s.t.Context()
	names := []string{"Ann Berg", "Bo Chen", "Cleo Diaz", "Dmitri Evseev", "Łucja Żółkiewska-Brzęczyszczykiewicz", "Femi Okafor", "Grace Hopper"}
	users := []*directory.User{s.ann}
	for i, n := range names[1:] {
		users = append(users, s.user([]string{"bo", "cleo", "dmitri", "lucja", "femi", "grace"}[i], n))
	}
	ids := func(us []*directory.User) (out []int64) {
		for _, u := range us {
			out = append(out, u.ID)
		}
		return out
	}
	g := &directory.Group{Name: "Engineering students", UserIDs: ids(users[:5])}
	s.must(s.c.CreateGroup(ctx, s.root, g))
	var apps []int64
	for i, n := range []string{"MATLAB", "SPSS", "Stata", "ArcGIS Pro", "SolidWorks Education Edition", "Maple"} {
		a := &catalog.App{Name: n, Description: []string{"Numerical computing and simulation", "Statistics for the social sciences", "", "Maps and spatial analysis, with the extensions of the campus licence", "Mechanical design", "Symbolic mathematics"}[i]}
		s.must(s.c.CreateApp(ctx, s.root, a))
		apps = append(apps, a.ID)
		d := &catalog.DeliveryMethod{AppID: a.ID, Name: n + " online", Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"/opt/app"}}}}
		if i == 3 {
			d.Name, d.Licence = n+" offline", catalog.Licence{Type: lease.Fixed, OfflineSeconds: 30 * 86400, Seats: 40}
		}
		s.must(s.c.CreateDeliveryMethod(ctx, s.root, d))
		p := &directory.Provision{Name: []string{"Engineering", "Statistics", "Economics year 2", "Geography", "Mechanical design lab", "All students"}[i],
			UserIDs: ids(users), GroupIDs: []int64{g.ID}, DeliveryMethodIDs: []int64{d.ID}, Enabled: true}
		s.must(s.c.CreateProvision(ctx, s.root, p))
	}
	_, err := s.c.UpdateApp(ctx, s.root, apps[5], control.Ending{}, func(a *catalog.App) error { a.Status = catalog.Suspended; return nil })
	s.must(err)
	devices := []int64{s.device("LAB-204"), s.device("BO-X1"), s.device("CLEO-AIR"), s.device("LIB-017")}
	for i := range 70 {
		u, dev := users[i%len(users)], devices[i%len(devices)]
		l, err := s.c.Launch(ctx, control.WhoIs(u, "test"), apps[i*3%5], 0)
		s.must(err)
		id := l.Session.ID
		if i%7 == 6 {
			continue // launched
		}
		_, err = s.c.Redeem(ctx, dev, &wire.Redeem{V: wire.Version, Ticket: ticketOf(s.t, l.Link)}, "")
		s.must(err)
		ag := s.agentOf(dev)
		ag.report(s.t, id, session.IsIdle, wire.Observation{Type: session.ObsAdded})
		if i%7 == 5 {
			continue // added
		}
		ag.report(s.t, id, session.IsRunning, wire.Observation{Type: session.ObsStarted, Run: 1})
		switch i % 7 {
		case 0, 1:
		case 2:
			s.exit(dev, id)
		case 3:
			_, err = s.c.Act(ctx, s.root, id, session.Evict, "Seats are needed for the exam")
			s.must(err)
		case 4:
			s.exit(dev, id)
			_, err = s.c.Act(ctx, s.root, id, session.Expire, "Term is over")
			s.must(err)
		}
	}
}
