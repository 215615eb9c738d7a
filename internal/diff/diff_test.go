package diff_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/diff"
	"leasehold/internal/directory"
	"leasehold/internal/store"
)

// TestBetween: what differs is named as the API names it, in its order, and no secret is told.
func TestBetween(t *testing.T) {
	day := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	ann := &directory.User{ID: 3, Username: "ann", Role: directory.RoleUser, PasswordHash: "$argon2id$old", GroupIDs: []int64{2, 1}}
	root := &directory.User{ID: 3, Username: "ann", Role: directory.RoleAdmin, PasswordHash: "$argon2id$new", MustChangePassword: true, GroupIDs: []int64{1, 2}}
	many := make([]int64, 500)
	for i := range many {
		many[i] = int64(i + 1)
	}
	for _, c := range []struct {
		name          string
		before, after any
		want          []store.Change
	}{
		{"nothing", ann, ann, nil},
		{"both missing", nil, nil, nil},
		{"user", ann, root, []store.Change{{Field: "role", Before: "user", After: "admin"}, {Field: "password", Before: "changed", After: "changed"}, {Field: "must_change_password", Before: "false", After: "true"}}},
		{"made", nil, ann, []store.Change{{Field: "username", After: "ann"}, {Field: "role", After: "user"}, {Field: "password", After: "changed"}, {Field: "group_ids", After: "1, 2"}}},
		{"deleted", ann, nil, []store.Change{{Field: "username", Before: "ann"}, {Field: "role", Before: "user"}, {Field: "password", Before: "changed"}, {Field: "group_ids", Before: "1, 2"}}},
		{"method", &catalog.DeliveryMethod{Packages: []catalog.Package{{Type: "command", Command: []string{"a", "b"}}}},
			&catalog.DeliveryMethod{AppID: 5, Licence: catalog.Licence{Seats: 4}, Packages: []catalog.Package{{Type: "command", Command: []string{"a", "c"}}, {OS: "linux"}}, Stream: &catalog.StreamSettings{Pool: "gpu"}},
			[]store.Change{{Field: "app_id", Before: "0", After: "5"}, {Field: "licence.seats", Before: "0", After: "4"}, {Field: "packages.0.command", Before: "a, b", After: "a, c"}, {Field: "packages.1.os", After: "linux"}, {Field: "stream.pool", After: "gpu"}}},
		{"provision", &directory.Provision{StartsAt: day}, &directory.Provision{EndsAt: day, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			[]store.Change{{Field: "starts_at", Before: "2026-11-02T08:00:00Z"}, {Field: "ends_at", After: "2026-11-02T08:00:00Z"}, {Field: "networks", After: "10.0.0.0/8"}}},
		{"agent", &store.Agent{Credential: []byte("x"), Pool: "a"}, &store.Agent{Credential: []byte("x"), Pool: "b", Seq: 5}, []store.Change{{Field: "pool", Before: "a", After: "b"}}},
		{"long list", &directory.Group{UserIDs: many}, &directory.Group{UserIDs: append([]int64{900}, many[1:]...)}, []store.Change{{Field: "user_ids", Before: "1 and 499 others", After: "900 and 499 others"}}},
		{"settings", &control.Settings{WaitSeconds: 30}, &control.Settings{WaitSeconds: 40}, []store.Change{{Field: "wait_seconds", Before: "30", After: "40"}}},
		{"key", nil, &store.EnrolmentKey{Hash: []byte{1}, UsesLeft: 1}, []store.Change{{Field: "key", After: "changed"}, {Field: "uses_left", After: "1"}}},
	} {
		if got := diff.Between(c.before, c.after); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v,\nwant %+v", c.name, got, c.want)
		}
	}
	long := diff.Between(nil, &catalog.App{Description: strings.Repeat("ä", 5000)})
	if len(long) != 1 || len([]rune(long[0].After)) != 2001 {
		t.Errorf("a long text is kept as %d bytes", len(long[0].After))
	}
}
