package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"leasehold/internal/agent/packages"
)

type packageCmd struct {
	Push packagePush `cmd:"" help:"Make a package from a folder, put it into a registry, and print what to paste into a delivery method."`
}

// Help is the text of leasehold package --help.
func (packageCmd) Help() string {
	return `A package is what a device downloads before it runs an app: a folder with the program and all
that it needs. It lies in an OCI registry, the kind that also holds container images: Harbor,
GitHub's, GitLab's, a plain "registry" container, and others. Devices fetch it from there by its
digest, so that they run exactly what was pushed, and nothing if a single byte differs.

From a folder to a running app:

  leasehold package push ghcr.io/example/editor:1.2 ./editor --command bin/editor

Then paste what it prints into a delivery method of the app: on its page, choose the type “oci”.
With a provision people may launch it, and their devices fetch it on the first launch.`
}

type packagePush struct {
	Reference string   `arg:"" help:"Where to put it: registry/repository:tag, as ghcr.io/example/app:1.2."`
	Folder    string   `arg:"" help:"The folder with the app's files." type:"existingdir"`
	OS        string   `name:"os" help:"System that the app is for: linux, windows, darwin (macOS). This machine's if left out." placeholder:"SYSTEM"`
	Arch      string   `help:"Processor that it is for: amd64, arm64, … This machine's if left out." placeholder:"PROCESSOR"`
	Variant   string   `help:"Least variant of the processor that it needs, as v7 of arm or v3 of amd64." placeholder:"VARIANT"`
	Command   []string `help:"The program, relative to the folder, and its arguments: the flag again for each. May be left out if the folder has just one program." sep:"none" placeholder:"PROGRAM"`
	JSON      bool     `help:"Print only the package's JSON, for the API."`
}

// Help is the text of leasehold package push --help.
func (packagePush) Help() string {
	return `For several platforms push each to the same tag, one after the other; the tag's index then has
them all, and the last reference that was printed is the one for all of them:

  leasehold package push ghcr.io/example/editor:1.2 ./linux --os linux --arch amd64 \
      --command bin/editor --command=--fast
  leasehold package push ghcr.io/example/editor:1.2 ./windows --os windows --arch amd64 \
      --command editor.exe

A platform that the tag has already is replaced. The same folder always has the same digest.

If the registry wants to know who you are, sign in with “docker login” first: what the file
~/.docker/config.json says is used, with the helper programs that it names, here and on devices.
$DOCKER_CONFIG names another folder. Without that file all is anonymous. Registries on this machine
(localhost, 127.0.0.1) are spoken to by plain HTTP, all others by HTTPS.`
}

// Run is leasehold package push.
func (c *packagePush) Run(ctx context.Context, std *stdio) error {
	p, err := packages.Push(ctx, c.Reference, c.Folder, packages.Build{OS: c.OS, Arch: c.Arch, Variant: c.Variant, Command: c.Command})
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(p.Package, "", "  ")
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(std.Out, "%s\n", b)
		return err
	}
	_, err = fmt.Fprintf(std.Out, `Pushed. %s now has: %s.

The pinned reference, for the form of a delivery method:

%s

The whole package, for the API's "packages":

%s
`, c.Reference, strings.Join(p.Platforms, ", "), p.Package.Reference, b)
	return err
}
