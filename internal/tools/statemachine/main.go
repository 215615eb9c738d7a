// Command statemachine draws docs/state-machine.md from the one transition table, so that
// the document cannot say anything else than the code does. CI checks that it is up to date.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"

	"leasehold/internal/session"
)

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := os.WriteFile(*out, []byte(document()), 0o644); err != nil {
		log.Fatal(err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("# What a session's status may become\n\n")
	b.WriteString("Drawn from `session.Table` by `make generate`; do not edit. Everything else in Leasehold reads the same table:\n")
	b.WriteString("the server, the pages, the API and the agents. An action outside it is refused; an observation is recorded and\n")
	b.WriteString("moves the status only where there is an arrow.\n")
	for _, k := range []struct {
		kind  session.Kind
		title string
	}{{session.Device, "Apps on devices"}, {session.Stream, "Streamed apps"}} {
		fmt.Fprintf(&b, "\n## %s\n\n", k.title)
		diagram(&b, k.kind)
		b.WriteString("\n### What an administrator may do\n\n| status | while the app runs | while it does not |\n|---|---|---|\n")
		for _, s := range session.Statuses(k.kind) {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s, actions(session.Allowed(k.kind, s, true)), actions(session.Allowed(k.kind, s, false)))
		}
		b.WriteString("\n### Transitions\n\n| what happens | who | from | to |\n|---|---|---|---|\n")
		for _, a := range session.Table {
			if a.Kind != k.kind {
				continue
			}
			var from []string
			for _, f := range a.From {
				t := "`" + string(f.Status) + "`"
				if f.If != session.Always {
					t += " " + f.If.String()
				}
				from = append(from, t)
			}
			if from == nil {
				from = []string{"–"}
			}
			var by []string
			for _, r := range a.By {
				by = append(by, string(r))
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.Event, strings.Join(by, ", "), strings.Join(from, ", "), target(a.To))
		}
	}
	return b.String()
}

func actions(as []session.Action) string {
	var out []string
	for _, a := range as {
		out = append(out, string(a))
	}
	return strings.Join(out, ", ")
}

func target(s session.Status) string {
	switch s {
	case session.Unchanged:
		return "the same"
	case session.WhatIsObserved:
		return "what is observed: `running`, `stopped` or `added`; `evicted` and `launched` kept apart"
	}
	return "`" + string(s) + "`"
}

// diagram draws the arrows in Mermaid, those between the same two statuses as one.
func diagram(b *strings.Builder, k session.Kind) {
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	type edge struct{ from, to string }
	var edges []edge
	labels := map[edge][]string{}
	for _, a := range session.Table {
		if a.Kind != k || a.To == session.Unchanged {
			continue
		}
		to := []string{string(a.To)}
		if a.To == session.WhatIsObserved {
			to = []string{string(session.Running), string(session.Stopped), string(session.Added)}
		}
		from := []string{"[*]"}
		if len(a.From) > 0 {
			from = nil
			for _, f := range a.From {
				from = append(from, string(f.Status))
			}
		}
		for _, f := range from {
			for _, t := range to {
				e := edge{f, t}
				if labels[e] == nil {
					edges = append(edges, e)
				}
				if !slices.Contains(labels[e], string(a.Event)) {
					labels[e] = append(labels[e], string(a.Event))
				}
			}
		}
	}
	for _, e := range edges {
		fmt.Fprintf(b, "    %s --> %s: %s\n", e.from, e.to, strings.Join(labels[e], ", "))
	}
	b.WriteString("```\n")
}
