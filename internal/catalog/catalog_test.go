package catalog

import (
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

func method(change func(*DeliveryMethod)) *DeliveryMethod {
	d := &DeliveryMethod{AppID: 1, Name: "M", Packages: []Package{{Type: Command, Command: []string{"app"}}}}
	change(d)
	d.SetDefaults()
	return d
}

func TestValidate(t *testing.T) {
	if err := method(func(*DeliveryMethod) {}).Validate(); err != nil {
		t.Fatal(err)
	}
	archive := func(url, sum string) func(*DeliveryMethod) {
		return func(d *DeliveryMethod) {
			d.Packages = []Package{{Type: Archive, URL: url, SHA256: sum, Command: []string{"bin/app"}}}
		}
	}
	sum := strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name   string
		change func(*DeliveryMethod)
		field  string // "" for valid
	}{
		{"a password in the address", archive("https://ann:secret@packages.example/a.zip", sum), "packages.0.url"},
		{"a token in the address", archive("https://token@packages.example/a.zip", sum), "packages.0.url"},
		{"plain http to what looks like loopback", archive("http://127.evil.example/a.zip", sum), "packages.0.url"},
		{"no name", func(d *DeliveryMethod) { d.Name = "" }, "name"},
		{"no app", func(d *DeliveryMethod) { d.AppID = 0 }, "app_id"},
		{"an odd kind", func(d *DeliveryMethod) { d.Kind = "odd" }, "kind"},
		{"negative seats", func(d *DeliveryMethod) { d.Licence.Seats = -1 }, "licence.seats"},
		{"fixed without a duration", func(d *DeliveryMethod) { d.Licence.Type = lease.Fixed }, "licence.offline_seconds"},
		{"floating with one", func(d *DeliveryMethod) { d.Licence.OfflineSeconds = 60 }, "licence.offline_seconds"},
		{"heartbeat of none", func(d *DeliveryMethod) { d.HeartbeatSeconds = -1 }, "heartbeat_seconds"},
		{"heartbeat of a second", func(d *DeliveryMethod) { d.HeartbeatSeconds = 1 }, ""},
		{"no warnings", func(d *DeliveryMethod) { d.WarningsSeconds = []int{} }, "warnings_seconds"},
		{"a warning of nothing", func(d *DeliveryMethod) { d.WarningsSeconds = []int{0} }, "warnings_seconds"},
		{"the same warning twice", func(d *DeliveryMethod) { d.WarningsSeconds = []int{60, 60} }, "warnings_seconds"},
		{"its own successor", func(d *DeliveryMethod) { d.ID, d.SuccessorID = 4, 4 }, "successor_id"},
		{"no package", func(d *DeliveryMethod) { d.Packages = nil }, "packages"},
		{"no program", func(d *DeliveryMethod) { d.Packages[0].Command = []string{" "} }, "packages.0.command"},
		{"a NUL in an argument", func(d *DeliveryMethod) { d.Packages[0].Command = []string{"a", "b\x00"} }, "packages.0.command"},
		{"a command with a URL", func(d *DeliveryMethod) { d.Packages[0].URL = "https://x/y" }, "packages.0.type"},
		{"an archive", archive("https://example.org/a.zip", sum), ""},
		{"an archive on loopback", archive("http://127.0.0.1:8000/a.zip", sum), ""},
		{"an archive over plain HTTP", archive("http://example.org/a.zip", sum), "packages.0.url"},
		{"an archive in a file", archive("file:///etc/passwd", sum), "packages.0.url"},
		{"an archive with half a digest", archive("https://example.org/a.zip", sum[:60]), "packages.0.sha256"},
		{"an archive with a loud digest", archive("https://example.org/a.zip", strings.ToUpper(sum)), "packages.0.sha256"},
		{"a stream", func(d *DeliveryMethod) { d.Kind = session.Stream }, ""},
		{"stream settings of a device app", func(d *DeliveryMethod) { d.Stream = &StreamSettings{} }, "stream"},
		{"a nested sandbox", stream(func(s *StreamSettings) { s.Sandbox = NestedSandbox }), ""},
		{"no sandbox", stream(func(s *StreamSettings) { s.Sandbox = "off" }), "stream.sandbox"},
		{"no network", stream(func(s *StreamSettings) { s.Network = NoNetwork }), ""},
		{"another network", stream(func(s *StreamSettings) { s.Network = "lan" }), "stream.network"},
		{"a licence server", stream(func(s *StreamSettings) {
			s.Allow = []string{"10.1.2.3:27000", "10.1.0.0/16:27000"}
		}), ""},
		{"a licence server for a session without a network", stream(func(s *StreamSettings) { s.Network, s.Allow = NoNetwork, []string{"10.1.2.3:27000"} }), "stream.allow"},
		{"an address without a port", stream(func(s *StreamSettings) { s.Allow = []string{"10.1.2.3"} }), "stream.allow"},
		{"a name for an address", stream(func(s *StreamSettings) { s.Allow = []string{"licence.example.org:27000"} }), "stream.allow"},
		{"an address of IPv6", stream(func(s *StreamSettings) { s.Allow = []string{"[fd00::5]:443"} }), "stream.allow"},
		{"a mapped address", stream(func(s *StreamSettings) { s.Allow = []string{"[::ffff:10.1.2.3]:27000"} }), "stream.allow"},
		{"a rule for an address", stream(func(s *StreamSettings) { s.Allow = []string{"10.1.2.3 accept; flush ruleset:1"} }), "stream.allow"},
		{"a port of none", stream(func(s *StreamSettings) { s.Allow = []string{"10.1.2.3:0"} }), "stream.allow"},
		{"a stream without a size", func(d *DeliveryMethod) { d.Kind, d.Stream = session.Stream, &StreamSettings{Geometry: "big"} }, "stream.geometry"},
	} {
		err := method(tt.change).Validate()
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.field != "" && (err == nil || !strings.Contains(err.Error(), tt.field+" ")):
			t.Errorf("%s: %v, want the field %s", tt.name, err, tt.field)
		}
	}
}

