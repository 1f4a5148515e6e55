package dynamics

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"fnobridge/internal/admission"
	"fnobridge/internal/failure"
)

// Whether somebody answers the question that changes nothing, and who, says whether F&O is there.
func TestOnlyFnoItselfAnswersTheQuestion(t *testing.T) {
	rows := []struct {
		status int
		body   string
		there  bool
	}{
		{200, `{"value":""}`, true},
		{200, `{"value":null}`, true},
		{200, `{"value":"Processed"}`, true},
		{400, `{"error":{"code":"","message":"An error has occurred."}}`, true},
		{404, `{"error":{"message":"no such message"}}`, true},
		{500, `{"error":{"message":"An error has occurred.","innererror":{"message":"x"}}}`, true},
		{400, "", true}, // seen for an ID that is not known

		{200, "<html><title>Under maintenance</title></html>", false},
		{200, "", false},
		{400, "Bad Request - Invalid Hostname", false},
		{404, "", false},
		{404, `{"statusCode":404,"message":"Resource not found"}`, false}, // a gateway's
		{404, `{"error":null}`, false},
		{500, "Internal Server Error", false},
		{302, "", false},
		{401, `{"error":{"message":"no"}}`, false},
		{403, `{"error":{"message":"no"}}`, false},
		{407, "", false},
		{429, `{"error":{"message":"busy"}}`, false},
		{502, `{"error":{"message":"x"}}`, false},
		{503, "", false},
	}
	for _, r := range rows {
		e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return answer(r.status, r.body), nil })})
		err := e.Probe(t.Context())
		if r.there != (err == nil) {
			t.Errorf("HTTP %d %q: %v", r.status, r.body, err)
		}
		if err != nil && failure.Of(err).Verdict != failure.Pause {
			t.Errorf("HTTP %d %q: %v", r.status, r.body, failure.Of(err).Verdict)
		}
	}
}

func TestABadAnswerIsJudgedByTheQuestion(t *testing.T) {
	unknown := &failure.Failure{Verdict: failure.Unknown, Reason: failure.BadAnswer, Status: 200}
	broken := &failure.Failure{Verdict: failure.Retry, Reason: failure.ServerError, Status: 500}
	reset := &failure.Failure{Verdict: failure.Retry, Reason: failure.ConnectionBroken}
	refused := &failure.Failure{Verdict: failure.PauseJob, Reason: failure.NotFound, Status: 404}
	storage := &failure.Failure{Verdict: failure.Retry, Reason: failure.StorageFailed}
	paused := &failure.Failure{Verdict: failure.Pause, Reason: failure.Throttled, Status: 429}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	stop := failure.StoppedCall(stopped)
	for _, r := range []struct {
		name      string
		err       error
		asks      bool
		back, out failure.Verdict // of what comes back when F&O answers the question, and when it does not
	}{
		{"good", nil, false, failure.Undecided, failure.Undecided},
		{"unknown", unknown, true, failure.Unknown, failure.Unknown},
		{"server error", broken, true, failure.Retry, failure.Pause},
		{"reset", reset, true, failure.Retry, failure.Pause},
		{"refused job", refused, true, failure.PauseJob, failure.Pause},
		{"storage", storage, false, failure.Retry, failure.Retry},
		{"stop", stop, false, failure.Retry, failure.Retry},
		{"pause", paused, false, failure.Pause, failure.Pause},
	} {
		for _, there := range []bool{true, false} {
			asked := false
			e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				asked = true
				if there {
					return answer(200, `{"value":""}`), nil
				}
				return answer(404, "no such site"), nil
			})})
			p, err := e.Gate().AwaitPass(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Answered()
			got := e.Judge(t.Context(), p, r.err)
			want := r.out
			if there {
				want = r.back
			}
			verdict := failure.Undecided
			if f, ok := errors.AsType[*failure.Failure](got); ok {
				verdict = f.Verdict
			}
			if verdict != want || asked != r.asks {
				t.Errorf("%s, F&O there %v: %v, want %v; asked %v", r.name, there, verdict, want, asked)
			}
			closed := r.asks && !there || r.name == "pause"
			if s := e.Gate().State(); s.Open() == closed || closed && r.asks && !strings.Contains(s.Detail, "no such site") {
				t.Errorf("%s, F&O there %v: %+v", r.name, there, s)
			}
		}
	}
}

// A job is closed when it refuses, and when the second post in a row is in doubt while the environment answers.
func TestWhatClosesAJob(t *testing.T) {
	unknown := &failure.Failure{Verdict: failure.Unknown, Reason: failure.GatewayTimeout, Status: 504}
	for name, row := range map[string]struct {
		err   error
		times int
		want  admission.GatePhase
	}{
		"good":            {nil, 1, admission.GateOpen},
		"refused":         {&failure.Failure{Verdict: failure.PauseJob, Reason: failure.Forbidden, Status: 403}, 1, admission.GateClosed},
		"doubtful":        {unknown, 1, admission.GateSuspect},
		"doubtful twice":  {unknown, 2, admission.GateClosed},
		"a bad file":      {&failure.Failure{Verdict: failure.Reject, Reason: failure.PayloadTooLarge, Status: 413}, 2, admission.GateOpen},
		"the environment": {&failure.Failure{Verdict: failure.Pause, Reason: failure.Unavailable, Status: 503}, 2, admission.GateOpen},
	} {
		e := newEnvironment(t, Options{})
		g := e.Job("{" + strings.ToUpper(anActivity) + "}")
		if e.Job(anActivity) != g {
			t.Error("two gates for one job")
		}
		pass := g.TryPass()
		pass.Leave(nil)
		for range row.times {
			e.JudgeJob(g.TryPass(), row.err)
		}
		if got := g.State().Phase; got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}
