package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/sessionnet"
	"leasehold/internal/agent/stage"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/simulate"
	"leasehold/internal/wire"
)

// organisation is the demo's sample: a small university.
type organisation struct {
	admin control.Who
	ann   *directory.User
	real  []int64 // apps that the real player runs
	users []*directory.User
	apps  []int64 // what simulated devices run
}

// newOrganisation makes the sample organisation by the same use cases as the pages. Its
// administrator and its user sign in with the password.
func newOrganisation(ctx context.Context, c *control.Control, sample, password string) (*organisation, error) {
	if _, err := c.EnsureAdmin(ctx, demoAdmin, password); err != nil {
		return nil, err
	}
	admin, err := c.SignIn(ctx, control.Credentials{Username: demoAdmin, Password: password})
	if errors.Is(err, control.ErrSignIn) {
		return nil, errors.New("the folder has an organisation already; give an empty one, or none")
	}
	if err != nil {
		return nil, err
	}
	o := &organisation{admin: control.WhoIs(admin, "demo")}
	groups := map[string]*directory.Group{}
	for _, name := range []string{"Engineering", "Social Sciences", "Staff"} {
		g := &directory.Group{Name: name}
		if err := c.CreateGroup(ctx, o.admin, g); err != nil {
			return nil, err
		}
		groups[name] = g
	}
	departments := []string{"Engineering", "Social Sciences", "Staff"}
	for i, name := range sampleNames {
		first, last, _ := strings.Cut(name, " ")
		u := &directory.User{
			Username: strings.ToLower(first), Name: name, Email: strings.ToLower(first+"."+strings.ReplaceAll(last, " ", "")) + "@example.edu",
			GroupIDs: []int64{groups[departments[i%3]].ID},
		}
		own := ""
		if i == 0 { // Ann, who can sign in and is in every group
			own = password
			u.GroupIDs = []int64{groups["Engineering"].ID, groups["Social Sciences"].ID, groups["Staff"].ID}
		}
		if err := c.CreateUser(ctx, o.admin, u, own); err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Username, err)
		}
		o.users = append(o.users, u)
	}
	o.ann = o.users[0]
	methods := map[string]int64{}
	for _, a := range []struct {
		name, about string
		args        []string
		warnings    []int
		heartbeat   int
		seats       int
		real        bool
	}{
		{"Quick Notes", "Notes that close quickly: warnings 20 and 10 seconds before.", []string{"--title", "Quick Notes"}, []int{20, 10}, 15, 0, true},
		{"Field Report", "A report with the usual warnings: two minutes, and one.", []string{"--title", "Field Report"}, nil, 60, 0, true},
		{"Lab Console", "An app that starts helpers of its own, which end with it.", []string{"--title", "Lab Console", "--children", "2"}, []int{20, 10}, 15, 0, true},
		{"MATLAB", "Numerical computing.", nil, nil, 300, 120, false},
		{"SPSS Statistics", "Statistics for the social sciences.", nil, nil, 300, 100, false},
		{"AutoCAD", "Computer-aided design.", nil, nil, 300, 0, false},
		{"ArcGIS Pro", "Maps and spatial analysis.", nil, nil, 300, 0, false},
	} {
		app := &catalog.App{Name: a.name, Description: a.about}
		if err := c.CreateApp(ctx, o.admin, app); err != nil {
			return nil, err
		}
		d := &catalog.DeliveryMethod{AppID: app.ID, Name: a.name + ", installed", HeartbeatSeconds: a.heartbeat, WarningsSeconds: a.warnings,
			Licence:  catalog.Licence{Seats: a.seats},
			Packages: []catalog.Package{{Type: catalog.Command, Command: append([]string{sample}, a.args...)}}}
		if err := c.CreateDeliveryMethod(ctx, o.admin, d); err != nil {
			return nil, err
		}
		methods[a.name] = d.ID
		if a.real {
			o.real = append(o.real, app.ID)
		} else {
			o.apps = append(o.apps, app.ID)
		}
	}
	for _, p := range []struct {
		name   string
		groups []string
		apps   []string
	}{
		{"Everyone", departments, []string{"Quick Notes", "Field Report", "SPSS Statistics"}},
		{"Engineering 2026", []string{"Engineering", "Staff"}, []string{"MATLAB", "AutoCAD", "Lab Console"}},
		{"Fieldwork", []string{"Social Sciences", "Staff", "Engineering"}, []string{"ArcGIS Pro", "MATLAB", "AutoCAD"}},
	} {
		pr := &directory.Provision{Name: p.name, Enabled: true}
		for _, g := range p.groups {
			pr.GroupIDs = append(pr.GroupIDs, groups[g].ID)
		}
		for _, a := range p.apps {
			pr.DeliveryMethodIDs = append(pr.DeliveryMethodIDs, methods[a])
		}
		if err := c.CreateProvision(ctx, o.admin, pr); err != nil {
			return nil, err
		}
	}
	return o, o.stream(ctx, c, groups["Engineering"].ID)
}

