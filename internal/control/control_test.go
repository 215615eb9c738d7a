package control_test

import (
	"context"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/wire"
)

func TestOneSession(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	st, err := sqlite.Open(ctx, sqlitetest.Folder(t), sqlite.WithClock(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	c, err := control.New(ctx, control.Config{Store: st, PublicURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.EnsureAdmin(ctx, "root", "correct horse"); err != nil {
		t.Fatal(err)
	}
	adm, err := c.SignIn(ctx, control.Credentials{Username: "root", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	who := control.WhoIs(adm, "")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ann := &directory.User{Username: "ann", Name: "Ann Berg", Email: "ann@example.org"}
	must(c.CreateUser(ctx, who, ann, ""))
	app := &catalog.App{Name: "MATLAB"}
	must(c.CreateApp(ctx, who, app))
	dm := &catalog.DeliveryMethod{AppID: app.ID, Name: "MATLAB 2026", Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"true"}}}}
	dm.Licence.Seats = 1
	must(c.CreateDeliveryMethod(ctx, who, dm))
	must(c.CreateProvision(ctx, who, &directory.Provision{Name: "Eng", UserIDs: []int64{ann.ID}, DeliveryMethodIDs: []int64{dm.ID}, Enabled: true}))
	key, _, err := c.NewEnrolmentKey(ctx, who, control.KeyTerms{Kind: wire.Player})
	must(err)
	en, err := c.Enrol(ctx, &wire.Enrol{V: 1, Key: key, Kind: wire.Player, Name: "LAB-1", OS: "linux", Arch: "amd64"}, "")
	must(err)
	l, err := c.Launch(ctx, control.WhoIs(ann, ""), app.ID, 0)
	must(err)
	t.Log(l.Link, l.Session.Status)
	list, err := c.ListSessions(ctx, store.SessionQuery{Q: "atla", Kind: session.Device})
	must(err)
	if list.Total != 1 || list.Rows[0].UserName != "Ann Berg" {
		t.Fatalf("list: %+v", list)
	}
	_ = en
}
