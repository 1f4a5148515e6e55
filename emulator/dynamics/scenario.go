package dynamics

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// A Scenario is a whole environment in one JSON file: its jobs, entities, exports and faults.
type Scenario struct {
	ImportTime Duration          `json:"importTime"`
	PickUp     Duration          `json:"pickUp"`
	Companies  []string          `json:"companies"`
	Spelling   map[string]string `json:"spelling"`
	Jobs       []Job             `json:"jobs"`
	Entities   []Entity          `json:"entities"`
	Faults     []Planned         `json:"faults"`
	Exports    []Offer           `json:"exports"`
}

// Planned is a fault with the reason why it is there, for whoever reads the file or watches the demo.
type Planned struct {
	Why string `json:"why"`
	Fault
}

// Offer is a file that waits to be dequeued from the start.
type Offer struct {
	Activity string `json:"activity"`
	File     string `json:"file"` // path in the file system given to Play
}

// ReadScenario reads a scenario; a key that it does not know is an error.
func ReadScenario(r io.Reader) (Scenario, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var s Scenario
	if err := d.Decode(&s); err != nil {
		return Scenario{}, fmt.Errorf("read scenario: %w", err)
	}
	for _, p := range s.Faults {
		if err := p.check(); err != nil {
			return Scenario{}, fmt.Errorf("read scenario: %w", err)
		}
	}
	return s, nil
}

// Options are those of a server that the scenario can be played on; the caller adds address, clock and the like.
func (s Scenario) Options() Options {
	return Options{
		ImportTime: time.Duration(s.ImportTime), PickUp: time.Duration(s.PickUp), Companies: s.Companies,
		Spelling: s.Spelling, Jobs: s.Jobs, Entities: s.Entities,
	}
}

// Play arms the faults and offers the exports.
func (s Scenario) Play(on *Server, files fs.FS) ([]*Armed, error) {
	for _, o := range s.Exports {
		body, err := fs.ReadFile(files, o.File)
		if err != nil {
			return nil, fmt.Errorf("play scenario: %w", err)
		}
		if _, err := on.AddExport(o.Activity, Export{Body: body}); err != nil {
			return nil, fmt.Errorf("play scenario: %w", err)
		}
	}
	var armed []*Armed
	for _, p := range s.Faults {
		a, err := on.Faults().Add(p.Fault)
		if err != nil {
			return nil, fmt.Errorf("play scenario: %w", err)
		}
		armed = append(armed, a)
	}
	return armed, nil
}

// UnmarshalText reads "file" or "package".
func (k *Kind) UnmarshalText(b []byte) error {
	switch string(b) {
	case "file":
		*k = File
	case "package":
		*k = Package
	default:
		return fmt.Errorf("kind %q is neither file nor package", b)
	}
	return nil
}

// UnmarshalText reads "text", "number" or "date".
func (t *Type) UnmarshalText(b []byte) error {
	switch string(b) {
	case "text":
		*t = Text
	case "number":
		*t = Number
	case "date":
		*t = Date
	default:
		return fmt.Errorf("type %q is none of text, number, date", b)
	}
	return nil
}
