package inbound

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
)

// OnFailure says what a session does after a file of it was given up.
type OnFailure string

// The policies of a route.
const (
	OnFailureSkip  OnFailure = "skip"  // dead-letter the file, go on with the next
	OnFailureHold  OnFailure = "hold"  // stop the session at the file until an operator decides
	OnFailureDrain OnFailure = "drain" // dead-letter the file and, behind it, the rest of the session
)

// An API is one way into an environment of F&O: how an import is begun, asked about, and explained when it failed. The
// recurring integrations API is dynamics.Recurring. A way that can only do one thing at a time, or that lets the caller
// choose the names, is another implementation; the lane does not know the difference.
//
// Calls are made under the lane's right to make them (see package admission). Their errors are *failure.Failure.
type API interface {
	// Post brings a file into F&O and returns the name of the import there. After an error with the verdict Unknown F&O
	// may have the file, after any other it has nothing.
	Post(ctx context.Context, f dynamics.File) (id string, err error)
	// Ask asks how far the import is.
	Ask(ctx context.Context, id string) (dynamics.Status, error)
	// Explain asks why an import failed. Each question it has goes through ask, which asks for the right to make the
	// call, repeats it within bounds, and returns an error only when nothing more shall be asked.
	Explain(ctx context.Context, id string, ask func(question func(context.Context) error) error) (dynamics.Explanation, error)
}

// A Route says what happens to the files of one entity, or of many.
type Route struct {
	Name   string
	Source string        // matches files of this source only; empty matches all
	Match  contract.Pair // matches these; an empty field matches all

	Fixed       contract.Pair // what is fixed here wins over what the message says
	Environment *dynamics.Environment
	API         API           // the way into the environment
	Timeout     time.Duration // of one call to the environment
	Activity    string
	Payload     payload.Rule

	Window        int  // files of one session in F&O at a time
	Overlap       bool // order: enqueued. File k+1 may be posted once file k was accepted; else once file k has ended
	ResendUnknown bool // unknownOutcome: resend
	RepeatPartial bool // partialImport: repeat. A second import of the same file does no harm
	OnFailure     OnFailure
	Deadline      time.Duration // from F&O's acceptance to a final status
	Retry         retry.Policy
	Poll          Poll
}

// routed reads what a message says about its file and finds its route. Its error is a *failure.Failure that rejects the
// message. What could be read before the error is returned all the same, for the event and the dead letter.
func (w *Worker) routed(source string, m *azservicebus.ReceivedMessage) (contract.Message, *Route, error) {
	said, err := contract.Read(source, m)
	if err != nil {
		return said, nil, err
	}
	var route *Route
	for _, r := range w.o.Routes {
		if r.takes(source, said.Pair) {
			route = r
			break
		}
	}
	if route == nil {
		return said, nil, reject(failure.NoRoute, "no route takes entity %q, company %q from %s (session %q); add a route or correct the properties %q and %q",
			said.Entity, said.Company, source, contract.SessionOf(m), contract.PropEntity, contract.PropCompany)
	}
	said.Pair = route.Fixed.Or(said.Pair)
	return said, route, said.Check()
}

func (r *Route) takes(source string, p contract.Pair) bool {
	return (r.Source == "" || r.Source == source) &&
		(r.Match.Entity == "" || strings.EqualFold(r.Match.Entity, p.Entity)) &&
		(r.Match.Company == "" || strings.EqualFold(r.Match.Company, p.Company))
}

// overlaps reports whether another file of the session may be in F&O together with one of this route. A file that has no
// route overlaps with nothing.
func (r *Route) overlaps() bool { return r != nil && r.Overlap && r.Window > 1 }

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

// next returns the wait before the next question about an import that F&O accepted elapsed ago.
func (p Poll) next(elapsed time.Duration) time.Duration {
	if elapsed < p.First {
		return p.First - elapsed
	}
	return min(max(time.Duration(float64(elapsed)*p.Fraction), p.First, minPoll), max(p.Max, minPoll))
}
