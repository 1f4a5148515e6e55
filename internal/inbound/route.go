package inbound

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
)

// The application properties of the message contract. All are optional when the route or the session ID says the same.
const (
	PropEntity   = "entity"
	PropCompany  = "company"
	PropDataRef  = "dataref"
	PropFileName = "filename"
	PropSHA256   = "sha256"
	// PropKey holds the original message ID of a copy that had to get a new one, such as a resubmitted dead letter. It
	// is the idempotency key before MessageID.
	PropKey = "fnobridge-message-id"
)

// OnFailure says what a session does after a file of it was given up.
type OnFailure string

// The poison policies of a route.
const (
	OnFailureSkip  OnFailure = "skip"  // dead-letter the file, go on with the next
	OnFailureHold  OnFailure = "hold"  // stop the session at the file until an operator decides
	OnFailureDrain OnFailure = "drain" // dead-letter the file and, behind it, the rest of the session
)

// A Route says what happens to the files of one entity, or of many.
type Route struct {
	Name   string
	Source string // matches files of this source only; empty matches all
	Match  Pair   // matches these; an empty field matches all

	Fixed       Pair // what is fixed here wins over what the message says
	Environment *dynamics.Environment
	Timeout     time.Duration // of one call to the environment
	Activity    string
	Payload     payload.Rule

	Window        int  // files of one session in F&O at a time
	Overlap       bool // order: enqueued. File k+1 may be posted once file k was accepted; else once file k has ended
	ResendUnknown bool // unknownOutcome: resend
	OnFailure     OnFailure
	Deadline      time.Duration // from F&O's acceptance to a final status
	Retry         retry.Policy
	Poll          Poll
}

// A Pair is an entity and a company (legal entity).
type Pair struct{ Entity, Company string }

// A place is where a message wants to go.
type place struct {
	route   *Route
	entity  string
	company string
	key     string // the idempotency key
	file    string
	dataref string
	sha256  string
}

// resolve reads a message's contract and finds its route. Its error is a *failure.Failure that rejects the message.
// What could be read before the error is in the place all the same, for the event and the dead letter.
func (w *Worker) resolve(source string, m *azservicebus.ReceivedMessage) (place, error) {
	p := place{key: m.MessageID}
	text := map[string]*string{
		PropEntity: &p.entity, PropCompany: &p.company, PropDataRef: &p.dataref, PropFileName: &p.file, PropSHA256: &p.sha256,
		PropKey: &p.key,
	}
	for _, name := range []string{PropKey, PropEntity, PropCompany, PropDataRef, PropFileName, PropSHA256} {
		v, ok := m.ApplicationProperties[name]
		if !ok || v == nil {
			continue
		}
		s, ok := v.(string)
		if !ok {
			return p, reject(failure.BadMessage, "application property %q is a %T, it must be a string", name, v)
		}
		if s != "" {
			*text[name] = s
		}
	}
	if p.key == "" {
		p.key = fmt.Sprintf("sequence-%d", *m.SequenceNumber)
	}
	session := ""
	if m.SessionID != nil {
		session = *m.SessionID
	}
	byName := pairOfSession(session)
	if p.entity == "" {
		p.entity = byName.Entity
	}
	if p.company == "" {
		p.company = byName.Company
	}
	for _, r := range w.o.Routes {
		if r.takes(source, p.entity, p.company) {
			p.route = r
			break
		}
	}
	if p.route == nil {
		return p, reject(failure.NoRoute, "no route takes entity %q, company %q from %s (session %q); add a route or correct the properties %q and %q",
			p.entity, p.company, source, session, PropEntity, PropCompany)
	}
	if p.route.Fixed.Entity != "" {
		p.entity = p.route.Fixed.Entity
	}
	if p.route.Fixed.Company != "" {
		p.company = p.route.Fixed.Company
	}
	if err := checkEntity(p.entity); err != nil {
		return p, err
	}
	return p, checkCompany(p.company)
}

func (r *Route) takes(source, entity, company string) bool {
	return (r.Source == "" || r.Source == source) &&
		(r.Match.Entity == "" || strings.EqualFold(r.Match.Entity, entity)) &&
		(r.Match.Company == "" || strings.EqualFold(r.Match.Company, company))
}

// pairOfSession reads the convention for session IDs: "Entity" or "company/Entity". What stands before the first slash
// counts as a company only if it could be one, so an entity label with a slash of its own stays whole.
func pairOfSession(id string) Pair {
	if before, after, ok := strings.Cut(id, "/"); ok && checkCompany(before) == nil && before != "" && after != "" {
		return Pair{Entity: after, Company: before}
	}
	return Pair{Entity: id}
}

// checkEntity refuses what can't be the label of a data entity. Everything printable is allowed: labels hold spaces,
// quotes, plus signs, ampersands and any script.
func checkEntity(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return reject(failure.BadMessage, "no entity: neither the route, nor the property %q, nor the session ID names one", PropEntity)
	case !utf8.ValidString(s):
		return reject(failure.BadMessage, "the entity is not valid UTF-8")
	case len(s) > 512:
		return reject(failure.BadMessage, "the entity is %d bytes long, a label has at most 512", len(s))
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return reject(failure.BadMessage, "the entity %q holds a control character", s)
		}
	}
	return nil
}

// checkCompany refuses what can't be a legal entity: F&O's dataAreaId has one to four characters. An empty company is
// right, F&O then imports into the company of the batch user.
func checkCompany(s string) error {
	if utf8.RuneCountInString(s) > 4 {
		return reject(failure.BadMessage, "company %q is longer than four characters: want F&O's legal entity ID, as in \"usmf\"", s)
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' {
			return reject(failure.BadMessage, "company %q holds %q: want F&O's legal entity ID, as in \"usmf\"", s, r)
		}
	}
	return nil
}

func reject(r failure.Reason, format string, args ...any) *failure.Failure {
	return &failure.Failure{Verdict: failure.Reject, Reason: r, Op: "read message", Detail: fmt.Sprintf(format, args...)}
}

// A Poll says how often F&O is asked about an import: first after First, then after Fraction of the time it has taken
// so far, at most Max apart. An import of seconds is noticed in a fraction of a second, one of hours costs few calls.
type Poll struct {
	First    time.Duration
	Fraction float64
	Max      time.Duration
}

// minPoll keeps a poll without First from becoming a busy loop.
const minPoll = 20 * time.Millisecond

// next gives the wait before the next question about an import that F&O accepted elapsed ago.
func (p Poll) next(elapsed time.Duration) time.Duration {
	if elapsed < p.First {
		return p.First - elapsed
	}
	return min(max(time.Duration(float64(elapsed)*p.Fraction), p.First, minPoll), max(p.Max, minPoll))
}
