package web

import (
	"strings"
	"testing"
)

// The form takes the reference that "leasehold package push" prints, keeps a wrong one,
// and says at its field what would be right.
func TestPackageFromRegistry(t *testing.T) {
	s := newSite(t)
	s.app("MATLAB")
	olga := s.as("olga")
	form := vals("app_id", "1", "name", "MATLAB from the registry", "licence.type", "floating", "heartbeat_seconds", "5 min", "warnings_seconds", "2 min",
		"packages", "1", "packages.0.type", "oci", "packages.0.command", "bin/matlab")
	olga.post("/admin/delivery-methods", form).is(422).has(`id="packages.0.reference-error"`, "Must be registry/repository@sha256:…")
	form.Set("packages.0.reference", "registry.example.org/matlab:26")
	olga.post("/admin/delivery-methods", form).is(422).has(`id="packages.0.reference-error"`, `value="registry.example.org/matlab:26"`,
		"Must name a digest instead of the tag 26, which can change: registry.example.org/matlab@sha256:…")
	pinned := "registry.example.org/matlab@sha256:" + strings.Repeat("0a", 32)
	form.Set("packages.0.reference", " "+pinned+" ")
	olga.post("/admin/delivery-methods", form).is(200).has("The delivery method is made")
	olga.get("/admin/delivery-methods").has("MATLAB from the registry")
	olga.get("/admin/delivery-methods/2").is(200).has(`value="`+pinned+`"`, "as “leasehold package push” prints it")
}