// stream is a change that makes a stream of a delivery method.
func stream(change func(*StreamSettings)) func(*DeliveryMethod) {
	return func(d *DeliveryMethod) {
		d.Kind, d.Stream = session.Stream, &StreamSettings{Geometry: "800x600"}
		change(d.Stream)
		d.WarningsSeconds = nil
	}
}

// TestChanged: what is the default of a new delivery method is not right in a change.
func TestChanged(t *testing.T) {
	for field, change := range map[string]func(*DeliveryMethod){
		"heartbeat_seconds": func(d *DeliveryMethod) { d.HeartbeatSeconds = 0 },
		"warnings_seconds":  func(d *DeliveryMethod) { d.WarningsSeconds = nil },
		"licence.type":      func(d *DeliveryMethod) { d.Licence = Licence{} },
		"stream":            func(d *DeliveryMethod) { d.Kind, d.Stream = session.Stream, nil },
	} {
		d := method(func(*DeliveryMethod) {})
		change(d)
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), field+" ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestTerms(t *testing.T) {
	d := method(func(d *DeliveryMethod) { d.WarningsSeconds = []int{10, 90, 30} })
	if got := d.Terms(5 * time.Second); got.Window != 90*time.Second || got.Heartbeat != 5*time.Minute || got.ForceMargin != 5*time.Second {
		t.Errorf("%+v", got)
	}
	if err := d.Validate(); err != nil || d.WarningsSeconds[0] != 90 || d.WarningsSeconds[2] != 10 {
		t.Errorf("warnings in order: %v, %v", d.WarningsSeconds, err)
	}
}

func TestPackageFor(t *testing.T) {
	d := method(func(d *DeliveryMethod) {
		d.Packages = []Package{
			{OS: "windows", Type: Command, Command: []string{"w"}},
			{OS: "linux", Arch: "arm64", Type: Command, Command: []string{"la"}},
			{OS: "linux", Type: Command, Command: []string{"l"}},
		}
	})
	for _, tt := range []struct{ os, arch, want string }{{"linux", "arm64", "la"}, {"linux", "amd64", "l"}, {"windows", "amd64", "w"}, {"darwin", "arm64", ""}} {
		got := ""
		if p := d.PackageFor(tt.os, tt.arch); p != nil {
			got = p.Command[0]
		}
		if got != tt.want {
			t.Errorf("%s/%s: %q, want %q", tt.os, tt.arch, got, tt.want)
		}
	}
}
