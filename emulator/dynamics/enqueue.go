package dynamics

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// externalHeader carries the sender's own ID. F&O stores it and does not de-duplicate by it. Source: Recurring
// Integrations Scheduler, HttpClientHelper.
const externalHeader = "x-ms-dyn-externalidentifier"

// An intake is what an import needs while it is read: the body, as far as it is looked at, and a buffer to copy
// through.
type intake struct {
	body    bytes.Buffer
	scratch [32 << 10]byte
}

var intakes = sync.Pool{New: func() any { return new(intake) }}

// poolable bounds the bodies whose buffers are kept for the next file.
const poolable = 256 << 10

// enqueue takes a file: 200 with the message ID in quotes says that it is stored and queued, nothing more.
func (s *Server) enqueue(w http.ResponseWriter, r *http.Request, c *call) {
	tooLarge := r.ContentLength > s.options.MaxBody
	if tooLarge && r.Header.Get("Expect") != "" {
		s.refuseSize(w) // the client waits for leave to send; it does not get it
		return
	}
	a := arrival{job: c.job, external: r.Header.Get(externalHeader), entity: c.entity, unknown: c.plus}
	in, _ := intakes.Get().(*intake)
	in.body.Reset()
	defer func() {
		if in.body.Cap() <= poolable {
			intakes.Put(in)
		}
	}()
	whole, err := s.read(r, &a, in)
	switch {
	case err != nil: // the client broke off: nothing is stored
		panic(http.ErrAbortHandler)
	case tooLarge || a.size > s.options.MaxBody:
		s.refuseSize(w)
		return
	}
	a.company = s.company(c)
	if whole {
		s.judge(&a, in.body.Bytes())
	} else {
		s.judgeUnread(&a)
	}
	s.judgeCompany(&a)
	a.keys = s.keys(&a)
	if s.options.KeepBodies {
		a.body = bytes.Clone(in.body.Bytes())
	}
	a.fault = s.faults.pick(c.target, true)
	rec, err := s.imports.accept(a)
	if err != nil {
		s.logger.ErrorContext(r.Context(), "accept an import", "error", err)
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	if s.options.OnImport != nil {
		s.options.OnImport(rec.export(rec.accepted))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, `"`+rec.id.String()+`"`) // accepted even when nobody hears it
}

// read hashes the body and keeps it for the inspection while it is small enough; whole tells whether it was.
func (s *Server) read(r *http.Request, a *arrival, in *intake) (whole bool, err error) {
	h := sha256.New()
	keep := s.options.Inspect
	if s.options.KeepBodies {
		keep = s.options.MaxBody
	}
	// Drained beyond the limit, so that the client hears 413 and not a broken connection; IIS may do either.
	body := io.LimitReader(r.Body, 4*s.options.MaxBody)
	n, err := io.CopyBuffer(io.MultiWriter(h, &in.body), io.LimitReader(body, keep), in.scratch[:])
	if err != nil {
		return false, fmt.Errorf("read the body: %w", err)
	}
	m, err := io.CopyBuffer(h, body, in.scratch[:])
	if err != nil {
		return false, fmt.Errorf("read the body: %w", err)
	}
	a.size = n + m
	h.Sum(a.sum[:0])
	return m == 0, nil
}

// refuseSize is what IIS answers to a body over its limit.
func (s *Server) refuseSize(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	_, _ = io.WriteString(w, "The page was not displayed because the request entity is too large.")
}

// judge reads the file or the package.
func (s *Server) judge(a *arrival, body []byte) {
	if a.job.Kind == Package {
		u := inspectPackage(body, a.job.entity)
		a.found, a.file = u.finding, u.file
		if len(u.entities) > 0 {
			a.entity, a.keys = u.entities[0], u.entities
		}
		return
	}
	e := a.job.entity(a.entity)
	if a.unknown = a.unknown || e == nil; a.unknown {
		return
	}
	a.found = inspect(e, body)
}

// judgeUnread is judge for a body too large to be read.
func (s *Server) judgeUnread(a *arrival) {
	a.unknown = a.job.Kind == File && (a.unknown || a.job.entity(a.entity) == nil)
}

// company is where the file is imported: the query counts only when the job says so.
func (s *Server) company(c *call) string {
	if c.job.CompanyFromMessage && c.company != "" {
		return c.company
	}
	return c.job.Company
}

var errCompany = errors.New("the legal entity does not exist")

func (s *Server) judgeCompany(a *arrival) {
	if len(s.options.Companies) == 0 || !a.job.CompanyFromMessage || a.found.broken != nil {
		return
	}
	if !slices.ContainsFunc(s.options.Companies, func(c string) bool { return strings.EqualFold(c, a.company) }) {
		a.found.broken = fmt.Errorf("company %q: %w", a.company, errCompany)
	}
}

// keys names what only one import at a time may run on: its entities, or its project when they are not known.
func (s *Server) keys(a *arrival) []string {
	if a.unknown {
		return nil
	}
	labels := a.keys
	if len(labels) == 0 && a.entity != "" {
		labels = []string{a.entity}
	}
	if len(labels) == 0 {
		labels = []string{"project " + a.job.Project}
	}
	keys := make([]string, len(labels))
	for i, l := range labels {
		keys[i] = fold(l)
		if s.options.CompaniesApart {
			keys[i] += "\x00" + fold(a.company)
		}
	}
	return keys
}

// query reads the parameters of an enqueue call, and whether a plus sign stood in them unescaped. A plus sign is not a
// space: where the sources differ (d365stuff.co saw such a message stay "In process" for ever, Recurring Integrations
// Scheduler sends them) this server is the strict one, so that a client which writes %20 is right with both.
func query(raw string) (v url.Values, plus bool, err error) {
	plus = strings.Contains(raw, "+")
	v, err = url.ParseQuery(strings.ReplaceAll(raw, "+", "%2B"))
	if err != nil {
		err = fmt.Errorf("read the query: %w", err)
	}
	return v, plus, err
}
