package dynamics

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
)

// An Export is a file that F&O's batch job has made, to be dequeued.
type Export struct {
	Body    []byte
	Missing bool   // no file: zero records, or the blob has expired
	Message string // FileDownLoadErrorMessage of a missing file
	NoURL   bool   // the answer has a null DownloadLocation. Source: Recurring Integrations Scheduler, issue 71
}

// An ExportRecord is what became of an export.
type ExportRecord struct {
	CorrelationID string    `json:"correlationId"`
	Activity      string    `json:"activity"`
	SHA256        string    `json:"sha256"` // of the file, hexadecimal
	Size          int       `json:"size"`
	Dequeued      int       `json:"dequeued"`   // times it was offered
	Downloaded    int       `json:"downloaded"` // times its file was fetched
	Acked         int       `json:"acked"`      // successful acknowledgements
	Verbatim      bool      `json:"verbatim"`   // the acknowledgement was the dequeue answer byte for byte
	AckedAt       time.Time `json:"ackedAt"`
}

// export is a message of an export job.
//
//	Enqueued --dequeue--> Dequeued --download--> Downloaded --ack--> Acked
//	   ^                     |                      |
//	   +----- Redelivery ----+----------------------+
type export struct {
	ExportRecord
	Export
	id       string // of the download
	job      *job
	receipt  string
	last     time.Time // of the last dequeue; zero: never
	hidden   time.Time // offered again from then on
	answered []byte    // the last dequeue answer
}

// exports is the message table of the export jobs.
type exports struct {
	clock      Clock
	redelivery time.Duration

	mu   sync.Mutex // guards the rest
	list []*export
	byID map[string]*export
}

func newExports(clock Clock, redelivery time.Duration) *exports {
	return &exports{clock: clock, redelivery: redelivery, byID: map[string]*export{}}
}

// AddExport offers a file to the next dequeue of an export job and returns its correlation ID.
func (s *Server) AddExport(activity string, e Export) (string, error) {
	u, err := uuid.Parse(trimGUID(activity))
	if err != nil {
		return "", fmt.Errorf("add an export: activity: %w", err)
	}
	j := s.jobs[u]
	if j == nil || !j.Export {
		return "", fmt.Errorf("add an export: no export job has the ID %s", u)
	}
	sum := sha256.Sum256(e.Body)
	x := &export{Export: e, id: uuid.NewString(), job: j, ExportRecord: ExportRecord{
		CorrelationID: uuid.NewString(), Activity: u.String(), SHA256: hex.EncodeToString(sum[:]), Size: len(e.Body),
	}}
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	s.exports.list = append(s.exports.list, x)
	s.exports.byID[x.id] = x
	return x.CorrelationID, nil
}

// Exports tells what became of every export, in the order they were added.
func (s *Server) Exports() []ExportRecord {
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	out := make([]ExportRecord, len(s.exports.list))
	for i, x := range s.exports.list {
		out[i] = x.ExportRecord
	}
	return out
}

// job returns the job of a download.
func (x *exports) job(id string) *job {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.byID[id]; e != nil {
		return e.job
	}
	return nil
}

// dequeued is the answer of dequeue, with F&O's own casing.
type dequeued struct {
	CorrelationID    string     `json:"CorrelationId"`
	PopReceipt       string     `json:"PopReceipt"`
	DownloadLocation *string    `json:"DownloadLocation"`
	Exists           bool       `json:"IsDownLoadFileExist"`
	Message          string     `json:"FileDownLoadErrorMessage"`
	LastDequeue      *time.Time `json:"LastDequeueDateTime"`
}

// dequeue offers the first message that is visible; 204 when there is none. Source: Recurring Integrations Scheduler
// and d365fo.integrations, which show the answer.
func (s *Server) dequeue(w http.ResponseWriter, r *http.Request, c *call) {
	x := s.exports
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.clock.Now()
	for _, e := range x.list {
		if e.job != c.job || e.Acked > 0 || now.Before(e.hidden) {
			continue
		}
		answer := dequeued{CorrelationID: e.CorrelationID, PopReceipt: receipt(), Exists: !e.Missing, Message: e.Message}
		if !e.NoURL {
			at := s.location(r) + "/api/connector/download/" + braced(e.id) +
				"?correlation-id=" + url.QueryEscape(e.CorrelationID) + "&blob=" + uuid.NewString()
			answer.DownloadLocation = &at
		}
		if !e.last.IsZero() {
			last := e.last.Truncate(time.Second)
			answer.LastDequeue = &last
		}
		body, err := json.Marshal(answer)
		if err != nil {
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		e.receipt, e.last, e.hidden, e.answered = answer.PopReceipt, now, now.Add(x.redelivery), body
		e.Dequeued++
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(body) // dequeued even when nobody hears it: it comes back after the redelivery time
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// location is the host part of a download location.
func (s *Server) location(r *http.Request) string {
	switch s.options.Location {
	case HTTPS:
		return "https://" + r.Host
	case HTTP80:
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		return "http://" + host + ":80"
	default:
		return "http://" + r.Host
	}
}

// fetch sends the file. The URL is F&O's own, no signed one: it wants the bearer like every other call.
func (s *Server) fetch(w http.ResponseWriter, _ *http.Request, c *call) {
	s.exports.mu.Lock()
	e := s.exports.byID[c.download]
	missing := e == nil || e.Missing
	if !missing {
		e.Downloaded++
	}
	s.exports.mu.Unlock()
	if missing {
		http.Error(w, "", http.StatusInternalServerError) // what the field reports for files that are not there
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, &http.Request{Method: http.MethodGet, Header: http.Header{}}, "", time.Time{},
		bytes.NewReader(e.Body))
}

// ack takes a message off. A pop receipt that is not the last one, or whose time is over, is 500. Source: Recurring
// Integrations Scheduler, issue 124.
func (s *Server) ack(w http.ResponseWriter, _ *http.Request, c *call) {
	var given struct {
		CorrelationID    string `json:"CorrelationId"`
		PopReceipt       string
		DownloadLocation *string
	}
	if err := json.Unmarshal(c.raw, &given); err != nil {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	x := s.exports
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		if e.job != c.job || e.CorrelationID != given.CorrelationID {
			continue
		}
		now := x.clock.Now()
		if e.receipt == "" || e.receipt != given.PopReceipt || (e.Acked == 0 && !now.Before(e.hidden)) {
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		if e.Acked == 0 {
			e.AckedAt = now
			e.Verbatim = bytes.Equal(c.raw, e.answered)
		}
		e.Acked++
		w.WriteHeader(http.StatusOK)
		return
	}
	http.Error(w, "", http.StatusInternalServerError)
}

// receipt looks like a storage queue's pop receipt.
func receipt() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // crypto/rand never fails
	return base64.StdEncoding.EncodeToString(b)
}
