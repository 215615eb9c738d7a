package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// OneName are pairs of spellings that are one name: it is unique, signs in and is found by
// either of them.
var OneName = [][2]string{
	{"Émile", "émile"}, {"ИВАН", "иван"}, {"Ünal", "ünal"}, {"jos\u00e9", "jose\u0301"}, {"STRASSE", "Straße"}, {"Écran", "écran"},
	{"JOSE\u0301E", "jos\u00e9e"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"İSTANBUL", "istanbul"}, {"IRMAK", "irmak"}, {"Zoë", "ZOE\u0308"}, {"Ελλάδα", "ΕΛΛΆΔΑ"},
}

// names are the tests of what a locale of the database could have a say in.
var names = []test{
	{"one name", testOneName}, {"two names", testTwoNames}, {"names in order", testNamesInOrder}, {"directory", testDirectory}, {"list", testList}, {"search", testSearch},
}

// RunNames runs the part of the suite in which names are compared, for a database of another
// locale.
func RunNames(t *testing.T, open Open) {
	s := &suite{open: open, called: map[string]bool{}}
	for _, tt := range names {
		t.Run(tt.name, func(t *testing.T) { tt.fn(t, s.env(t)) })
	}
}

// thing is a kind of things that have names.
type thing struct {
	kind   string
	unique bool
	make   func(tx store.Tx, name string) (id int64, err error)
	list   func(tx store.Tx, q string, page store.Page) (ids []int64, names []string, next string, err error)
}

func listed[T any](list []T, next string, err error, of func(T) (int64, string)) ([]int64, []string, string, error) {
	var ids []int64
	var names []string
	for _, x := range list {
		id, name := of(x)
		ids, names = append(ids, id), append(names, name)
	}
	return ids, names, next, err
}

func things(f *fixture) []thing {
	return []thing{
		{"user", true, func(tx store.Tx, name string) (int64, error) {
			u := &directory.User{Username: name, Name: "N", Role: directory.RoleUser, Status: directory.Active}
			err := tx.CreateUser(u)
			return u.ID, err
		}, func(tx store.Tx, q string, p store.Page) ([]int64, []string, string, error) {
			list, next, err := tx.ListUsers(q, p)
			return listed(list, next, err, func(u *directory.User) (int64, string) { return u.ID, u.Username })
		}},
		{"group", true, func(tx store.Tx, name string) (int64, error) {
			g := &directory.Group{Name: name}
			err := tx.CreateGroup(g)
			return g.ID, err
		}, func(tx store.Tx, q string, p store.Page) ([]int64, []string, string, error) {
			list, next, err := tx.ListGroups(q, p)
			return listed(list, next, err, func(g *directory.Group) (int64, string) { return g.ID, g.Name })
		}},
		{"app", true, func(tx store.Tx, name string) (int64, error) {
			a := &catalog.App{Name: name, Status: catalog.Active}
			err := tx.CreateApp(a)
			return a.ID, err
		}, func(tx store.Tx, q string, p store.Page) ([]int64, []string, string, error) {
			list, next, err := tx.ListApps(q, p)
			return listed(list, next, err, func(a *catalog.App) (int64, string) { return a.ID, a.Name })
		}},
		{"provision", true, func(tx store.Tx, name string) (int64, error) {
			p := &directory.Provision{Name: name}
			err := tx.CreateProvision(p)
			return p.ID, err
		}, func(tx store.Tx, q string, p store.Page) ([]int64, []string, string, error) {
			list, next, err := tx.ListProvisions(q, p)
			return listed(list, next, err, func(p *directory.Provision) (int64, string) { return p.ID, p.Name })
		}},
		{"delivery method", false, func(tx store.Tx, name string) (int64, error) {
			d := &catalog.DeliveryMethod{AppID: f.app.ID, Name: name, Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"true"}}}}
			d.SetDefaults()
			err := tx.CreateDeliveryMethod(d)
			return d.ID, err
		}, func(tx store.Tx, q string, p store.Page) ([]int64, []string, string, error) {
			list, next, err := tx.ListDeliveryMethods(0, q, p)
			return listed(list, next, err, func(d *catalog.DeliveryMethod) (int64, string) { return d.ID, d.Name })
		}},
		{"device", false, func(tx store.Tx, name string) (int64, error) {
			a := &store.Agent{Kind: wire.Player, Name: name, Credential: []byte("c")}
			err := tx.CreateAgent(a)
			return a.ID, err
		}, func(tx store.Tx, q string, p store.Page) ([]int64, []string, string, error) {
			list, next, err := tx.ListAgents(wire.Player, q, p)
			return listed(list, next, err, func(a *store.Agent) (int64, string) { return a.ID, a.Name })
		}},
	}
}

