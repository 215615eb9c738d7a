package auth

import (
	"fmt"
	"net/http"
	"sort"
)

// Access says who may call a route. It is the one table of who may do what at the edge:
// the faces of the server hand each route to [Routes.Handle] with its access, and a route
// without one does not exist.
type Access int

const (
	Public    Access = iota + 1 // anybody
	SignedIn                    // any active user
	AdminOnly                   // active users of the role admin
	AgentOnly                   // an enrolled agent with its credential
)

func (a Access) String() string {
	switch a {
	case Public:
		return "public"
	case SignedIn:
		return "signed in"
	case AdminOnly:
		return "admin"
	case AgentOnly:
		return "agent"
	}
	return fmt.Sprintf("access(%d)", int(a))
}

// Valid reports whether a is one of the constants.
func (a Access) Valid() bool { return a >= Public && a <= AgentOnly }

// Gate turns a handler into one that lets only those in whom the access names. Each face
// has its own, because each says no in its own way.
type Gate func(Access, http.Handler) http.Handler

// Routes is a mux whose every route declares its access.
type Routes struct {
	mux    *http.ServeMux
	access map[string]Access
}

// NewRoutes returns an empty mux.
func NewRoutes() *Routes {
	return &Routes{mux: http.NewServeMux(), access: map[string]Access{}}
}

// Handle adds a route behind the gate. It panics without an access: that is a mistake in
// the program, found by any test that builds the server.
func (r *Routes) Handle(pattern string, a Access, gate Gate, h http.Handler) {
	if !a.Valid() {
		panic("auth: route " + pattern + " declares no access")
	}
	r.access[pattern] = a
	r.mux.Handle(pattern, gate(a, h))
}

// ServeHTTP dispatches to the routes.
func (r *Routes) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.mux.ServeHTTP(w, q) }

// List returns every route's pattern with its access, sorted.
func (r *Routes) List() []string {
	var out []string
	for p, a := range r.access {
		out = append(out, p+": "+a.String())
	}
	sort.Strings(out)
	return out
}
