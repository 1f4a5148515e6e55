package servicebus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// order is the body of POST /faults. With Do it acts at once:
//
//	{"do": "cut"}                                  every connection
//	{"do": "cut", "entity": "q", "session": "A"}   those with a link on it
//	{"do": "detach", "entity": "q"}                links, with "condition"
//	{"do": "expire", "entity": "q", "session": "A"} one session lock; without a session all locks
//	{"do": "stall", "entity": "q"} {"do": "unstall"}
//	{"do": "refuse-connections", "for": "5s"} {"do": "accept-connections"}
//	{"do": "clear"}
//
// Without Do it arms a Fault:
//
//	{"op": "complete", "entity": "q", "session": "s", "effect": "lose-reply", "then": "cut"}
type order struct {
	Do        string `json:"do,omitempty"`
	For       string `json:"for,omitempty"`
	Op        Op     `json:"op,omitempty"`
	Entity    string `json:"entity,omitempty"`
	Session   string `json:"session,omitempty"`
	Skip      int    `json:"skip,omitempty"`
	Times     int    `json:"times,omitempty"`
	Effect    Effect `json:"effect,omitempty"`
	Delay     string `json:"delay,omitempty"`
	Condition string `json:"condition,omitempty"`
	Text      string `json:"text,omitempty"`
	Then      Then   `json:"then,omitempty"`
	Struck    int    `json:"struck,omitempty"`
}

// result is the answer: how many connections, links or locks were affected.
type result struct {
	Affected int `json:"affected"`
}

// ServeHTTP is the control endpoint: POST does or arms (204 or a JSON result), GET lists what is armed, DELETE clears.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		f.answer(w, f.list())
	case http.MethodDelete:
		f.Clear()
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPost:
		var o order
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			http.Error(w, fmt.Sprintf("read fault: %v", err), http.StatusBadRequest)
			return
		}
		n, err := f.obey(o)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.answer(w, result{n})
	default:
		http.Error(w, "POST, GET or DELETE", http.StatusMethodNotAllowed)
	}
}

func (f *Faults) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		f.s.log.Debug("answer on /faults", "err", err)
	}
}

func duration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s: %q is not a duration such as 5s", name, text)
	}
	return d, nil
}

func (f *Faults) obey(o order) (int, error) {
	span, err := duration("for", o.For)
	if err != nil {
		return 0, err
	}
	switch o.Do {
	case "":
		delay, err := duration("delay", o.Delay)
		if err != nil {
			return 0, err
		}
		_, err = f.add(Fault{
			Op: o.Op, Entity: o.Entity, Session: o.Session, Skip: o.Skip, Times: o.Times, Effect: o.Effect, Delay: delay,
			Condition: o.Condition, Text: o.Text, Then: o.Then,
		})
		return 1, err
	case "cut":
		if o.Entity == "" {
			return f.CutAll(), nil
		}
		return f.CutLinks(o.Entity, o.Session), nil
	case "detach":
		return f.DetachLinks(o.Entity, o.Session, o.Condition), nil
	case "expire":
		if o.Session == "" {
			f.ExpireLocks(o.Entity)
			return 1, nil
		}
		if f.ExpireSession(o.Entity, o.Session) {
			return 1, nil
		}
		return 0, nil
	case "stall":
		return f.StallLinks(o.Entity, o.Session), nil
	case "unstall":
		f.Unstall()
	case "refuse-connections":
		f.RefuseConnections(span)
	case "accept-connections":
		f.AcceptConnections()
	case "clear":
		f.Clear()
	default:
		return 0, fmt.Errorf("do: unknown order %q", o.Do)
	}
	return 1, nil
}

func (f *Faults) list() []order {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []order{}
	for _, a := range f.all {
		o := order{
			Op: a.Op, Entity: a.Entity, Session: a.Session, Skip: a.skip, Times: a.left, Effect: a.Effect,
			Condition: a.Condition, Text: a.Text, Then: a.Then, Struck: a.struck,
		}
		if a.Fault.Delay > 0 {
			o.Delay = a.Fault.Delay.String()
		}
		out = append(out, o)
	}
	return out
}
