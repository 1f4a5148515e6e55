package dynamics

import "context"

// Recurring is the way into an environment through its recurring integrations API: a file is enqueued for a recurring
// job, F&O names it with a message ID, and the job imports it when it runs.
type Recurring struct{ *Environment }

// An Explanation is what F&O says about an import that failed. What it did not say is empty.
type Explanation struct {
	ExecutionID string
	Errors      []ExecutionError
	SummaryURL  string // F&O's page about the execution, for people
}

// Post enqueues a file; see Enqueue.
func (r Recurring) Post(ctx context.Context, f File) (messageID string, err error) {
	return r.Enqueue(ctx, f)
}

// Ask asks how far the import of a message is; see MessageStatus.
func (r Recurring) Ask(ctx context.Context, messageID string) (Status, error) {
	return r.MessageStatus(ctx, messageID)
}

// Explain asks for the execution of a message, its errors and its page, each through ask. It returns what it got, and the
// error with which ask ended the questions.
func (r Recurring) Explain(ctx context.Context, messageID string, ask func(func(context.Context) error) error) (Explanation, error) {
	var x Explanation
	err := ask(func(ctx context.Context) (err error) {
		x.ExecutionID, err = r.ExecutionID(ctx, messageID)
		return err
	})
	if err != nil || x.ExecutionID == "" {
		return x, err // without an execution there is nothing more to ask
	}
	err = ask(func(ctx context.Context) (err error) {
		x.Errors, err = r.ExecutionErrors(ctx, x.ExecutionID)
		return err
	})
	if err != nil {
		return x, err
	}
	err = ask(func(ctx context.Context) (err error) {
		x.SummaryURL, err = r.ExecutionSummaryURL(ctx, x.ExecutionID)
		return err
	})
	return x, err
}