// testOneName: of two spellings of a name only one is free, and either finds what has it.
func testOneName(t *testing.T, e *env) {
	f := e.fixture()
	for i, pair := range OneName {
		for _, p := range [][2]string{pair, {pair[1], pair[0]}} {
			one, other := p[0], p[1]
			for _, k := range things(f) {
				var id int64
				rollback := errors.New("roll back")
				err := e.st.Update(t.Context(), func(tx store.Tx) (err error) {
					if id, err = k.make(tx, one); err != nil {
						return err
					}
					// Terms of one letter and of two have no trigram.
					for _, q := range []string{one, other, string([]rune(other)[:1]), string([]rune(other)[:2]), string([]rune(other)[1:])} {
						if []rune(other)[1] == '\u0301' && len([]rune(q)) == 1 {
							continue // half a letter
						}
						ids, _, _, err := k.list(tx, q, store.Page{Size: 500})
						if err != nil || !slices.Contains(ids, id) {
							t.Errorf("%s %q is not found by %q: %v, %v", k.kind, one, q, ids, err)
						}
					}
					if k.kind == "user" {
						u, err := tx.UserByName(other)
						if err != nil || u.ID != id || u.Username != one {
							t.Errorf("%q does not sign in as %q: %v, %v", one, other, u, err)
						}
					}
					return rollback
				})
				if !errors.Is(err, rollback) {
					t.Errorf("%s %q: %v", k.kind, one, err)
				}
				err = e.st.Update(t.Context(), func(tx store.Tx) error {
					if _, err := k.make(tx, one); err != nil {
						return err
					}
					if _, err := k.make(tx, other); err != nil {
						return err
					}
					return rollback
				})
				if want := map[bool]error{true: store.ErrNameTaken, false: rollback}[k.unique]; !errors.Is(err, want) {
					t.Errorf("%s %q beside %q: %v, want %v", k.kind, other, one, err, want)
				}
			}
			// Sessions are found by what they refer to, as it is called now.
			s := e.launch(f, 0, true)
			e.update(func(tx store.Tx) error {
				f.users[0].Name, f.users[0].Email = "X "+one+" Y", fmt.Sprintf("%s%d@example.org", one, i)
				return tx.SaveUser(f.users[0])
			})
			for _, q := range []store.SessionQuery{{Q: other}, {Username: other}, {Email: other}, {Q: other, Sort: "user"}} {
				if got := e.list(q); !slices.Contains(got, s.ID) {
					t.Errorf("session of %q is not found by %+v: %v", one, q, got)
				}
			}
			e.update(func(tx store.Tx) error {
				f.users[0].Name, f.users[0].Email, f.app.Name, f.provision.Name = "X", "x@example.org", one, "P"
				return errors.Join(tx.SaveUser(f.users[0]), tx.SaveApp(f.app), tx.SaveProvision(f.provision))
			})
			same(t, "by the app "+one, slices.Contains(e.list(store.SessionQuery{Q: other}), s.ID), true)
			e.update(func(tx store.Tx) error {
				f.app.Name, f.provision.Name = "A", one
				return errors.Join(tx.SaveApp(f.app), tx.SaveProvision(f.provision))
			})
			same(t, "by the provision "+one, slices.Contains(e.list(store.SessionQuery{Q: other}), s.ID), true)
			f.provision.Name = "P"
			e.update(func(tx store.Tx) error { return tx.SaveProvision(f.provision) })
		}
	}
}

