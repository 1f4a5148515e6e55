package dynamics

import (
	"context"
	"errors"
	"net/http"

	"fnobridge/internal/admission"
	"fnobridge/internal/failure"
)

// Probe asks the environment a question that changes nothing. It returns nil when F&O itself answers it, also when the
// answer names an error of the question; else a failure with the verdict Pause: a page, a refusal without F&O's words,
// or silence is what everybody gets.
func (e *Environment) Probe(ctx context.Context) error {
	_, err := e.action(ctx, kindStatus, "GetMessageStatus", "messageId", zeroGUID)
	if err == nil || failure.IsStop(err) {
		return err
	}
	silence := *failure.Of(err)
	switch silence.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusInternalServerError:
		if ofFno(err) {
			return nil
		}
	}
	silence.Verdict = failure.Pause
	return &silence
}

// Judge gives back the pass under which a call was made, and returns what the call's error means. An answer that is
// none, or that says only that something broke, may be that of one file or that of the whole environment: an outage has
// many shapes. So the environment is asked a question that changes nothing, while nobody else is let in. If that has no
// answer, it is an outage, and the call is none of the file's attempts; except that where F&O may have taken the file,
// nobody knows.
func (e *Environment) Judge(ctx context.Context, pass *admission.Pass, err error) error {
	if !doubtful(err) {
		pass.Leave(err)
		return err
	}
	pass.Doubt()
	silence := e.Probe(ctx)
	pass.Leave(silence)
	if silence == nil || failure.IsStop(silence) || failure.Of(err).Verdict == failure.Unknown {
		return err
	}
	return silence
}

// JudgeJob gives back the pass of a job's gate after a call that Judge has judged.
func (e *Environment) JudgeJob(pass *admission.Pass, err error) {
	bad := failure.Of(err)
	switch {
	case err == nil:
		pass.Leave(nil)
	case bad.Verdict == failure.PauseJob:
		closing := *bad
		closing.Verdict = failure.Pause
		pass.Leave(&closing)
	case bad.Verdict == failure.Unknown && !failure.IsStop(err) && e.gate.State().Open():
		pass.LeaveInDoubt(bad) // the environment answers questions: it is the file, or the job
	case bad.Status != 0 && (bad.Verdict == failure.Retry || bad.Verdict == failure.Reject):
		pass.Leave(nil) // it refuses this file, not everybody
	default:
		pass.GiveBack()
	}
}

// doubtful reports whether a call's error may be that of every call.
func doubtful(err error) bool {
	f, ok := errors.AsType[*failure.Failure](err)
	if !ok || f.Reason == failure.StorageFailed {
		return false
	}
	switch f.Verdict {
	case failure.Unknown: // also when a stop cut the wait for the answer short
		return !failure.IsStop(err)
	case failure.Retry, failure.Reject, failure.PauseJob:
		return !failure.IsStop(err) && (f.Status != 0 || silent(f.Reason))
	}
	return false
}

func silent(r failure.Reason) bool { return r == failure.Timeout || r == failure.ConnectionBroken }
