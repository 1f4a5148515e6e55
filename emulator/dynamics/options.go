package dynamics

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The defaults of the options.
const (
	defaultMaxBody    = 30_000_000 // IIS' default request limit; field reports put F&O's near it
	defaultInspect    = 4 << 20
	defaultRedelivery = 30 * time.Minute // Source: Microsoft Learn, recurring integrations, acknowledge
	defaultTokenLife  = 3599 * time.Second
)

// Options configure a Server. The zero value listens on a free port of 127.0.0.1 and has no jobs.
type Options struct {
	Addr string // loopback HOST:PORT; default 127.0.0.1:0
	TLS  bool   // URL is https, and a plain-text call is redirected to it, as F&O's gateway does

	Jobs      []Job
	Entities  []Entity
	AnyEntity bool // every entity label is known

	ImportTime     time.Duration // how long an import runs
	PickUp         time.Duration // from acceptance until F&O's batch job takes the message
	StatusLag      time.Duration // after acceptance, for so long a status call answers 400: no such message
	CompaniesApart bool          // imports of one entity into different companies do not disturb each other
	Companies      []string      // the legal entities that exist; empty: any

	MaxBody  int64 // bytes; larger is 413. Default 30,000,000
	Inspect  int64 // bytes; a larger body is hashed, not read. Default 4 MiB
	Location Location
	// Redelivery is how long a dequeued export stays invisible before it is offered again. Default 30 minutes.
	Redelivery time.Duration

	Tenant    string            // the only tenant that issues tokens; empty: any
	Clients   map[string]string // client ID to secret; empty: any client with any secret
	TokenLife time.Duration     // default 3599 s

	Spelling   map[string]string // how to write a status instead, as in {"Processing": "InProcess"}
	Clock      Clock             // default Real
	Journal    string            // a file to which every accepted import is appended, one JSON object per line
	KeepBodies bool              // keep what was accepted, for Body
	Faults     bool              // serve the control endpoints: /faults, /imports, /exports
	OnImport   func(Import)      // called after an import was accepted and before it is answered; must not block
	Logger     *slog.Logger      // default: silent
}

// Kind is the supported data source type of a recurring data job.
type Kind int

// The kinds of jobs.
const (
	File Kind = iota
	Package
)

// A Job is a recurring data job: what F&O calls an activity. In a scenario its times are those of the scenario.
type Job struct {
	ID      string `json:"id"`      // GUID
	Project string `json:"project"` // the data project; default "Job-" and the first part of the GUID
	Kind    Kind   `json:"kind"`
	Export  bool   `json:"export"` // the job exports: dequeue, download and ack instead of enqueue

	Entities   []string      `json:"entities"` // labels this job can import; empty: all of Options.Entities
	ImportTime time.Duration `json:"-"`        // default Options.ImportTime
	PickUp     time.Duration `json:"-"`        // default Options.PickUp
	InOrder    bool          `json:"inOrder"`  // "process messages in order"; files only
	NoErrors   bool          `json:"noErrors"` // GetExecutionErrors is always [], as after a staging clean-up

	// CompanyFromMessage is "use company from message". When it is off, the company in the query is ignored.
	CompanyFromMessage bool     `json:"companyFromMessage"`
	Company            string   `json:"company"`   // the company of the user who runs the batch; default DAT
	Clients            []string `json:"clients"`   // the authorization policy: who may call it; empty: any client ID
	Forbidden          []string `json:"forbidden"` // client IDs whose user lacks the rights: 403
}

// An Entity is a data entity that this F&O knows.
type Entity struct {
	Label  string  `json:"label"` // as in the DMF workspace: "Customer groups"
	Key    string  `json:"key"`   // the column that names a record in an error; default the first of Fields
	Fields []Field `json:"fields"`
}

// A Field is a column with a rule. A column without a Field is not checked.
type Field struct {
	Name     string   `json:"name"`
	Required bool     `json:"required"` // the column must exist and no record may leave it empty
	Type     Type     `json:"type"`     // how a value is read
	Max      int      `json:"max"`      // characters; 0: any
	Values   []string `json:"values"`   // the only values there are; empty: any
}

// Type is how the value of a field is read.
type Type int

// The types. An empty value is valid for every type.
const (
	Text   Type = iota
	Number      // 1234.56
	Date        // 2026-01-31, with or without a time
)

// Location is how a download location is written.
type Location int

// Download locations are http even where the environment is https. Source: Microsoft Learn, recurring integrations,
// "Http vs Https"; the port is what d365fo.integrations strips.
const (
	HTTP   Location = iota // http://host:port/... with the port of this server
	HTTP80                 // http://host:80/...
	HTTPS                  // as it should be
)

// check returns every problem of the options at once and fills in the defaults.
func (o *Options) check() error {
	var errs []error
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		errs = append(errs, fmt.Errorf("address %q: %w", o.Addr, err))
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("address %q: an emulator listens on loopback only", o.Addr))
	}
	orDefault(&o.MaxBody, defaultMaxBody)
	orDefault(&o.Inspect, defaultInspect)
	orDefault(&o.Redelivery, defaultRedelivery)
	orDefault(&o.TokenLife, defaultTokenLife)
	if o.Clock == nil {
		o.Clock = Real{}
	}
	seen := map[uuid.UUID]bool{}
	for i := range o.Jobs {
		id, err := uuid.Parse(o.Jobs[i].ID)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("job %d: ID %q is no GUID: %w", i, o.Jobs[i].ID, err))
		case seen[id]:
			errs = append(errs, fmt.Errorf("job %d: ID %s is taken", i, id))
		}
		seen[id] = true
		if o.Jobs[i].InOrder && o.Jobs[i].Kind == Package {
			errs = append(errs, fmt.Errorf("job %d: messages are processed in order for files only, not for packages", i))
		}
	}
	for i, e := range o.Entities {
		if strings.TrimSpace(e.Label) == "" {
			errs = append(errs, fmt.Errorf("entity %d: no label", i))
		}
	}
	return errors.Join(errs...)
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// job is a Job as the server uses it: defaults applied, lists indexed.
type job struct {
	Job
	id       uuid.UUID
	entities map[string]*Entity // by lower-case label
	any      bool
	clients  map[string]bool
	denied   map[string]bool
}

func newJob(j Job, o *Options, known map[string]*Entity) *job {
	id := uuid.MustParse(j.ID) // check has seen it
	orDefault(&j.Project, "Job-"+strings.ToUpper(id.String()[:8]))
	orDefault(&j.ImportTime, o.ImportTime)
	orDefault(&j.PickUp, o.PickUp)
	orDefault(&j.Company, "DAT")
	r := &job{Job: j, id: id, entities: known, any: o.AnyEntity, clients: set(j.Clients), denied: set(j.Forbidden)}
	if len(j.Entities) > 0 {
		r.any = false
		r.entities = map[string]*Entity{}
		for _, label := range j.Entities {
			e := known[fold(label)]
			if e == nil {
				e = &Entity{Label: label}
			}
			r.entities[fold(label)] = e
		}
	}
	return r
}

// entity returns the entity of a label, nil when this job does not know it.
func (j *job) entity(label string) *Entity {
	if e := j.entities[fold(label)]; e != nil {
		return e
	}
	if j.any && label != "" {
		return &Entity{Label: label}
	}
	return nil
}

func set(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, v := range list {
		m[fold(v)] = true
	}
	return m
}

// fold makes labels, companies and client IDs comparable: F&O compares them without regard to case.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
