package dynamics

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
)

// A journal is a file with one JSON object per accepted import, written before the import is answered. A process that
// is killed between the two leaves a line of a file whose sender never heard of it: exactly what F&O would hold.
//
// Not promised: that a line survives a crash of the machine; it is not synced to the disk.
type journal struct {
	file *os.File
	buf  bytes.Buffer
	enc  *json.Encoder
}

// openJournal opens a journal to append to. Half a line that a killed process left goes: it was never answered.
func openJournal(path string) (*journal, error) {
	old, err := os.ReadFile(path)
	if err == nil && len(old) > 0 && old[len(old)-1] != '\n' {
		err = os.Truncate(path, int64(bytes.LastIndexByte(old, '\n')+1))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &journal{file: f}
	j.enc = json.NewEncoder(&j.buf)
	return j, nil
}

// write appends one line in one call, so that no reader sees half of one. The caller serialises.
func (j *journal) write(i Import) error {
	j.buf.Reset()
	if err := j.enc.Encode(i); err != nil {
		return fmt.Errorf("encode for the journal: %w", err)
	}
	if _, err := j.file.Write(j.buf.Bytes()); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}

// ReadJournal reads what servers with Options.Journal wrote, in acceptance order. Status is how each import ends. A
// last line without its end, as a killed process may leave it, is left out; any other bad line is an error.
func ReadJournal(path string) ([]Import, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	var list []Import
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		var i Import
		if err := json.Unmarshal(line, &i); err != nil {
			return nil, fmt.Errorf("read the journal, line %d: %w", len(list)+1, err)
		}
		list = append(list, i)
	}
}

// restore fills the table from an earlier journal, so that a restarted server still knows its messages. Imports of jobs
// that are gone are kept, but belong to no activity any more.
func (t *imports) restore(list []Import, jobs map[uuid.UUID]*job) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, i := range list {
		id, err := uuid.Parse(i.MessageID)
		if err != nil {
			return fmt.Errorf("restore from the journal, line %d: message ID: %w", n+1, err)
		}
		activity, err := uuid.Parse(i.Activity)
		if err != nil {
			return fmt.Errorf("restore from the journal, line %d: activity: %w", n+1, err)
		}
		r := &record{
			id: id, job: jobs[activity], external: i.ExternalID, entity: i.Entity, company: i.Company, file: i.FileName,
			size: i.Size, records: i.Records, accepted: i.AcceptedAt, starts: i.StartedAt, ends: i.EndedAt,
			outcome: i.Outcome, errors: i.Errors, detail: i.Detail, order: len(t.list),
		}
		if _, err := hex.Decode(r.sum[:], []byte(i.SHA256)); err != nil {
			return fmt.Errorf("restore from the journal, line %d: hash: %w", n+1, err)
		}
		if r.job == nil {
			r.job = &job{Job: Job{ID: i.Activity, Project: "gone"}, id: activity}
		}
		t.add(r, nil)
	}
	return nil
}
