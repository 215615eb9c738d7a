package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"leasehold/internal/wire"
)

const journalFile = "journal.jsonl"

// errLostJournal: the journal is not there, or not whole. The next epoch begins.
var errLostJournal = errors.New("agent: the journal is lost")

// journal is what the agent observed and the server has not acknowledged: a header line,
// then an entry a line. Entries are on disk before anybody is told of them.
type journal struct {
	disk    *disk
	f       *os.File
	epoch   uint64
	last    uint64 // number of the last entry, acknowledged ones included
	entries []wire.Observation
}

// journalHead is the first line: entries go on after After.
type journalHead struct {
	Epoch uint64 `json:"epoch"`
	After uint64 `json:"after"`
}

// openJournal reads the journal of an epoch. A last line that a crash left unfinished was
// told to nobody and is dropped; anything else that is wrong is errLostJournal.
func openJournal(d *disk, epoch uint64) (*journal, error) {
	j := &journal{disk: d, epoch: epoch}
	b, err := os.ReadFile(d.path(journalFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLostJournal, err)
	}
	whole := b[:bytes.LastIndexByte(b, '\n')+1]
	for i, line := range bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n")) {
		if i == 0 {
			var h journalHead
			if err := json.Unmarshal(line, &h); err != nil || h.Epoch != epoch {
				return nil, fmt.Errorf("%w: its head is %q", errLostJournal, line)
			}
			j.last = h.After
			continue
		}
		var o wire.Observation
		if err := json.Unmarshal(line, &o); err != nil || o.Seq != j.last+1 {
			return nil, fmt.Errorf("%w: line %d is not entry %d", errLostJournal, i+1, j.last+1)
		}
		j.last = o.Seq
		j.entries = append(j.entries, o)
	}
	if j.f, err = os.OpenFile(d.path(journalFile), os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("agent: journal: %w", err)
	}
	if err := errors.Join(j.f.Truncate(int64(len(whole))), j.f.Sync()); err != nil {
		j.close()
		return nil, fmt.Errorf("agent: journal: %w", err)
	}
	if _, err := j.f.Seek(0, io.SeekEnd); err != nil {
		j.close()
		return nil, fmt.Errorf("agent: journal: %w", err)
	}
	return j, nil
}

// beginJournal begins an epoch with an empty journal.
func beginJournal(d *disk, epoch uint64) (*journal, error) {
	j := &journal{disk: d, epoch: epoch}
	return j, j.rewrite(nil)
}

// append appends entries that carry the next numbers.
func (j *journal) append(list []wire.Observation) error {
	if len(list) == 0 {
		return nil
	}
	if j.disk.dir != "" {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		for i := range list {
			if err := e.Encode(&list[i]); err != nil {
				return fmt.Errorf("agent: journal: %w", err)
			}
		}
		if err := j.disk.at("before appending"); err != nil {
			return err
		}
		if err := j.disk.at("amid appending"); err != nil {
			j.f.Write(b.Bytes()[:b.Len()/2])
			return err
		}
		_, err := j.f.Write(b.Bytes())
		if err = errors.Join(err, j.f.Sync()); err != nil {
			return fmt.Errorf("agent: journal: %w", err)
		}
	}
	j.entries = append(j.entries, list...)
	j.last = list[len(list)-1].Seq
	return j.disk.at("after appending")
}

// acknowledged drops the entries that the server has applied.
func (j *journal) acknowledged(seq uint64) error {
	n := 0
	for n < len(j.entries) && j.entries[n].Seq <= seq {
		n++
	}
	if n == 0 {
		return nil
	}
	return j.rewrite(append([]wire.Observation(nil), j.entries[n:]...))
}

// passOver leaves out what the server has applied without writing that down: it is there
// again when the journal is next read, and is told once more.
func (j *journal) passOver(seq uint64) {
	j.entries = slices.DeleteFunc(slices.Clone(j.entries), func(o wire.Observation) bool { return o.Seq <= seq })
}

// rewrite makes the journal anew with the entries that are left.
func (j *journal) rewrite(left []wire.Observation) error {
	if j.disk.dir != "" {
		head := journalHead{Epoch: j.epoch, After: j.last}
		if len(left) > 0 {
			head.After = left[0].Seq - 1
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		if err := e.Encode(head); err != nil {
			return fmt.Errorf("agent: journal: %w", err)
		}
		for i := range left {
			if err := e.Encode(&left[i]); err != nil {
				return fmt.Errorf("agent: journal: %w", err)
			}
		}
		// Windows renames over no open file.
		j.close()
		if err := j.disk.replace(journalFile, b.Bytes()); err != nil {
			return err
		}
		f, err := os.OpenFile(j.disk.path(journalFile), os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("agent: journal: %w", err)
		}
		j.f = f
	}
	j.entries = left
	return nil
}

func (j *journal) close() {
	if j.f != nil {
		j.f.Close()
		j.f = nil
	}
}
