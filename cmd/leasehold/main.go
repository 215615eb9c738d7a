// Command leasehold is the whole of Leasehold in one binary: the server, the player that
// runs apps on a device, and the administrator's command line.
//
// Each subcommand is a file. Settings come from flags, then from the environment
// (LEASEHOLD_…), then from a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// CLI is the command line.
type CLI struct {
	Config kong.ConfigFlag `help:"A JSON file with settings: {\"server\": {\"listen\": …}}." type:"existingfile"`

	Server       serverCmd       `cmd:"" help:"Run the server."`
	Demo         demoCmd         `cmd:"" help:"Run a server with a sample organisation, a real player and real apps."`
	Player       playerCmd       `cmd:"" help:"Run apps on this device."`
	Host         hostCmd         `cmd:"" help:"Run streamed apps on this machine."`
	Session      sessionCmd      `cmd:"" help:"See sessions and end them."`
	Housekeeping housekeepingCmd `cmd:"" help:"The daily housekeeping."`
	Package      packageCmd      `cmd:"" help:"Put apps into a registry, for devices to fetch."`
	Simulate     simulateCmd     `cmd:"" help:"Let simulated devices check in, and compare what they know with what the server shows."`
	API          apiCmd          `cmd:"" name:"api" help:"Make one call of the REST API."`
	Version      versionCmd      `cmd:"" help:"Say which version this is."`
	Guard        guardCmd        `cmd:"" hidden:""`
	Stage        stageCmd        `cmd:"" hidden:""`
}

// stdio is where a command reads and writes.
type stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], &stdio{os.Stdin, os.Stdout, os.Stderr})
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintln(os.Stderr, "leasehold:", err)
		os.Exit(1)
	}
}

// exitCode ends the command with a status, without a message.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run parses args and runs the command that they name.
func run(ctx context.Context, args []string, std *stdio) (err error) {
	var cli CLI
	defer func() {
		// kong ends through its exit function; --help is no error.
		if r := recover(); r != nil {
			c, ok := r.(exitCode)
			if !ok {
				panic(r)
			}
			if c != 0 {
				err = c
			}
		}
	}()
	p, err := kong.New(&cli,
		kong.Name("leasehold"),
		kong.Description("An open control plane for app sessions."),
		kong.UsageOnError(),
		kong.Writers(std.Out, std.Err),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.Configuration(kong.JSON),
		kong.DefaultEnvars("LEASEHOLD"),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return err
	}
	k, err := p.Parse(args)
	if err != nil {
		return err
	}
	return k.Run()
}
