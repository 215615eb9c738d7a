package packages

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/cpu"
)

// platform is what a device runs: its system and architecture, and the variants of that
// architecture, best first.
type platform struct {
	os, arch string
	variants []string
}

// here is the platform of this device.
func here() platform {
	return platform{runtime.GOOS, runtime.GOARCH, variants(runtime.GOARCH)}
}

// variants are those of an architecture that this processor has, as [variant] writes them.
func variants(arch string) []string {
	var list []string
	add := func(has bool, v string) {
		if has {
			list = append(list, v)
		}
	}
	switch x, a := &cpu.X86, &cpu.ARM; arch {
	case "amd64":
		v2 := x.HasSSE3 && x.HasSSSE3 && x.HasSSE41 && x.HasSSE42 && x.HasPOPCNT
		v3 := v2 && x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA && x.HasOSXSAVE
		add(v3 && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL, "v4")
		add(v3, "v3")
		add(v2, "v2")
	case "arm":
		v7 := a.HasNEON || a.HasVFPv3
		add(v7, "")
		add(v7 || a.HasTLS, "v6")
		return append(list, "v5")
	}
	return append(list, "")
}

// variant writes a variant as the specification's customs have it: "" is v1 of amd64, v8
// of arm64 and v7 of arm.
func variant(arch, v string) string {
	if arch == "amd64" && v == "v1" || arch == "arm64" && (v == "v8" || v == "8") || arch == "arm" && (v == "v7" || v == "7") {
		return ""
	}
	return v
}

// choose picks what fits the platform best from an index.
func (p platform) choose(list []ocispec.Descriptor) (*ocispec.Descriptor, error) {
	for _, v := range p.variants {
		for i := range list {
			d := list[i].Platform
			if d != nil && d.OS == p.os && d.Architecture == p.arch && variant(d.Architecture, d.Variant) == v {
				return &list[i], nil
			}
		}
	}
	var have []string
	for _, d := range list {
		// Attestations beside the real ones name no platform.
		if d.Platform != nil && d.Platform.OS != "unknown" {
			have = append(have, name(d.Platform))
		}
	}
	if len(have) == 0 {
		have = []string{"nothing"}
	}
	return nil, fmt.Errorf("%w: it is %s/%s, and there is %s", ErrPlatform, p.os, p.arch, strings.Join(have, ", "))
}

// check is choose for an artefact that stands alone. One that names no platform fits.
func (p platform) check(d *ocispec.Platform) error {
	if d.OS == "" && d.Architecture == "" {
		return nil
	}
	if d.OS == p.os && d.Architecture == p.arch && slices.Contains(p.variants, variant(d.Architecture, d.Variant)) {
		return nil
	}
	return fmt.Errorf("%w: it is %s/%s, and the artefact is for %s", ErrPlatform, p.os, p.arch, name(d))
}

// name writes a platform as os/arch or os/arch/variant.
func name(p *ocispec.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}