// stream gives a group an app that is streamed.
func (o *organisation) stream(ctx context.Context, c *control.Control, group int64) error {
	app := &catalog.App{Name: "Terminal", Description: "A shell on a stream host, in the browser."}
	if err := c.CreateApp(ctx, o.admin, app); err != nil {
		return err
	}
	network := catalog.Internet
	switch {
	case sandbox.Check(ctx, stage.SessionUID(account.Default), false) != nil:
		network = catalog.HostNetwork // there is no other
	case sessionnet.Check() != nil:
		network = catalog.NoNetwork // not every machine gives one without root
	}
	d := &catalog.DeliveryMethod{AppID: app.ID, Name: "Terminal, streamed", Kind: session.Stream,
		Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"xterm", "-fa", "Monospace", "-fs", "12", "-title", "Terminal", "-xrm", terminalKeys}}},
		Stream:   &catalog.StreamSettings{Geometry: "1280x800", ReconnectSeconds: 120, IdleSeconds: 1800, MaxSeconds: 4 * 3600, Network: network}}
	if err := c.CreateDeliveryMethod(ctx, o.admin, d); err != nil {
		return err
	}
	return c.CreateProvision(ctx, o.admin, &directory.Provision{Name: "Streaming", Enabled: true, GroupIDs: []int64{group}, DeliveryMethodIDs: []int64{d.ID}})
}

// simulate lets simulated devices bring about n sessions, over the wire, to every status.
func (o *organisation) simulate(ctx context.Context, c *control.Control, public string, n int) (*simulate.Fleet, error) {
	if n == 0 {
		return nil, nil
	}
	key, _, err := c.NewEnrolmentKey(ctx, o.admin, control.KeyTerms{Kind: wire.Player, Simulated: true, Uses: control.MaxKeyUses})
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	type launch struct {
		user *directory.User
		app  int64
	}
	was := map[int64]launch{}
	f := &simulate.Fleet{
		Client: &http.Client{Timeout: 30 * time.Second}, Server: public, Key: key,
		Launch: func(ctx context.Context, again int64) (int64, string, error) {
			l, ok := was[again]
			if !ok {
				l = launch{o.users[1+rnd.IntN(len(o.users)-1)], o.apps[rnd.IntN(len(o.apps))]}
			}
			out, err := c.Launch(ctx, control.WhoIs(l.user, "demo"), l.app, 0)
			if err != nil {
				return 0, "", err
			}
			was[out.Session.ID] = l
			return out.Session.ID, out.Link, nil
		},
		Act: func(ctx context.Context, id int64, a session.Action, reason string) error {
			_, err := c.Act(ctx, o.admin, id, a, reason)
			return err
		},
	}
	share := func(p int) int { return max(1, n*p/100) }
	lives := map[simulate.Life]int{
		simulate.Launched: share(6), simulate.Added: share(10), simulate.Running: share(34), simulate.RenewalRequested: share(2), simulate.UpgradeRequested: share(3),
		simulate.Stopped: share(24), simulate.Evicted: share(6), simulate.AwaitingExpiry: share(4), simulate.Expired: share(5), simulate.Removed: share(5),
	}
	rooms := []string{"LAB", "LIB", "ENG", "SOC"}
	return f, f.Fill(ctx, 7, min(60, n), func(i int) string { return fmt.Sprintf("%s-%03d", rooms[i%len(rooms)], 100+i) }, lives)
}

// sampleNames are the people of the sample organisation.
var sampleNames = []string{
	"Ann Berg", "Bo Chen", "Cleo Diaz", "Dana Okafor", "Emil Novak", "Fatima Haddad", "Goran Petrov", "Hana Sato", "Ivan Kolar", "Joe Murphy",
	"John Adeyemi", "Karin Lund", "Luis Ortega", "Mei Tanaka", "Nadia Rahman", "Oscar Brandt", "Priya Nair", "Quentin Dubois", "Rosa Marino", "Sven Dahl",
	"Tara Quinn", "Umar Farouk", "Vera Kowalski", "Wen Li", "Ximena Rojas", "Yusuf Demir", "Zoe Papas", "Aiko Mori", "Bence Szabo", "Carla Conti",
	"Derek Boateng", "Elif Kaya", "Felix Wagner", "Greta Holm", "Hugo Martins", "Ines Costa", "Jonas Weber", "Kofi Mensah", "Lena Fischer", "Marek Zelenka",
}

// terminalKeys has xterm copy and paste with the keys of other terminals, which the viewer's
// clipboard dialog names.
const terminalKeys = "*VT100.translations: #override " +
	`Ctrl Shift <Key>C: copy-selection(CLIPBOARD)\n Ctrl Shift <Key>V: insert-selection(CLIPBOARD, PRIMARY)`
