package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/google/uuid"

	"fnobridge/internal/config"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/letter"
)

// lookTimeout bounds each look at something.
const lookTimeout = 20 * time.Second

// lockTolerance is how much shorter than configured a lock may look: the call that measures it takes its time, and two
// clocks are compared.
const lockTolerance = 5 * time.Second

// A result is how a look at something ended.
type result string

// The results.
const (
	resultOK      result = "ok"
	resultFailed  result = "failed"
	resultUnknown result = "not seen" // cannot be looked at without changing something, or was not reached
)

// check is one look at something the configuration names.
type check struct {
	What   string `json:"what"`
	Target string `json:"target"`
	Result result `json:"result"`
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`
	err    error
}

// look looks at everything the configuration names, without changing it. The order is that of the file.
func (a *app) look(ctx context.Context, c *config.Config) []check {
	checks := lookAtBus(ctx, c)
	for _, e := range c.Environments {
		checks = append(checks, lookAtEnvironment(ctx, e)...)
	}
	for _, r := range c.Routes {
		for _, container := range r.ClaimCheck {
			checks = append(checks, check{
				What: "blob container", Target: container, Result: resultUnknown, Detail: "opened with the first claim check",
			})
		}
	}
	if n := len(c.Routes) + len(c.Exports); n > 0 {
		checks = append(checks, check{
			What: "recurring jobs", Target: counted(n, "activity ID"), Result: resultUnknown,
			Detail: "F&O tells nothing about a job before a file goes in or comes out",
		})
	}
	return checks
}

func lookAtBus(ctx context.Context, c *config.Config) []check {
	connect, server, err := connector(c.ServiceBus)
	var client *azservicebus.Client
	if err == nil {
		client, err = connect(azservicebus.RetryOptions{MaxRetries: -1})
	}
	if err != nil {
		return []check{{What: "Service Bus", Target: server, Result: resultFailed, Detail: err.Error(), err: err}}
	}
	defer closeQuietly(client)
	var checks []check
	for _, s := range c.Sources {
		source := lookAtSource(ctx, client, server, s, c.ServiceBus.Lock)
		checks = append(checks, source)
		if source.Result == resultOK {
			checks = append(checks, lookAtTTL(ctx, c, s))
		}
	}
	if c.Status.Topic != "" {
		checks = append(checks, lookAtTarget(ctx, client, server, "status events", c.Status.Topic))
	}
	for _, e := range c.Exports {
		checks = append(checks, lookAtTarget(ctx, client, server, "export "+e.Name, e.Queue))
	}
	return checks
}

// lookAtSource takes a session that nobody uses. That works on session-enabled entities only, takes no message, and
// shows how long the lock really is.
func lookAtSource(
	ctx context.Context, client *azservicebus.Client, server string, s config.Source, lock time.Duration,
) check {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	out := check{What: "source", Target: s.Name(), Result: resultFailed}
	id := "fnobridge-validate-" + uuid.NewString()
	var r *azservicebus.SessionReceiver
	before := time.Now()
	if s.Queue != "" {
		r, out.err = client.AcceptSessionForQueue(ctx, s.Queue, id, nil)
	} else {
		r, out.err = client.AcceptSessionForSubscription(ctx, s.Topic, s.Subscription, id, nil)
	}
	if out.err != nil {
		out.Detail, out.Advice = out.err.Error(), busHint(out.err, server, s.Name(), "listen")
		if e, ok := errors.AsType[*amqp.Error](out.err); ok && noSessions(e.Condition) {
			out.Advice = "It is not session-enabled. Sessions cannot be turned on later: create it anew with requiresSession."
		}
		return out
	}
	defer closeQuietly(r)
	out.Result = resultOK
	has := r.LockedUntil().Sub(before).Round(time.Second)
	shown, wanted := config.FormatDuration(has), config.FormatDuration(lock)
	out.Detail = "session-enabled, lock " + shown
	if has < lock-lockTolerance {
		out.Result = resultFailed
		out.err = exit(exitConfig, fmt.Errorf("its lock is %s, serviceBus.lock says %s", shown, wanted))
		out.Detail = out.err.Error()
		out.Advice = fmt.Sprintf("Give it a lock of %s, or write lock: %s: leases would be taken for longer than they are. "+
			"If its lock is right, this machine's clock is not.", wanted, shown)
	}
	return out
}

// noSessions reports whether a broker said with its error that an entity has no sessions. Service Bus has used both.
func noSessions(c amqp.ErrCond) bool {
	return c == amqp.ErrCondNotAllowed || c == "com.microsoft:session-not-supported"
}

// lookAtTarget opens a link for sending and sends nothing. Making a batch asks for the largest message, which needs
// the link.
func lookAtTarget(ctx context.Context, client *azservicebus.Client, server, what, entity string) check {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	out := check{What: what, Target: entity, Result: resultFailed}
	sender, err := client.NewSender(entity, nil)
	if err == nil {
		defer closeQuietly(sender)
		_, err = sender.NewMessageBatch(ctx, nil)
	}
	if err != nil {
		out.err, out.Detail, out.Advice = err, err.Error(), busHint(err, server, entity, "send")
		return out
	}
	out.Result, out.Detail = resultOK, "may be sent to; duplicate detection is not visible from here"
	return out
}

// lookAtEnvironment asks for a token, then for the status of a message that does not exist: F&O's answer to that,
// whatever it is, says that it was reached and knows the identity.
func lookAtEnvironment(ctx context.Context, e config.Environment) []check {
	ctx, cancel := context.WithTimeout(ctx, 2*lookTimeout)
	defer cancel()
	token := check{What: "token", Target: e.Name, Result: resultFailed}
	reach := check{What: "F&O", Target: e.Name, Result: resultUnknown, Detail: "not tried: there is no token"}
	cred, err := newCredential(e.Identity)
	if err == nil {
		err = gotToken(ctx, cred, e.URL)
	}
	if err != nil {
		token.err, token.Detail = err, firstLine(err.Error())
		token.Advice = fmt.Sprintf(
			"Check tenantId, clientId and the secret or certificate of the identity, kind %s.", e.Identity.Kind)
		return []check{token, reach}
	}
	token.Result, token.Detail = resultOK, "for "+e.URL
	env, err := dynamics.New(dynamics.Options{
		Name: e.Name, URL: e.URL, Credential: cred, Timeout: min(e.Timeout, lookTimeout), Transport: oneCall(),
	})
	if err == nil {
		_, err = env.MessageStatus(ctx, uuid.NewString())
	}
	return []check{token, assess(reach, err)}
}

// oneCall returns a transport that keeps no connection after the answer.
func oneCall() http.RoundTripper {
	t := dynamics.NewTransport()
	t.DisableKeepAlives = true
	return t
}

func gotToken(ctx context.Context, cred azcore.TokenCredential, url string) error {
	_, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{url + "/.default"}})
	return err
}

// assess fills in what the answer to a status call for an unknown message means. F&O's complaint about the message is
// the good outcome; no answer, a refused identity and a wrong host are failures.
func assess(out check, err error) check {
	out.Result, out.Detail = resultOK, "answers, and knows the identity; its jobs may still refuse it"
	f, ok := errors.AsType[*failure.Failure](err)
	complains := ok && (f.Reason == failure.BadRequest ||
		f.Reason == failure.ServerError && f.Status == http.StatusInternalServerError)
	if err == nil || complains {
		return out
	}
	out.Result, out.err, out.Detail = resultFailed, err, firstLine(err.Error())
	if ok {
		out.Advice = letter.Check(f.Reason)
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// failedChecks returns the error of what failed, with the exit code of the first.
func failedChecks(checks []check) error {
	var first error
	n := 0
	for _, c := range checks {
		if c.Result == resultFailed {
			n++
			if first == nil {
				first = c.err
			}
		}
	}
	if n == 0 {
		return nil
	}
	return exit(codeOf(first), fmt.Errorf("%d of %s failed", n, counted(len(checks), "online check")))
}

func printChecks(w io.Writer, checks []check) error {
	t := newTable(w, "ONLINE CHECK", "OF", "RESULT", "DETAIL")
	for _, c := range checks {
		t.row(c.What, c.Target, string(c.Result), firstLine(c.Detail))
		if c.Advice != "" {
			t.row("", "", "", c.Advice)
		}
	}
	return t.flush()
}
