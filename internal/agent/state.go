package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"leasehold/internal/agent/room"
	"leasehold/internal/filelock"
	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// The names in the state folder.
const (
	identityFile   = "agent.json"
	marksFile      = "marks.json"
	lockName       = "lock"
	sessionsFolder = "sessions"
)

// Errors of a state folder; compare with errors.Is.
var (
	// ErrNotEnrolled: the folder holds no agent.
	ErrNotEnrolled = errors.New("this folder is not enrolled")
	// ErrEnrolled: it holds one already.
	ErrEnrolled = errors.New("this folder is enrolled already")
	// ErrLocked: another process is using the folder.
	ErrLocked = errors.New("another process is using this state folder")
)

// Identity is who the agent is. It is written once, at enrolment; only the keys change.
type Identity struct {
	Server     string          `json:"server"` // without a final slash
	AgentID    int64           `json:"agent_id"`
	Kind       wire.AgentKind  `json:"kind"`
	Name       string          `json:"name"`
	Credential string          `json:"credential"`
	Keys       json.RawMessage `json:"keys"` // JWK set of the lease signing keys
}

// ReadIdentity returns who the agent of a state folder is.
// The error is ErrNotEnrolled if the folder has none.
func ReadIdentity(dir string) (*Identity, error) {
	var id Identity
	err := (&disk{dir: dir}).read(identityFile, &id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotEnrolled, dir)
	}
	if err != nil {
		return nil, err
	}
	return &id, nil
}

// Enrol makes the folder an agent of the server, with an enrolment key.
func Enrol(ctx context.Context, dir, server, key, name, version string, kind wire.AgentKind) (*Identity, error) {
	d := &disk{dir: dir}
	if _, err := ReadIdentity(dir); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrEnrolled, dir)
	} else if !errors.Is(err, ErrNotEnrolled) {
		return nil, err
	}
	c, err := NewClient(server, "")
	if err != nil {
		return nil, err
	}
	if err := d.makeFolders(); err != nil {
		return nil, err
	}
	lock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	e, err := c.Enrol(ctx, &wire.Enrol{V: wire.Version, Key: key, Kind: kind, Name: name, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: version})
	if err != nil {
		return nil, err
	}
	var keys lease.Keys
	if err := json.Unmarshal(e.Keys, &keys); err != nil || len(keys) == 0 {
		return nil, fmt.Errorf("agent: enrol: the server sent no signing keys: %w", err)
	}
	id := &Identity{Server: c.Base(), AgentID: e.AgentID, Kind: kind, Name: name, Credential: e.Credential, Keys: e.Keys}
	if err := d.write(marksFile, marks{Epoch: 1}); err != nil {
		return nil, err
	}
	return id, d.write(identityFile, id)
}

func (d *disk) lock() (*os.File, error) {
	f, err := filelock.Take(d.path(lockName))
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return nil, ErrLocked
	case err != nil:
		return nil, fmt.Errorf("agent: lock: %w", err)
	}
	return f, nil
}

// marks are the counters of the agent as a whole.
type marks struct {
	// Reserved: check-ins with numbers up to this may have been sent.
	Reserved uint64    `json:"reserved"`
	Token    string    `json:"token,omitempty"`
	Granted  uint64    `json:"granted,omitempty"` // the check-in whose answer brought Token
	Epoch    uint64    `json:"epoch"`
	Clock    clockMark `json:"clock"`
	Heard    time.Time `json:"heard,omitzero"` // when the server last answered, about
}

// reserve is how many numbers of check-ins are taken from the disk at once: a crash skips
// what is left of them.
const reserve = 256

