package dynamics

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An odata action: the name of its parameter, and what it does.
type odata struct {
	op        Operation
	parameter string
	do        func(*Server, http.ResponseWriter, *http.Request, *call)
}

// actions by name. Source: Microsoft Learn, data management package REST API; the underscore of _messageId is
// documented since September 2024.
var actions = map[string]odata{
	"GetMessageStatus":           {Status, "messageId", (*Server).messageStatus},
	"GetExecutionIdByMessageId":  {ExecutionID, "_messageId", (*Server).executionID},
	"GetExecutionErrors":         {Errors, "executionId", (*Server).executionErrors},
	"GetExecutionSummaryPageUrl": {SummaryURL, "executionId", (*Server).summaryURL},
	"GetExecutionSummaryStatus":  {SummaryStatus, "executionId", (*Server).summaryStatus},
}

// action serves the OData actions of DataManagementDefinitionGroups.
func (s *Server) action(w http.ResponseWriter, r *http.Request, name string) {
	a, ok := actions[name]
	switch {
	case !ok:
		odataError(w, http.StatusNotFound, "No HTTP resource was found that matches the request URI.", "")
		return
	case r.Method != http.MethodPost:
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	s.calls[a.op].Add(1)
	c := &call{target: target{op: a.op}}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAction))
	var parameters map[string]any
	if err != nil || json.Unmarshal(body, &parameters) != nil {
		c.bad = true
	}
	c.id, ok = parameters[a.parameter].(string)
	c.bad = c.bad || !ok
	if a.parameter == "executionId" {
		c.about(s.imports.byExecution(c.id, s.clock.Now()))
	} else {
		c.about(s.imports.byMessage(c.id))
	}
	s.serve(w, r, s.faults.pick(c.target, false), func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.bearer(r); !ok {
			s.challenge(w)
			return
		}
		if c.bad {
			odataError(w, http.StatusBadRequest, "An error has occurred.", "The parameter "+a.parameter+" is missing.")
			return
		}
		a.do(s, w, r, c)
	})
}

func (s *Server) messageStatus(w http.ResponseWriter, r *http.Request, c *call) {
	now := s.clock.Now()
	if c.rec == nil || now.Sub(c.rec.accepted) < s.options.StatusLag {
		failed(w, "GetMessageStatus", "Message with id "+c.id+" was not found in the message table")
		return
	}
	value(w, r, s.spell(c.rec.status(now)))
}

// spell writes a status as the options want it.
func (s *Server) spell(status string) string {
	if w, ok := s.options.Spelling[status]; ok {
		return w
	}
	return status
}

// executionID answers the all-zero GUID while the batch has not taken the message. Source:
// hotwax/dynamics365-integration.
func (s *Server) executionID(w http.ResponseWriter, r *http.Request, c *call) {
	now := s.clock.Now()
	switch {
	case c.rec == nil || now.Sub(c.rec.accepted) < s.options.StatusLag:
		failed(w, "GetExecutionIdByMessageId", "Message with id "+c.id+" was not found in the message table")
	case now.Before(c.rec.starts):
		value(w, r, uuid.Nil.String())
	default:
		value(w, r, c.rec.execution())
	}
}

// executionErrors answers a string that holds a JSON array. It is [] for a wrong ID too, the message ID among them, and
// for files that could not be read. Source: issues 2054, 2064, 2074 of the documentation's repository.
func (s *Server) executionErrors(w http.ResponseWriter, r *http.Request, c *call) {
	list := []ExecutionError{}
	if c.rec != nil && c.rec.ended(s.clock.Now()) && !c.rec.job.NoErrors && len(c.rec.errors) > 0 {
		list = c.rec.errors
	}
	if c.rec != nil && c.rec.broken {
		value(w, r, unescaped(list))
		return
	}
	b, err := json.Marshal(list)
	if err != nil {
		failed(w, "GetExecutionErrors", err.Error())
		return
	}
	value(w, r, string(b))
}

