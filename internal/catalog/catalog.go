// Package catalog holds what people launch: apps, the methods by which each is delivered,
// and the packages that a player adds. It is pure: it says what a valid one is and what
// follows from it, and stores nothing.
package catalog

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// Status of an app: a suspended one is not launched and its renewals are refused.
type Status string

const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// App is something people launch.
type App struct {
	ID          int64
	Name        string // unique among apps that are not deleted, by its fold
	Description string
	Status      Status
	CreatedAt   time.Time
	DeletedAt   time.Time // zero unless deleted; its sessions still name it
}

// Validate returns an [invalid.Error] that names each field which is not right.
func (a *App) Validate() error {
	var e invalid.Error
	e.Name("name", a.Name, 1, 200)
	e.Text("description", a.Description, 0, 2000)
	e.OneOf("status", string(a.Status), string(Active), string(Suspended))
	return e.Err()
}

// PackageType says how a package is brought.
type PackageType string

const (
	Command PackageType = "command" // a program that is on the device already
	Archive PackageType = "archive" // a .zip or .tar.gz from a URL, with its digest
	OCI     PackageType = "oci"     // an artefact of an OCI registry
)

// Package is what a player adds for one platform.
type Package struct {
	OS        string      `json:"os,omitempty"`   // as GOOS; empty for any
	Arch      string      `json:"arch,omitempty"` // as GOARCH; empty for any
	Type      PackageType `json:"type"`
	URL       string      `json:"url,omitempty"`
	SHA256    string      `json:"sha256,omitempty"`    // lower-case hex of the archive
	Reference string      `json:"reference,omitempty"` // registry/repository@sha256:… of an artefact or an index of them
	Command   []string    `json:"command"`             // program and arguments; in an archive or artefact relative to its root
}

// Licence says how a delivery method's leases are held.
type Licence struct {
	Type           lease.Kind `json:"type"`
	OfflineSeconds int        `json:"offline_seconds,omitempty"` // of a fixed licence
	Seats          int        `json:"seats,omitempty"`           // 0 for no limit
}

// StreamSettings are those of a delivery method of kind stream.
type StreamSettings struct {
	Geometry         string `json:"geometry"`                // WIDTHxHEIGHT at first, as 1280x800
	ReconnectSeconds int    `json:"reconnect_seconds"`       // how long nobody may watch it
	IdleSeconds      int    `json:"idle_seconds"`            // how long nobody may use it; 0: for ever
	MaxSeconds       int    `json:"max_seconds"`             // how long it may last; 0: for ever
	Pool             string `json:"pool" required:"false"`   // of hosts, as [Pool] has it; "" is the default pool
	ClipboardOff     bool   `json:"clipboard_off,omitempty"` // nothing is copied into it or out of it
	// Sandbox is StrictSandbox if empty. Only an administrator of all apps sets NestedSandbox.
	Sandbox Sandbox `json:"sandbox,omitempty" enum:"strict,nested"`
	// Network is Internet if empty.
	Network Network `json:"network,omitempty" enum:"none,internet,host"`
	// Allow are the private addresses that a session with network internet may reach all the
	// same, each as [Allowance] reads it: such as a licence server.
	Allow []string `json:"allow,omitempty"`
}

// Network says what a streamed session reaches.
type Network string

// The networks. A session with that of the host is not separated from it.
const (
	NoNetwork   Network = "none"
	Internet    Network = "internet" // public addresses alone, and the host's name servers
	HostNetwork Network = "host"
)

// Allowance reads an IPv4 network and a port, as in 10.1.2.0/24:27000. A plain address is a
// network of one. Streamed sessions have no IPv6.
func Allowance(s string) (to netip.Prefix, port uint16, err error) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return to, 0, errors.New("has no port")
	}
	n, err := strconv.ParseUint(s[at+1:], 10, 16)
	if err != nil || n == 0 {
		return to, 0, errors.New("has no port between 1 and 65535")
	}
	host := s[:at]
	if to, err = netip.ParsePrefix(host); err != nil {
		address, aerr := netip.ParseAddr(host)
		if aerr != nil {
			return to, 0, errors.New("has no address or network, as 10.1.2.0/24")
		}
		to = netip.PrefixFrom(address, address.BitLen())
	}
	if !to.Addr().Is4() {
		return to, 0, errors.New("is not of IPv4")
	}
	return to.Masked(), uint16(n), nil
}

// Sandbox says what the app of a stream may do within its session.
type Sandbox string

// The sandboxes. In a nested one programs may make sandboxes of their own, as Chromium and
// Electron do; that takes more of the host's kernel.
const (
	StrictSandbox Sandbox = "strict"
	NestedSandbox Sandbox = "nested"
)