// record is what the disk keeps of one session. Only a change that was written here is
// acted on or told to anybody.
type record struct {
	Holder lease.Holder `json:"holder"`
	App    wire.App     `json:"app"`
	Ready  bool         `json:"ready"`           // the package is there
	Start  bool         `json:"start,omitempty"` // the app is to be started once it is ready
	Offset int64        `json:"offset"`          // how much of the run's events is in the journal
	// Signed is the lease that Holder has, as the server signed it: what a guard believes.
	Signed string `json:"signed,omitempty"`
	// Closing: the current run is being ended, because of Reason.
	Closing bool   `json:"closing,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Ended is why the last run was closed, for its user; "" if it exited by itself.
	Ended string `json:"ended,omitempty"`
	// UnprovedBoot is the boot of the machine in which a run ended without a proof that
	// nothing of it is left; the next boot is one.
	UnprovedBoot string `json:"unproved_boot,omitempty"`
	// Removing: the app goes as soon as no run of it is alive; Gone: it went.
	Removing bool `json:"removing,omitempty"`
	Gone     bool `json:"gone,omitempty"`
	// Cleared: nothing of it is on the machine any more, but something of a run may be.
	Cleared bool `json:"cleared,omitempty"`
	// Problem is what the user should know: why it was not added, not started, or not granted.
	Problem string `json:"problem,omitempty"`
	// Closes is when the current run is closed, as its user was told; 0: not soon.
	Closes lease.Instant `json:"closes,omitempty"`
	// Up is when a stream's display and app were up, in this run; 0 before.
	Up lease.Instant `json:"up,omitempty"`
	// Told is up to which message its user was shown them; Message is the last one shown in
	// this run.
	Told    uint32        `json:"told,omitempty"`
	Message *wire.Message `json:"message,omitempty"`
	// Upgrade is the newer version that was asked for, PutOff one that the user does not
	// want now; Old are versions that nothing runs any more, until their packages are gone.
	Upgrade *upgrade   `json:"upgrade,omitempty"`
	PutOff  *putOff    `json:"put_off,omitempty"`
	Old     []wire.App `json:"old,omitempty"`
	// Outbox are the journal entries of the latest change. They stand here first, so that
	// a crash between the two files loses none: what the journal lacks is added to it.
	Epoch  uint64             `json:"epoch,omitempty"` // theirs
	Outbox []wire.Observation `json:"outbox,omitempty"`
}

func (r *record) name() string { return fmt.Sprintf("%s/%d.json", sessionsFolder, r.Holder.Session) }

// load reads the state folder.
func (a *Agent) load() error {
	if err := a.disk.read(marksFile, &a.marks); err != nil {
		return err
	}
	names, err := a.disk.list(sessionsFolder)
	if err != nil {
		return err
	}
	for _, name := range names {
		r := &record{}
		if err := a.disk.read(name, r); err != nil || r.name() != name {
			// Its guard, if one is alive, is found again and reported.
			a.log.Error("a session's file cannot be read; it is left out", "file", name, "err", err)
			continue
		}
		a.prove(r)
		a.sessions[r.Holder.Session] = newSession(r)
	}
	err = a.openJournal()
	if room.Gone(err) {
		// What is there is read; Run waits for what is to be written.
		a.fail(err)
		return nil
	}
	return err
}

// openJournal opens the journal and adds what a crash kept out of it.
func (a *Agent) openJournal() error {
	j, err := openJournal(a.disk, a.marks.Epoch)
	a.journal = j
	if errors.Is(err, errLostJournal) {
		a.journal = &journal{disk: a.disk, epoch: a.marks.Epoch}
		if a.marks.Reserved == 0 {
			return a.nextEpoch(a.marks.Epoch) // the first start
		}
		a.log.Error("the journal is lost; a new one begins with a full report", "err", err)
		return a.nextEpoch(a.marks.Epoch + 1)
	}
	if err != nil {
		return err
	}
	var missing []wire.Observation
	for _, s := range a.sessions {
		for _, o := range s.Outbox {
			if s.Epoch == a.journal.epoch && o.Seq > a.journal.last {
				missing = append(missing, o)
			}
		}
	}
	slices.SortFunc(missing, func(x, y wire.Observation) int { return cmp.Compare(x.Seq, y.Seq) })
	return a.journal.append(missing)
}

// nextEpoch begins an epoch of the journal: what was in the old one is told by the full
// report that begins it.
func (a *Agent) nextEpoch(epoch uint64) error {
	a.marks.Epoch = epoch
	if err := a.saveMarks(); err != nil {
		return err
	}
	if a.journal != nil {
		a.journal.close()
	}
	j, err := beginJournal(a.disk, epoch)
	a.journal = j
	return err
}

func (a *Agent) saveMarks() error {
	m := a.clock.mark()
	m.High = max(m.High, a.marks.Clock.High)
	a.marks.Clock = m
	a.markedAt = a.clock.now()
	return a.disk.write(marksFile, a.marks)
}

// commit writes a session's change and what it makes the agent observe, in this order: the
// session's file, the journal. Then both are true, and others may be told. a.mu is held.
func (a *Agent) commit(s *session, list ...wire.Observation) error {
	for i := range list {
		list[i].Seq = a.journal.last + 1 + uint64(i)
		list[i].Session = s.Holder.Session
		switch list[i].Type {
		case state.ObsExited, state.ObsReturned, state.ObsRemoved:
			list[i].Unproved = a.unproved(s)
		}
	}
	s.Epoch, s.Outbox = a.journal.epoch, list
	err := a.disk.write(s.name(), &s.record)
	if err == nil {
		err = a.journal.append(list)
	}
	if err != nil {
		return a.fail(err)
	}
	// A start is told once the app's process is there; see spawn.
	if slices.ContainsFunc(list, func(o wire.Observation) bool { return o.Type != state.ObsStarted }) {
		a.Wake()
	}
	return nil
}

// forget drops a session that is gone from the agent. a.mu is held.
func (a *Agent) forget(s *session) error {
	if err := a.disk.remove(s.name()); err != nil {
		return a.fail(err)
	}
	delete(a.sessions, s.Holder.Session)
	return nil
}

// sorted lists the sessions by number. a.mu is held.
func (a *Agent) sorted() []*session {
	list := make([]*session, 0, len(a.sessions))
	for _, id := range slices.Sorted(maps.Keys(a.sessions)) {
		list = append(list, a.sessions[id])
	}
	return list
}

// note is an observation as of now.
func (a *Agent) note(o wire.Observation) wire.Observation {
	if o.At.IsZero() {
		o.At = a.clock.time(a.clock.clock.Now())
	}
	o.Reason = plain(o.Reason)
	return o
}

// plain is a text as the server takes it: of a bounded length, without what is no text. A
// check-in that it refuses would come again and again.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
	for len(text) > wire.MaxText {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}
