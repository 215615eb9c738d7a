package guard

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"leasehold/internal/agent/dialog"
	"leasehold/internal/agent/guard/plan"
)

// notifier shows warnings. A dialog takes a moment to stand, and the guard's
// loop must not wait for it; of several that wait only the newest is shown.
type notifier struct {
	spec      Spec
	log       *slog.Logger
	presenter *dialog.Presenter
	notes     chan *note // nil: dismiss
	done      chan struct{}
}

// note is a warning: as a dialog, and as a line where there is none.
type note struct {
	dialog.Message
	line string
}

func newNotifier(spec Spec, t *tree, log *slog.Logger) *notifier {
	n := &notifier{
		spec: spec, log: log,
		notes: make(chan *note, 1),
		done:  make(chan struct{}),
	}
	n.presenter = dialog.New(dialog.Options{
		Env:   append(os.Environ(), envDialog+"="+spec.Token),
		Start: t.startOwn,
		Log:   os.Stderr,
	})
	go n.work()
	return n
}

func (n *notifier) work() {
	defer close(n.done)
	for m := range n.notes {
		if m == nil {
			n.presenter.Dismiss()
			continue
		}
		if n.spec.Dialogs {
			tool, err := n.presenter.Show(m.Message)
			if err == nil {
				n.log.Info("warning shown", "with", tool, "text", m.line)
				continue
			}
			n.log.Warn("no dialog", "error", err)
		}
		n.log.Info("warning", "text", m.line)
		if err := writeTerminal(n.spec.Terminal, m.line); err != nil {
			n.log.Warn("no terminal", "error", err)
		}
	}
	n.presenter.Dismiss()
}

func (n *notifier) put(m *note) {
	// Only the loop puts, so after taking out what waits there is room.
	select {
	case <-n.notes:
	default:
	}
	n.notes <- m
}

// show shows a warning for as long as remains.
func (n *notifier) show(title, line, reason string, remaining time.Duration) {
	n.put(&note{line: line, Message: dialog.Message{
		Title: title, Heading: plan.Heading(n.spec.App, remaining), Text: plan.Advice(reason), Timeout: remaining,
	}})
}

// dismiss closes the dialog that is open: it says what is no longer true.
func (n *notifier) dismiss() { n.put(nil) }

func (n *notifier) close() {
	close(n.notes)
	<-n.done
}

// writeTerminal writes one line to the spec's terminal.
func writeTerminal(path, text string) error {
	if path == "" {
		return nil
	}
	// A guard has no terminal of its own and must not get one by opening it,
	// nor hang because the other side of it does not read.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_ = f.SetWriteDeadline(time.Now().Add(time.Second)) // fails for plain files, which do not hang
	_, err = fmt.Fprintf(f, "leasehold: %s\n", strings.ReplaceAll(text, "\n", " "))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
