package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/account"
	"leasehold/internal/agent/host"
	"leasehold/internal/agent/host/offer"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/stage"
	"leasehold/internal/invalid"
	"leasehold/internal/wire"
)

// hostCmd is leasehold host.
type hostCmd struct {
	Enrol hostEnrolCmd `cmd:"" name:"enroll" aliases:"enrol" help:"Make this machine a stream host of a server's."`
	Run   hostRunCmd   `cmd:"" help:"Run the stream host. Ending it ends no session."`
	Check hostCheckCmd `cmd:"" help:"Say what this machine offers to sessions, and what they are therefore protected from."`
}

// hostState is the state folder of every host command.
type hostState struct {
	State string `help:"The host's state folder." type:"path" env:"LEASEHOLD_HOST_STATE" default:"/var/lib/leasehold/host" placeholder:"DIR"`
}

type hostEnrolCmd struct {
	hostState
	Server string `help:"Address of the server." required:"" env:"LEASEHOLD_SERVER" placeholder:"URL"`
	Key    string `help:"Enrolment key for hosts, which an administrator makes." required:"" env:"LEASEHOLD_ENROLMENT_KEY"`
	Name   string `help:"Name of this host; its host name unless set." env:"LEASEHOLD_HOST_NAME"`
}

// Run is leasehold host enroll.
func (c *hostEnrolCmd) Run(ctx context.Context, std *stdio) error {
	name := c.Name
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return fmt.Errorf("--name: give this host a name: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := agent.Enrol(ctx, c.State, c.Server, c.Key, name, version, wire.Host)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "Host “%s” is enrolled with %s as number %d.\n", id.Name, id.Server, id.AgentID)
	fmt.Fprintln(std.Out, "It is in the default pool, where delivery methods run that name no other. Its page can change that.")
	fmt.Fprintf(std.Out, "Run it with: leasehold host run --state %s\n", c.State)
	return nil
}

type hostRunCmd struct {
	hostState
	Slots    *int     `help:"How many sessions at once; two for each processor unless set." env:"LEASEHOLD_HOST_SLOTS" placeholder:"N"`
	Sessions string   `help:"Folder for the sessions' homes and sockets, which go when they end." type:"path" env:"LEASEHOLD_HOST_SESSIONS" placeholder:"DIR"`
	Share    []string `help:"A file or folder that sessions see besides /usr and /opt, to be read; with :rw at its end also to be written, as far as its rights go. Can be repeated." env:"LEASEHOLD_HOST_SHARE" placeholder:"PATH"`
	Resolver []string `help:"Address of a name server that sessions ask, instead of the host's. Can be repeated." env:"LEASEHOLD_HOST_RESOLVER" placeholder:"ADDRESS"`
	Scratch  int64    `help:"Size of /tmp and of each other folder in memory of a session, in MiB." default:"512" env:"LEASEHOLD_HOST_SCRATCH" placeholder:"MIB"`

	Unseparated bool `help:"Run several sessions at once also where they cannot be separated from each other." env:"LEASEHOLD_HOST_UNSEPARATED"`

	Memory    int64      `help:"Memory of one session in MiB, where the system can limit it; 0: no limit." default:"4096" env:"LEASEHOLD_HOST_MEMORY" placeholder:"MIB"`
	Processes int        `help:"Processes of one session, where the system can limit them; 0: no limit." default:"512" env:"LEASEHOLD_HOST_PROCESSES" placeholder:"N"`
	CPU       int        `name:"cpu" help:"Processor time of one session in percent of one processor, where the system can limit it; 0: no limit." default:"400" env:"LEASEHOLD_HOST_CPU" placeholder:"PERCENT"`
	NoPush    bool       `help:"Learn of launches and orders at check-ins only." env:"LEASEHOLD_NO_PUSH"`
	LogLevel  slog.Level `help:"debug, info, warn or error." default:"info" env:"LEASEHOLD_LOG_LEVEL"`
}

// Run is leasehold host run.
func (c *hostRunCmd) Run(ctx context.Context, std *stdio) error {
	slots := 2 * runtime.NumCPU()
	if c.Slots != nil {
		slots = *c.Slots
	}
	var e invalid.Error
	e.Range("--slots", slots, 1, wire.MaxSessions)
	e.Range("--memory", int(c.Memory), 0, 1<<20)
	e.Range("--scratch", int(c.Scratch), 1, 1<<20)
	for _, address := range c.Resolver {
		if a, err := netip.ParseAddr(address); err != nil || !a.Is4() {
			e.Add("--resolver", "must be IPv4 addresses: %q", address)
		}
	}
	var shares []sandbox.Share
	for _, path := range c.Share {
		path, write := strings.CutSuffix(path, ":rw")
		if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
			e.Add("--share", "must be absolute paths of files or folders, and not all of the host: %q", path)
		}
		shares = append(shares, sandbox.Share{Path: filepath.Clean(path), Write: write})
	}
	e.Range("--cpu", c.CPU, 0, 100_000)
	e.Range("--processes", c.Processes, 0, 1<<20)
	if err := e.Err(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	sessions := c.Sessions
	if sessions == "" {
		// High up, where the accounts of sessions may pass.
		if sessions = filepath.Join(c.State, "s"); account.Can() {
			sessions = "/run/leasehold/sessions"
		}
	}
	log := slog.New(slog.NewTextHandler(std.Err, &slog.HandlerOptions{Level: c.LogLevel}))
	machine := offer.Of(ctx, c.Memory<<20, c.Processes, c.CPU)
	for _, i := range machine.Items {
		if i.Err != nil {
			log.Warn("this host does not offer everything to its sessions", "missing", i.Name, "err", i.Err, "therefore", i.Without)
		}
	}
	apart := machine.Separate
	if apart != nil && !c.Unseparated && slots > 1 {
		slots = 1
		fmt.Fprintln(std.Out, "This host runs one session at a time, because it cannot separate several. --unseparated accepts that.")
	}
	h, err := host.Open(host.Config{
		Dir: c.State, Slots: slots, Missing: machine.Missing(), NoPush: c.NoPush, Out: std.Out, Log: log,
		Displays: display.Config{
			Sessions: sessions,
			Guard:    func(dir string) []string { return []string{self, "guard", "--dir", dir} },
			Stage:    func(dir string) []string { return []string{self, "stage", "run", dir} },
			Clean:    func(dir string) []string { return []string{self, "stage", "clean", dir} },
			Separate: apart == nil, Inside: []string{self, "stage", "inside"}, Shares: shares, Resolvers: c.Resolver, Scratch: c.Scratch << 20,
			Accounts:    stage.Lending{Range: account.Default},
			MemoryBytes: c.Memory << 20, Processes: c.Processes, CPUPercent: c.CPU,
		},
	})
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Run(ctx)
}

type hostCheckCmd struct {
	Memory    int64 `hidden:"" default:"4096" env:"LEASEHOLD_HOST_MEMORY"`
	Processes int   `hidden:"" default:"512" env:"LEASEHOLD_HOST_PROCESSES"`
	CPU       int   `hidden:"" name:"cpu" default:"400" env:"LEASEHOLD_HOST_CPU"`
}

// Run is leasehold host check. It fails if sessions cannot be separated.
func (c *hostCheckCmd) Run(ctx context.Context, std *stdio) error {
	machine := offer.Of(ctx, c.Memory<<20, c.Processes, c.CPU)
	for _, i := range machine.Items {
		if i.Err == nil {
			fmt.Fprintf(std.Out, "yes  %-17s %s\n", i.Name, i.With)
			continue
		}
		fmt.Fprintf(std.Out, "no   %-17s %v:\n     %-17s %s\n", i.Name, i.Err, "", i.Without)
	}
	if machine.Separate != nil {
		return exitCode(1)
	}
	return nil
}