// DefaultPool is what people call the pool of the hosts and delivery methods that name none.
const DefaultPool = "default"

// Pool is the name of a pool of hosts as it is stored: without space around it, and "" for
// the default pool, which may also be called [DefaultPool] in any case.
func Pool(name string) string {
	if name = strings.TrimSpace(name); fold.Fold(name) == DefaultPool {
		return ""
	}
	return name
}

// Defaults of a delivery method, in seconds. Hosts check in every ten (spec §3).
const (
	DefaultHeartbeat = 300
	StreamHeartbeat  = 10
)

// DefaultWarnings are those of the reference: two minutes, and one.
var DefaultWarnings = []int{120, 60}

// DeliveryMethod is one way of delivering an app.
type DeliveryMethod struct {
	ID               int64
	AppID            int64
	Name             string
	Kind             session.Kind
	Licence          Licence
	HeartbeatSeconds int
	WarningsSeconds  []int // before closing, largest first
	SuccessorID      int64 // what its sessions upgrade to, 0 for none
	Packages         []Package
	Stream           *StreamSettings
	CreatedAt        time.Time
	DeletedAt        time.Time
}

// SetDefaults fills what was left out of a new delivery method.
func (d *DeliveryMethod) SetDefaults() {
	d.Kind = cmp.Or(d.Kind, session.Device)
	d.Licence.Type = cmp.Or(d.Licence.Type, lease.Floating)
	if d.Kind == session.Stream {
		d.HeartbeatSeconds = cmp.Or(d.HeartbeatSeconds, StreamHeartbeat)
		if d.Stream == nil {
			d.Stream = &StreamSettings{Geometry: "1280x800", ReconnectSeconds: 300, IdleSeconds: 3600, MaxSeconds: 12 * 3600}
		}
		return
	}
	d.HeartbeatSeconds = cmp.Or(d.HeartbeatSeconds, DefaultHeartbeat)
	if d.WarningsSeconds == nil {
		d.WarningsSeconds = slices.Clone(DefaultWarnings)
	}
}

// Terms are the delivery method's terms for leases. forceMargin is the setting that says
// how long an app that was asked to close may take.
func (d *DeliveryMethod) Terms(forceMargin time.Duration) lease.Terms {
	t := lease.Terms{
		Kind:        d.Licence.Type,
		Heartbeat:   time.Duration(d.HeartbeatSeconds) * time.Second,
		Offline:     time.Duration(d.Licence.OfflineSeconds) * time.Second,
		ForceMargin: forceMargin,
	}
	for _, w := range d.WarningsSeconds {
		t.Window = max(t.Window, time.Duration(w)*time.Second)
	}
	return t
}

// PackageFor picks the package for a platform: the first whose OS and architecture are
// those or left open. It returns nil if none fits.
func (d *DeliveryMethod) PackageFor(os, arch string) *Package {
	for i := range d.Packages {
		p := &d.Packages[i]
		if (p.OS == "" || p.OS == os) && (p.Arch == "" || p.Arch == arch) {
			return p
		}
	}
	return nil
}

