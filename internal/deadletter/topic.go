package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"

	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
	"fnobridge/internal/redact"
)

// ErrNotTaken says that no subscription of the topic would take the copy: sending it would lose it.
var ErrNotTaken = errors.New("no subscription of the topic takes it")

// ErrCannotTell says that it is not known whether a subscription would take the copy.
var ErrCannotTell = errors.New("cannot tell whether a subscription of the topic takes it")

// Takes tells whether a topic would keep a copy: nil, ErrNotTaken, or an error that wraps ErrCannotTell.
type Takes func(*azservicebus.AMQPAnnotatedMessage) error

// TopicRules reads the subscriptions of a topic and their rules once, with the management right on them, and judges
// messages by them. True, false and correlation filters are judged as the broker does; a SQL filter only where it is
// the one that takes everything, for a second evaluator that is nearly right would lose messages.
func TopicRules(ctx context.Context, c *admin.Client, topic string) (Takes, error) {
	var filters []admin.RuleFilter
	subs := c.NewListSubscriptionsPager(topic, nil)
	for subs.More() {
		page, err := subs.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: list subscriptions of %s: %w", ErrCannotTell, topic, unread(err))
		}
		for _, s := range page.Subscriptions {
			rules := c.NewListRulesPager(topic, s.SubscriptionName, nil)
			for rules.More() {
				page, err := rules.NextPage(ctx)
				if err != nil {
					return nil, fmt.Errorf("%w: list rules of %s/%s: %w", ErrCannotTell, topic, s.SubscriptionName, unread(err))
				}
				for _, r := range page.Rules {
					filters = append(filters, r.Filter)
				}
			}
		}
	}
	return judge(filters), nil
}

// unread keeps the type of an error of the management API, and its text short: it quotes whole pages.
func unread(err error) error {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return fmt.Errorf("HTTP %d %s", e.StatusCode, e.ErrorCode)
	}
	return errors.New(redact.Text(err.Error()))
}

func judge(filters []admin.RuleFilter) Takes {
	return func(m *azservicebus.AMQPAnnotatedMessage) error {
		unknown := false
		for _, f := range filters {
			switch f := f.(type) {
			case *admin.TrueFilter:
				return nil
			case *admin.CorrelationFilter:
				if correlates(f, m) {
					return nil
				}
			case *admin.FalseFilter:
			case *admin.SQLFilter:
				if strings.ReplaceAll(f.Expression, " ", "") == "1=1" {
					return nil
				}
				unknown = true
			default:
				unknown = true
			}
		}
		if unknown {
			return fmt.Errorf("%w: its subscriptions have SQL filters", ErrCannotTell)
		}
		return ErrNotTaken
	}
}

// correlates reports whether every property that the filter names is the same in the message. Names of application
// properties do not differ by case; values do.
func correlates(f *admin.CorrelationFilter, m *azservicebus.AMQPAnnotatedMessage) bool {
	p := m.Properties
	for _, c := range []struct {
		want *string
		have any
	}{
		{f.ContentType, p.ContentType}, {f.CorrelationID, p.CorrelationID}, {f.MessageID, p.MessageID},
		{f.ReplyTo, p.ReplyTo},
		{f.ReplyToSessionID, p.ReplyToGroupID}, {f.SessionID, p.GroupID}, {f.Subject, p.Subject}, {f.To, p.To},
	} {
		have := c.have
		if s, ok := have.(*string); ok {
			have = deref(s)
		}
		if c.want != nil && have != *c.want {
			return false
		}
	}
	for name, want := range f.ApplicationProperties {
		have, ok := any(nil), false
		for k, v := range m.ApplicationProperties {
			if strings.EqualFold(k, name) {
				have, ok = v, true
			}
		}
		if !ok || !same(want, have) {
			return false
		}
	}
	return true
}

// same compares two property values; clients write the same number in different widths.
func same(a, b any) bool {
	if _, ok := a.(string); !ok {
		if n := number(a); n != 0 || number(b) != 0 {
			return n == number(b)
		}
	}
	return fmt.Sprint(plain(a)) == fmt.Sprint(plain(b))
}

// checkTarget refuses a target that would not keep what it is sent: another one that is no queue, and a topic whose
// rules are not known.
func (r *run) checkTarget(ctx context.Context) error {
	if r.o.To == "" {
		if r.o.Source.Topic != "" && r.o.Takes == nil && !r.o.Unchecked {
			return fmt.Errorf("%w: %w", ErrUsage, ErrCannotTell)
		}
		return nil
	}
	// Only a queue has a dead-letter queue of its own: a topic of this name does not answer.
	probe := r.b.DeadLetters(contract.Source{Queue: r.o.To})
	defer closeQuietly(probe)
	if _, err := probe.Peek(ctx, 1, 1); err != nil && (!r.o.Unchecked || !errors.Is(err, bus.ErrForbidden)) {
		return fmt.Errorf("%w: target %s: %w", ErrUsage, r.o.To, err)
	}
	return nil
}