// unescaped writes the list as F&O does: what a message quotes, and its line breaks, stand in it as they are. Source: Fo.Api,
// ConvertFrom-FoExecutionErrors.
func unescaped(list []ExecutionError) string {
	var rows []string
	for _, e := range list {
		rows = append(rows, `{"RecordId":"`+e.RecordID+`","Field":"`+e.Field+`","ErrorMessage":"`+e.ErrorMessage+`"}`)
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func (s *Server) summaryURL(w http.ResponseWriter, r *http.Request, c *call) {
	if c.rec == nil {
		failed(w, "GetExecutionSummaryPageUrl", "Execution details were not found for execution id: "+c.id)
		return
	}
	value(w, r, s.URL()+"/?cmp="+url.QueryEscape(c.rec.company)+
		"&mi=DM_DataManagementWorkspaceMenuItem&q="+url.QueryEscape(c.rec.execution()))
}

// summaryStatus answers with the execution's own words. An execution that does not exist is 400, as it is for some time
// after a submission. Source: Recurring Integrations Scheduler, issue 71.
func (s *Server) summaryStatus(w http.ResponseWriter, r *http.Request, c *call) {
	if c.rec == nil {
		failed(w, "GetExecutionSummaryStatus", "Execution details were not found for execution id: "+c.id)
		return
	}
	switch c.rec.status(s.clock.Now()) {
	case statusProcessed:
		value(w, r, "Succeeded")
	case statusWithErrors:
		if len(c.rec.errors) > 0 && len(c.rec.errors) < c.rec.records {
			value(w, r, "PartiallySucceeded")
			return
		}
		value(w, r, "Failed")
	case statusPreError, statusPostError:
		value(w, r, "Failed")
	default:
		value(w, r, "Executing")
	}
}

// value is a successful OData answer.
func value(w http.ResponseWriter, r *http.Request, v string) {
	writeJSON(w, http.StatusOK, struct {
		Context string `json:"@odata.context"`
		Value   string `json:"value"`
	}{origin(r) + "/data/$metadata#Edm.String", v})
}

// failed is what OData says when an action throws. Source: Recurring Integrations Scheduler, issue 71.
func failed(w http.ResponseWriter, action, why string) {
	odataError(w, http.StatusBadRequest, "An error has occurred.",
		"Exception occurred while executing action "+action+" on Entity DataManagementDefinitionGroup: "+why)
}

func odataError(w http.ResponseWriter, status int, message, inner string) {
	type innerError struct {
		Message    string `json:"message"`
		Type       string `json:"type"`
		StackTrace string `json:"stacktrace"`
	}
	var e struct {
		Error struct {
			Code    string      `json:"code"`
			Message string      `json:"message"`
			Inner   *innerError `json:"innererror,omitempty"`
		} `json:"error"`
	}
	e.Error.Message = message
	if inner != "" {
		e.Error.Inner = &innerError{Message: inner, Type: "System.InvalidOperationException",
			StackTrace: "   at an emulated place"}
	}
	writeJSON(w, status, e)
}

// dataJobState is the number of a status in the older status call. Source: issue 10 of
// microsoft/Dynamics-AX-Integration and the contracts of Recurring Integrations Scheduler.
func dataJobState(status string) int {
	switch status {
	case statusEnqueued:
		return 0
	case statusDequeued:
		return 1
	case statusProcessed:
		return 5
	case statusWithErrors:
		return 6
	case statusPostError:
		return 7
	case statusPreError:
		return 8
	default:
		return 4
	}
}

// jobStatus is the older status call: one answer with status, execution and counts, on the connector's path.
func (s *Server) jobStatus(w http.ResponseWriter, _ *http.Request, c *call) {
	if c.rec == nil || c.rec.job != c.job {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	now, rec := s.clock.Now(), c.rec
	job := map[string]any{
		"DataProject": rec.job.Project, "DataJobIdentifier": rec.job.id.String(), "ExternalIdentifier": rec.external,
		"ExecutionIdentifier": "", "DataJobStartedDateTime": stamp(time.Time{}),
		"DataJobCompletedDateTime": stamp(time.Time{}),
		"DataJobState":             dataJobState(rec.status(now)),
	}
	answer := map[string]any{"DataJobStatus": job, "ExecutionLog": "", "ExecutionDetail": nil}
	if !now.Before(rec.starts) {
		job["ExecutionIdentifier"] = rec.execution()
		job["DataJobStartedDateTime"] = stamp(rec.starts)
	}
	if rec.ended(now) {
		job["DataJobCompletedDateTime"] = stamp(rec.ends)
		answer["ExecutionLog"] = strings.TrimSpace(rec.detail)
		if rec.detail == "" {
			answer["ExecutionDetail"] = []any{detail(rec)}
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

func detail(r *record) map[string]any {
	state := "Finished"
	if len(r.errors) > 0 {
		state = "Error"
	}
	return map[string]any{
		"EntityName": r.entity, "Company": r.company, "TotalRecords": r.records, "StagingRecords": r.records,
		"StagingStatus": "Finished", "StagingErrorCount": 0, "TargetRecords": max(r.records-len(r.errors), 0),
		"TargetStatus": state, "TargetErrorCount": len(r.errors),
		"ExecutionStartedDateTime": stamp(r.starts), "ExecutionCompletedDateTime": stamp(r.ends),
	}
}

// stamp writes a time as X++ does: no zone; the zero time is 1900.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "1900-01-01T00:00:00"
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}