var (
	geometry = regexp.MustCompile(`^([1-9][0-9]{2,3})x([1-9][0-9]{2,3})$`)
	digest   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Validate puts the warnings in order and the pool as [Pool] has it, and returns an [invalid.Error] that names each field
// which is not right. Of a new one, call SetDefaults first; in a change 0 is no heartbeat,
// not the default.
func (d *DeliveryMethod) Validate() error {
	var e invalid.Error
	slices.SortFunc(d.WarningsSeconds, func(a, b int) int { return b - a })
	e.Name("name", d.Name, 1, 200)
	if d.AppID == 0 {
		e.Add("app_id", "is required")
	}
	e.OneOf("kind", string(d.Kind), string(session.Device), string(session.Stream))
	e.OneOf("licence.type", string(d.Licence.Type), string(lease.Floating), string(lease.Fixed))
	e.Range("licence.seats", d.Licence.Seats, 0, 1_000_000)
	if d.Licence.Type == lease.Fixed {
		e.Range("licence.offline_seconds", d.Licence.OfflineSeconds, 60, 366*86400)
	} else if d.Licence.OfflineSeconds != 0 {
		e.Add("licence.offline_seconds", "applies to a fixed licence only")
	}
	e.Range("heartbeat_seconds", d.HeartbeatSeconds, 1, 86400)
	if d.Kind == session.Stream && len(d.WarningsSeconds) > 0 {
		e.Add("warnings_seconds", "do not apply to kind stream: its page warns before an idle limit and the longest duration")
	} else if d.Kind != session.Stream && (len(d.WarningsSeconds) == 0 || len(d.WarningsSeconds) > 10) {
		e.Add("warnings_seconds", "must have between 1 and 10 warnings; none closes at once")
	}
	for i, w := range d.WarningsSeconds {
		if w < 1 || w > 3600 {
			e.Add("warnings_seconds", "must be between 1 and 3600 seconds each")
			break
		}
		if i > 0 && w == d.WarningsSeconds[i-1] {
			e.Add("warnings_seconds", "must differ from each other")
			break
		}
	}
	if d.SuccessorID != 0 && d.SuccessorID == d.ID {
		e.Add("successor_id", "must be another delivery method")
	}
	if len(d.Packages) == 0 {
		e.Add("packages", "must have at least one package")
	}
	if len(d.Packages) > 50 {
		e.Add("packages", "must have at most 50 packages")
	}
	for i := range d.Packages {
		d.Packages[i].validate("packages."+strconv.Itoa(i)+".", &e)
	}
	if d.Kind == session.Stream && d.Licence.Type == lease.Fixed {
		e.Add("licence.type", "must be floating for kind stream")
	}
	if d.Kind == session.Stream && slices.ContainsFunc(d.Packages, func(p Package) bool { return p.Type != Command }) {
		e.Add("packages", "must be commands for kind stream: its hosts have the apps installed")
	}
	if d.Kind == session.Stream && d.Stream != nil {
		if !geometry.MatchString(d.Stream.Geometry) {
			e.Add("stream.geometry", "must be width x height, as 1280x800")
		}
		e.Range("stream.reconnect_seconds", d.Stream.ReconnectSeconds, 0, 7*86400)
		e.Range("stream.idle_seconds", d.Stream.IdleSeconds, 0, 7*86400)
		e.Range("stream.max_seconds", d.Stream.MaxSeconds, 0, 30*86400)
		if d.Stream.Sandbox == "" {
			d.Stream.Sandbox = StrictSandbox
		}
		e.OneOf("stream.sandbox", string(d.Stream.Sandbox), string(StrictSandbox), string(NestedSandbox))
		if d.Stream.Network == "" {
			d.Stream.Network = Internet
		}
		e.OneOf("stream.network", string(d.Stream.Network), string(NoNetwork), string(Internet), string(HostNetwork))
		if len(d.Stream.Allow) > 0 && d.Stream.Network != Internet {
			e.Add("stream.allow", "applies to network internet only")
		}
		if len(d.Stream.Allow) > 50 {
			e.Add("stream.allow", "must have at most 50 entries")
		}
		for _, a := range d.Stream.Allow {
			if _, _, err := Allowance(a); err != nil {
				e.Add("stream.allow", "must be networks with a port, as 10.1.2.0/24:27000; %.60q %v", a, err)
				break
			}
		}
		d.Stream.Pool = Pool(d.Stream.Pool)
		e.Name("stream.pool", d.Stream.Pool, 0, 100)
	} else if d.Kind == session.Stream {
		e.Add("stream", "is required")
	} else if d.Stream != nil {
		e.Add("stream", "applies to kind stream only")
	}
	return e.Err()
}

func (p *Package) validate(at string, e *invalid.Error) {
	e.OneOf(at+"type", string(p.Type), string(Command), string(Archive), string(OCI))
	if len(p.Command) == 0 || strings.TrimSpace(p.Command[0]) == "" {
		e.Add(at+"command", "must name a program")
	}
	if len(p.Command) > 100 {
		e.Add(at+"command", "must have at most 100 arguments")
	}
	for _, c := range p.Command {
		if len(c) > 4096 || strings.ContainsRune(c, 0) {
			e.Add(at+"command", "must have arguments of at most 4096 bytes, without NUL")
			break
		}
	}
	e.Text(at+"os", p.OS, 0, 20)
	e.Text(at+"arch", p.Arch, 0, 20)
	switch p.Type {
	case Command:
		if p.URL != "" || p.SHA256 != "" || p.Reference != "" {
			e.Add(at+"type", "command takes no url, sha256 or reference")
		}
	case Archive:
		u, err := url.Parse(p.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			e.Add(at+"url", "must be an https address (http only for loopback)")
		} else if u.User != nil {
			e.Add(at+"url", "must have no user name or password: every device that adds the app, and everybody who reads this page, would know it")
		}
		if !digest.MatchString(p.SHA256) {
			e.Add(at+"sha256", "must be the archive's digest: 64 lower-case hex digits")
		}
	case OCI:
		if _, err := PinnedReference(p.Reference); err != nil {
			e.Add(at+"reference", "%s", strings.TrimPrefix(err.Error(), ErrReference.Error()+": it "))
		}
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
