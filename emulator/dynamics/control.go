package dynamics

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// armedState is a fault as the control endpoint lists it.
type armedState struct {
	Fault
	Fired int `json:"fired"`
}

// control serves the endpoints by which another process drives this server, when the options allow it:
//
//	POST   /faults    a Fault or an array of them; all or none are armed
//	GET    /faults    those still armed, with what they hit
//	DELETE /faults    disarm all
//	GET    /imports   what was accepted, an array of Import
//	GET    /exports   what became of the exports, an array of ExportRecord
//	POST   /exports?activity=GUID   offer the body as an export
//
// They want no bearer: the port is on loopback. It reports whether the path was one of them.
func (s *Server) control(w http.ResponseWriter, r *http.Request) bool {
	if !s.options.Faults {
		return false
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /faults":
		s.armFaults(w, r)
	case "GET /faults":
		list := []armedState{}
		for _, a := range s.faults.List() {
			list = append(list, armedState{a.Fault(), a.Fired()})
		}
		writeJSON(w, http.StatusOK, list)
	case "DELETE /faults":
		s.faults.Clear()
		w.WriteHeader(http.StatusNoContent)
	case "GET /imports":
		writeJSON(w, http.StatusOK, s.Imports())
	case "GET /exports":
		writeJSON(w, http.StatusOK, s.Exports())
	case "POST /exports":
		s.offer(w, r)
	default:
		return false
	}
	return true
}

func (s *Server) armFaults(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAction))
	var list []Fault
	if err == nil {
		err = json.Unmarshal(body, &list)
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // not an array: one of them
			var one Fault
			err = json.Unmarshal(body, &one)
			list = []Fault{one}
		}
	}
	for _, f := range list {
		err = errors.Join(err, f.check())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, f := range list {
		s.faults.MustAdd(f) // checked above
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) offer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, s.options.MaxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off
	}
	id, err := s.AddExport(r.URL.Query().Get("activity"), Export{Body: body})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"correlationId": id})
}