// testTwoNames: what no folding makes one is two, whatever a locale thinks of it.
func testTwoNames(t *testing.T, e *env) {
	f := e.fixture()
	for _, p := range [][2]string{{"résumé", "resume"}, {"ırmak", "irmak"}, {"co-op", "coop"}, {"и", "й"}, {"a\u00a0b", "a b"}, {"ａ", "a"}, {"æther", "aether"}} {
		for _, k := range things(f) {
			e.update(func(tx store.Tx) error {
				id, err := k.make(tx, p[0])
				if err != nil {
					return err
				}
				if ids, _, _, err := k.list(tx, p[1], store.Page{}); err != nil || slices.Contains(ids, id) {
					t.Errorf("%s %q is found by %q: %v", k.kind, p[0], p[1], err)
				}
				if _, err := k.make(tx, p[1]); err != nil {
					t.Errorf("%s %q beside %q: %v", k.kind, p[1], p[0], err)
				}
				return nil
			})
		}
	}
}

// testNamesInOrder: every list by name is in the byte order of the folded names, on any
// database and in any locale, and pages of it are whole.
func testNamesInOrder(t *testing.T, e *env) {
	f := e.fixture()
	// In the order wanted. Locales sort the accents, the signs and the digraph otherwise.
	order := []string{"!z", "10", "9", "a b", "A-c", "a_d", "AB", "CH", "Cz", "d", "Strasse a", "STRAßE B", "Z", "ÄB", "ä\u0301c", "ångström", "éa", "Éb", "ИА", "иб", "字"}
	mixed := slices.Clone(order)
	slices.Sort(mixed)
	for _, k := range things(f) {
		e.update(func(tx store.Tx) error {
			for _, name := range mixed {
				if _, err := k.make(tx, name); err != nil {
					return fmt.Errorf("%s %q: %w", k.kind, name, err)
				}
			}
			return nil
		})
		for _, size := range []int{1, 4, 500} {
			var got []string
			e.view(func(tx store.Tx) error {
				for p := (store.Page{Size: size}); ; {
					_, names, next, err := k.list(tx, "", p)
					if err != nil {
						return err
					}
					for _, n := range names {
						if slices.Contains(order, n) {
							got = append(got, n)
						}
					}
					if p.Token = next; next == "" {
						return nil
					}
				}
			})
			same(t, fmt.Sprintf("%ss, %d a page", k.kind, size), got, order)
		}
	}
	// Sessions go by the names of what they refer to, also after these have changed.
	var users, want []int64
	byName := map[string]int64{}
	for _, name := range mixed {
		u := &directory.User{Username: "u" + fmt.Sprint(len(users)), Name: "N", Email: "e", Role: directory.RoleUser, Status: directory.Active}
		e.update(func(tx store.Tx) error { return tx.CreateUser(u) })
		users = append(users, u.ID)
		f.users[0] = u
		s := e.launch(f, 0, true)
		byName[name] = s.ID
		e.update(func(tx store.Tx) error {
			u.Name, u.Email = name, name
			return tx.SaveUser(u)
		})
	}
	for _, name := range order {
		want = append(want, byName[name])
	}
	for _, key := range []store.Sort{"user", "email"} {
		same(t, "sessions by "+string(key), e.list(store.SessionQuery{Sort: key, PageSize: 4}), want)
		down := e.list(store.SessionQuery{Sort: "-" + key, PageSize: 4})
		slices.Reverse(down)
		same(t, "sessions by -"+string(key), down, want)
	}
}
