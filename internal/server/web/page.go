package web

import (
	"time"

	"leasehold/internal/session"
)

// A page is what the layout needs to know of any page.
type page struct {
	Title  string
	Nav    string // key of the side bar's current entry
	Portal bool   // the portal's layout instead of the admin's
	Viewer viewer
	Theme  string // "light", "dark" or "" for the system's wish
	Now    time.Time
	Path   string // of this page with its query, to come back to
	Flash  *toast

	assets *assets
}

// A viewer is the signed-in person; the zero viewer is nobody.
type viewer struct {
	Name     string
	Username string
	Admin    bool
	Zone     string // in which times are shown; "" for the browser's
}

func (v viewer) known() bool { return v.Username != "" }

// A toast says what a change has done, with a link to the thing it was done to.
type toast struct {
	Text string `json:"t"`
	Link string `json:"l,omitempty"`
	Name string `json:"n,omitempty"` // the link's words
	Bad  bool   `json:"b,omitempty"`
	// File is a file whose download it confirms. It stands at the top of the page then,
	// until it is dismissed.
	File string `json:"f,omitempty"`
}

// A navGroup is a part of the side bar. Pages that do not exist are not in it.
type navGroup struct {
	Title string
	Items []navItem
}

type navItem struct{ Key, Name, Path, Icon string }

var adminNav = []navGroup{
	{"Device apps", []navItem{
		{"sessions", "Sessions", "/admin/sessions", "layout-list"},
		{"devices", "Devices", "/admin/devices", "device-laptop"},
	}},
	{"Streaming", []navItem{
		{"streams", "Sessions", streamsPath, "layout-list"},
		{"hosts", "Hosts", hostsPath, "device-desktop"},
	}},
	{"Catalogue", []navItem{
		{"apps", "Apps", "/admin/apps", "apps"},
		{"delivery-methods", "Delivery methods", "/admin/delivery-methods", "package"},
		{"provisions", "Provisions", "/admin/provisions", "ticket"},
	}},
	{"People", []navItem{
		{"users", "Users", "/admin/users", "user"},
		{"groups", "Groups", "/admin/groups", "users-group"},
	}},
	{"Record", []navItem{
		{"keys", "Enrolment keys", keysPath, "key"},
		{"audit", "Audit", "/admin/audit", "clipboard-list"},
		{"settings", "Settings", settingsPath, "adjustments"},
	}},
}

// A status is a session's state as the pages show it: a dot, a word, and what
// is still open about it.
type status struct {
	Word string
	Tone string // green, blue, grey, amber or red
	// Closes is when an open order is carried out; Closed is when it was. At most one of
	// them is set.
	Closes  session.Forecast
	Closed  time.Time
	Deleted time.Time // when its session left the list
	Note    string    // said on hover
	Extra   string    // said beside the word
}

// tones holds the colour of each status word, for both kinds of session.
var tones = map[string]string{
	"running": "green", "connected": "green", "active": "green", "enabled": "green",
	"launched": "blue", "added": "blue", "starting": "blue", "renewal_requested": "blue", "upgrade_requested": "blue",
	"stopped": "grey", "disconnected": "grey", "removed": "grey", "disabled": "grey", "not yet": "grey", "over": "grey", "used up": "grey", "revoked": "grey",
	"evicted": "amber", "awaiting_expiry": "amber", "unknown": "amber", "suspended": "amber", "quarantined": "amber", "not approved": "amber", "backing off": "amber",
	"expired": "red", "killed": "red", "failed": "red",
}

func toneOf(word string) string {
	if t := tones[word]; t != "" {
		return t
	}
	return "grey"
}
