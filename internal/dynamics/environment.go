package dynamics

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"fnobridge/internal/admission"
	"fnobridge/internal/origin"
)

// What Options falls back to.
const (
	defaultTimeout     = 60 * time.Second
	defaultRequests    = 8
	defaultStatusCalls = 10
)

// Options describe one F&O environment.
type Options struct {
	Name       string                 // as in the configuration; for logs
	URL        string                 // https://<env>.operations.dynamics.com; http only for a loopback host
	Credential azcore.TokenCredential // required
	Transport  http.RoundTripper      // default: NewTransport(); tracing is the caller's to wrap around it

	Timeout     time.Duration // of one HTTP call; an upload has UploadTime more. Default 60 s
	Requests    int           // calls in flight at once, kept by the Gate; default 8
	StatusCalls float64       // OData calls per second, all callers together; default 10
	Logger      *slog.Logger  // default: discards
}

// An Environment is a client of one F&O environment. All methods may be called from many goroutines.
//
// Methods neither enter the gate nor take a turn of the status budget: the caller does, so that it can wait before it
// writes down what it is about to do.
type Environment struct {
	name      string
	base      *url.URL // scheme and host only, host in lower case
	actions   *url.URL // of data management; the name of one is to be appended
	transport http.RoundTripper
	timeout   time.Duration
	tokens    *tokens
	gate      *admission.Gate
	budget    *admission.Budget
	log       *slog.Logger
	requests  int

	mu   sync.Mutex
	jobs map[string]*admission.Gate // by activity
}

// New checks the options and returns the client. It makes no call.
func New(o Options) (*Environment, error) {
	base, err := parseBase(o.URL)
	if err != nil {
		return nil, fmt.Errorf("environment %q: url: %w", o.Name, err)
	}
	if o.Credential == nil {
		return nil, fmt.Errorf("environment %q: no credential", o.Name)
	}
	if o.Timeout < 0 || o.Requests < 0 || o.StatusCalls < 0 {
		return nil, fmt.Errorf("environment %q: timeout, requests and status calls cannot be negative", o.Name)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Requests == 0 {
		o.Requests = defaultRequests
	}
	if o.StatusCalls == 0 {
		o.StatusCalls = defaultStatusCalls
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Environment{
		name:      o.Name,
		base:      base,
		transport: o.Transport,
		timeout:   o.Timeout,
		tokens:    newTokens(o.Credential, scopeOf(base)),
		gate:      admission.NewGate(o.Requests),
		budget:    admission.NewBudget(o.StatusCalls),
		log:       o.Logger,
		requests:  o.Requests,
		jobs:      map[string]*admission.Gate{},
	}
	e.actions = e.path("data", "DataManagementDefinitionGroups", actionPath)
	return e, nil
}

// Name returns the name of the environment in the configuration.
func (e *Environment) Name() string { return e.name }

// Gate returns the one gate of this environment.
func (e *Environment) Gate() *admission.Gate { return e.gate }

// Job returns the one gate of a recurring job of this environment. F&O admits clients by job: one that refuses is closed
// alone. Whoever calls a job has a pass of its gate first, and then one of the environment's.
func (e *Environment) Job(activity string) *admission.Gate {
	activity = strings.ToLower(trimGUID(activity))
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.jobs[activity]
	if g == nil {
		g = admission.NewJobGate(e.requests)
		e.jobs[activity] = g
	}
	return g
}

// Budget returns the budget of OData calls: one turn is for one call of MessageStatus, ExecutionID, ExecutionErrors or
// ExecutionSummaryURL.
func (e *Environment) Budget() *admission.Budget { return e.budget }

// parseBase accepts what people paste from a browser (a trailing slash, capital letters) and refuses what would send a
// token to the wrong place.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("has no host, want https://<environment>.operations.dynamics.com")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must not hold a query or fragment")
	case strings.Trim(u.Path, "/") != "":
		return nil, errors.New("must be the environment alone, without a path")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must start with https://")
	case !origin.Safe(u):
		return nil, errors.New("must be https: plain http is accepted for a loopback host only")
	}
	return origin.Of(u), nil
}

// scopeOf returns the token scope: the environment with no slash at the end, because a token whose audience ends in one
// is refused by F&O. Source: Microsoft Learn, "Troubleshoot service authentication".
func scopeOf(base *url.URL) string { return base.String() + "/.default" }
