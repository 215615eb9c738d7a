package adminapi

import (
	"context"
	"net/http"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

type empty struct{}

// none answers 204.
func none(err error) (*empty, error) {
	if err != nil {
		return nil, err
	}
	return &empty{}, nil
}

// App is an app as the API shows it.
type App struct {
	ID          int64          `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Status      catalog.Status `json:"status" enum:"active,suspended"`
	CreatedAt   time.Time      `json:"created_at"`
}

func appOf(a *catalog.App) App { return App{a.ID, a.Name, a.Description, a.Status, a.CreatedAt} }

type body[T any] struct {
	Body T
}

func one[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

func (s *Server) apps() {
	type AppList struct {
		Apps          []App  `json:"apps"`
		NextPageToken string `json:"next_page_token"`
	}
	op(s, auth.AdminOnly, "GET", "/apps", "list-apps", "List apps", func(ctx context.Context, in *PageInput) (*body[AppList], error) {
		as, next, err := s.Control.ListApps(ctx, in.Q, in.page())
		return one(AppList{mapped(as, appOf), next}, err)
	})
	type AppCreate struct {
		Body struct {
			Name        string `json:"name"`
			Description string `json:"description,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/apps", "create-app", "Create an app", func(ctx context.Context, in *AppCreate) (*tagged[App], error) {
		a := &catalog.App{Name: in.Body.Name, Description: in.Body.Description}
		err := s.Control.CreateApp(ctx, whoOf(ctx), a)
		return record(appOf(a), err)
	}, status(http.StatusCreated))
	op(s, auth.AdminOnly, "GET", "/apps/{id}", "get-app", "One app", func(ctx context.Context, in *IDInput) (*tagged[App], error) {
		a, err := s.Control.App(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return record(appOf(a), nil)
	})
	type AppUpdate struct {
		UpdateInput
		Body struct {
			Name        Change[string] `json:"name,omitempty"`
			Description Change[string] `json:"description,omitempty"`
			EndingBody
			Status Change[catalog.Status] `json:"status,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/apps/{id}", "update-app", "Change or suspend an app", func(ctx context.Context, in *AppUpdate) (*tagged[App], error) {
		a, err := s.Control.UpdateApp(ctx, whoOf(ctx), in.ID, in.Body.ending(), func(a *catalog.App) error {
			if err := in.match(appOf(a)); err != nil {
				return err
			}
			patch(&a.Name, in.Body.Name)
			patch(&a.Description, in.Body.Description)
			patch(&a.Status, in.Body.Status)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return record(appOf(a), nil)
	})
	op(s, auth.AdminOnly, "DELETE", "/apps/{id}", "delete-app", "Delete an app", func(ctx context.Context, in *DeleteInput) (*empty, error) {
		return none(s.Control.DeleteApp(ctx, whoOf(ctx), in.ID, in.ending()))
	})
}

func mapped[A, B any](as []A, f func(A) B) []B {
	out := make([]B, len(as))
	for i, a := range as {
		out[i] = f(a)
	}
	return out
}

func numbers(ids []int64) []int64 {
	if ids == nil {
		return []int64{}
	}
	return ids
}

// User is a user as the API shows it.
type User struct {
	ID        int64            `json:"id"`
	Username  string           `json:"username"`
	Name      string           `json:"name"`
	Email     string           `json:"email"`
	Role      directory.Role   `json:"role" enum:"user,admin"`
	Status    directory.Status `json:"status" enum:"active,suspended"`
	Source    string           `json:"source"`
	GroupIDs  []int64          `json:"group_ids"`
	CreatedAt time.Time        `json:"created_at"`

	MustChangePassword bool `json:"must_change_password" doc:"Before they can do anything else"`
}

func userOf(u *directory.User) User {
	return User{u.ID, u.Username, u.Name, u.Email, u.Role, u.Status, u.Source, numbers(u.GroupIDs), u.CreatedAt, u.MustChangePassword}
}

func (s *Server) users() {
	type UserList struct {
		Users         []User `json:"users"`
		NextPageToken string `json:"next_page_token"`
	}
	op(s, auth.AdminOnly, "GET", "/users", "list-users", "List users", func(ctx context.Context, in *PageInput) (*body[UserList], error) {
		us, next, err := s.Control.ListUsers(ctx, in.Q, in.page())
		return one(UserList{mapped(us, userOf), next}, err)
	})
	type UserCreate struct {
		Body struct {
			Username string         `json:"username"`
			Name     string         `json:"name,omitempty"`
			Email    string         `json:"email,omitempty"`
			Password string         `json:"password,omitempty"`
			Role     directory.Role `json:"role,omitempty"`
			GroupIDs []int64        `json:"group_ids,omitempty"`

			MustChangePassword bool `json:"must_change_password,omitempty" doc:"They must choose a password of their own first"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/users", "create-user", "Create a user", func(ctx context.Context, in *UserCreate) (*tagged[User], error) {
		u := &directory.User{Username: in.Body.Username, Name: in.Body.Name, Email: in.Body.Email, Role: in.Body.Role, GroupIDs: in.Body.GroupIDs, MustChangePassword: in.Body.MustChangePassword}
		err := s.Control.CreateUser(ctx, whoOf(ctx), u, in.Body.Password)
		return record(userOf(u), err)
	}, status(http.StatusCreated))
	op(s, auth.AdminOnly, "GET", "/users/{id}", "get-user", "One user", func(ctx context.Context, in *IDInput) (*tagged[User], error) {
		u, err := s.Control.User(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return record(userOf(u), nil)
	})
	type UserUpdate struct {
		UpdateInput
		Body struct {
			Username Change[string] `json:"username,omitempty"`
			Name     Change[string] `json:"name,omitempty"`
			Email    Change[string] `json:"email,omitempty"`
			Password Change[string] `json:"password,omitempty" doc:"Of somebody else: they must change it when they next sign in"`
			EndingBody
			Role     Change[directory.Role]   `json:"role,omitempty"`
			Status   Change[directory.Status] `json:"status,omitempty"`
			GroupIDs Change[[]int64]          `json:"group_ids,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/users/{id}", "update-user", "Change or suspend a user", func(ctx context.Context, in *UserUpdate) (*tagged[User], error) {
		u, err := s.Control.UpdateUser(ctx, whoOf(ctx), in.ID, in.Body.Password.value, in.Body.ending(), func(u *directory.User) error {
			if err := in.match(userOf(u)); err != nil {
				return err
			}
			patch(&u.Username, in.Body.Username)
			patch(&u.Name, in.Body.Name)
			patch(&u.Email, in.Body.Email)
			patch(&u.Role, in.Body.Role)
			patch(&u.Status, in.Body.Status)
			patch(&u.GroupIDs, in.Body.GroupIDs)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return record(userOf(u), nil)
	})
	op(s, auth.AdminOnly, "DELETE", "/users/{id}", "delete-user", "Delete a user", func(ctx context.Context, in *DeleteInput) (*empty, error) {
		return none(s.Control.DeleteUser(ctx, whoOf(ctx), in.ID, in.ending()))
	})
}

// Group is a group as the API shows it.
type Group struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Source    string    `json:"source"`
	UserIDs   []int64   `json:"user_ids"`
	CreatedAt time.Time `json:"created_at"`
}

func groupOf(g *directory.Group) Group {
	return Group{g.ID, g.Name, g.Source, numbers(g.UserIDs), g.CreatedAt}
}

func (s *Server) groups() {
	type GroupList struct {
		Groups        []Group `json:"groups"`
		NextPageToken string  `json:"next_page_token"`
	}
	op(s, auth.AdminOnly, "GET", "/groups", "list-groups", "List groups", func(ctx context.Context, in *PageInput) (*body[GroupList], error) {
		gs, next, err := s.Control.ListGroups(ctx, in.Q, in.page())
		return one(GroupList{mapped(gs, groupOf), next}, err)
	})
	type GroupCreate struct {
		Body struct {
			Name    string  `json:"name"`
			UserIDs []int64 `json:"user_ids,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/groups", "create-group", "Create a group", func(ctx context.Context, in *GroupCreate) (*tagged[Group], error) {
		g := &directory.Group{Name: in.Body.Name, UserIDs: in.Body.UserIDs}
		err := s.Control.CreateGroup(ctx, whoOf(ctx), g)
		return record(groupOf(g), err)
	}, status(http.StatusCreated))
	op(s, auth.AdminOnly, "GET", "/groups/{id}", "get-group", "One group", func(ctx context.Context, in *IDInput) (*tagged[Group], error) {
		g, err := s.Control.Group(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return record(groupOf(g), nil)
	})
	type GroupUpdate struct {
		UpdateInput
		Body struct {
			Name    Change[string]  `json:"name,omitempty"`
			UserIDs Change[[]int64] `json:"user_ids,omitempty"`
			EndingBody
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/groups/{id}", "update-group", "Change a group", func(ctx context.Context, in *GroupUpdate) (*tagged[Group], error) {
		g, err := s.Control.UpdateGroup(ctx, whoOf(ctx), in.ID, in.Body.ending(), func(g *directory.Group) error {
			if err := in.match(groupOf(g)); err != nil {
				return err
			}
			patch(&g.Name, in.Body.Name)
			patch(&g.UserIDs, in.Body.UserIDs)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return record(groupOf(g), nil)
	})
	op(s, auth.AdminOnly, "DELETE", "/groups/{id}", "delete-group", "Delete a group", func(ctx context.Context, in *DeleteInput) (*empty, error) {
		return none(s.Control.DeleteGroup(ctx, whoOf(ctx), in.ID, in.ending()))
	})
}

// Agent is a device or host as the API shows it.
type Agent struct {
	ID          int64               `json:"id"`
	Name        string              `json:"name"`
	OS          string              `json:"os"`
	Arch        string              `json:"arch"`
	Version     string              `json:"version"`
	LastSeenAt  *time.Time          `json:"last_seen_at"`
	Ownership   directory.Ownership `json:"ownership" enum:"organisation,own"`
	Pool        string              `json:"pool,omitempty" doc:"Of a host: the pool that delivery methods name"`
	Missing     []string            `json:"missing,omitempty" doc:"Of a host: what it does not offer to its sessions, a line each"`
	Slots       int                 `json:"slots,omitempty" doc:"Of a host: how many sessions it can have at once, as it says"`
	Approved    bool                `json:"approved" doc:"Of a host: launches may go there. A device needs no approval"`
	Quarantined bool                `json:"quarantined" doc:"Its state folder was copied: it gets no leases until it is enrolled anew"`
	Simulated   bool                `json:"simulated,omitempty"`
	CreatedAt   time.Time           `json:"created_at"`
}

func agentOf(a *store.Agent) Agent {
	return Agent{a.ID, a.Name, a.OS, a.Arch, a.Version, ptr(a.Seen.At), a.Ownership, a.Pool, a.Missing, a.Slots, a.Approved, a.Chain.Quarantined, a.Simulated, a.CreatedAt}
}

func (a Agent) steady() any { return []any{a.ID, a.Name, a.Ownership, a.Pool, a.Approved} }

// agents adds the same operations for devices and for hosts.
func (s *Server) agents() {
	type DeviceList struct {
		Devices       []Agent `json:"devices"`
		NextPageToken string  `json:"next_page_token"`
	}
	type HostList struct {
		Hosts         []Agent `json:"hosts"`
		NextPageToken string  `json:"next_page_token"`
	}
	op(s, auth.AdminOnly, "GET", "/devices", "list-devices", "List devices", func(ctx context.Context, in *PageInput) (*body[DeviceList], error) {
		as, next, err := s.Control.ListAgents(ctx, wire.Player, in.Q, in.page())
		return one(DeviceList{mapped(as, agentOf), next}, err)
	})
	op(s, auth.AdminOnly, "GET", "/hosts", "list-hosts", "List stream hosts", func(ctx context.Context, in *PageInput) (*body[HostList], error) {
		as, next, err := s.Control.ListAgents(ctx, wire.Host, in.Q, in.page())
		return one(HostList{mapped(as, agentOf), next}, err)
	})
	for _, k := range []struct {
		kind       wire.AgentKind
		path, name string
	}{{wire.Player, "/devices", "device"}, {wire.Host, "/hosts", "host"}} {
		get := func(ctx context.Context, id int64) (*store.Agent, error) {
			a, err := s.Control.Agent(ctx, id)
			if err == nil && a.Kind != k.kind {
				return nil, store.ErrNotFound
			}
			return a, err
		}
		op(s, auth.AdminOnly, "GET", k.path+"/{id}", "get-"+k.name, "One "+k.name, func(ctx context.Context, in *IDInput) (*tagged[Agent], error) {
			a, err := get(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return record(agentOf(a), nil)
		})
		type AgentUpdate struct {
			UpdateInput
			Body struct {
				Name      Change[string]              `json:"name,omitempty"`
				Ownership Change[directory.Ownership] `json:"ownership,omitempty" enum:"organisation,own"`
				Pool      Change[string]              `json:"pool,omitempty" doc:"Of a host: the pool that delivery methods name; empty, or default, is the default pool"`
				Approved  Change[bool]                `json:"approved,omitempty" doc:"Of a host: launches may go there"`
				EndingBody
			}
		}
		op(s, auth.AdminOnly, "PATCH", k.path+"/{id}", "update-"+k.name, "Change a "+k.name, func(ctx context.Context, in *AgentUpdate) (*tagged[Agent], error) {
			if _, err := get(ctx, in.ID); err != nil {
				return nil, err
			}
			a, err := s.Control.UpdateAgent(ctx, whoOf(ctx), in.ID, in.Body.ending(), func(a *store.Agent) error {
				if err := in.match(agentOf(a)); err != nil {
					return err
				}
				patch(&a.Name, in.Body.Name)
				patch(&a.Ownership, in.Body.Ownership)
				patch(&a.Pool, in.Body.Pool)
				patch(&a.Approved, in.Body.Approved)
				return nil
			})
			if err != nil {
				return nil, err
			}
			return record(agentOf(a), nil)
		})
		op(s, auth.AdminOnly, "DELETE", k.path+"/{id}", "delete-"+k.name, "Take a "+k.name+"'s credential away", func(ctx context.Context, in *IDInput) (*empty, error) {
			if _, err := get(ctx, in.ID); err != nil {
				return nil, err
			}
			return none(s.Control.DeleteAgent(ctx, whoOf(ctx), in.ID))
		})
	}
}
