package entity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDefaultsAreValid(t *testing.T) {
	topic := NewTopic("t")
	topic.Subscriptions = []SubscriptionDescription{NewSubscription("s")}
	n := Namespace{
		Name: "n", Queues: []QueueDescription{NewQueue("q"), NewQueue("_a/b.c-d~e/9")},
		Topics: []TopicDescription{topic}, AuthorizationRules: []AuthorizationRule{RootRule()},
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
}

// queue makes a row of the table below out of a change to a valid queue.
func queue(change func(*QueueDescription)) error {
	q := NewQueue("q")
	change(&q)
	return q.Validate()
}

func subscription(change func(*SubscriptionDescription)) error {
	s := NewSubscription("s")
	change(&s)
	return s.Validate()
}

func TestValidateNamesTheProperty(t *testing.T) {
	long := strings.Repeat("x", 261)
	for _, c := range []struct {
		name string
		err  error
		want []string // the properties, in order
	}{
		{"empty name", queue(func(q *QueueDescription) { q.Name = "" }), []string{"Name"}},
		{"long name", queue(func(q *QueueDescription) { q.Name = long }), []string{"Name"}},
		{"longest name", queue(func(q *QueueDescription) { q.Name = long[:260] }), nil},
		{"leading slash", queue(func(q *QueueDescription) { q.Name = "/q" }), []string{"Name"}},
		{"double slash", queue(func(q *QueueDescription) { q.Name = "q//r" }), []string{"Name"}},
		{"space", queue(func(q *QueueDescription) { q.Name = "a b" }), []string{"Name"}},
		{"reserved segment", queue(func(q *QueueDescription) { q.Name = "q/$management" }), []string{"Name"}},
		{"hyphen last", queue(func(q *QueueDescription) { q.Name = "a-" }), []string{"Name"}},
		{"no lock", queue(func(q *QueueDescription) { q.LockDuration = 0 }), []string{"LockDuration"}},
		{"long lock", queue(func(q *QueueDescription) { q.LockDuration = MaxLockDuration + 1 }), []string{"LockDuration"}},
		{"longest lock", queue(func(q *QueueDescription) { q.LockDuration = MaxLockDuration }), nil},
		{"ttl", queue(func(q *QueueDescription) { q.DefaultMessageTimeToLive = time.Millisecond }),
			[]string{"DefaultMessageTimeToLive"}},
		{"idle", queue(func(q *QueueDescription) { q.AutoDeleteOnIdle = time.Minute }), []string{"AutoDeleteOnIdle"}},
		{"status", queue(func(q *QueueDescription) { q.Status = "Sleeping" }), []string{"Status"}},
		{"metadata", queue(func(q *QueueDescription) { q.UserMetadata = strings.Repeat("é", 1025) }),
			[]string{"UserMetadata"}},
		{"metadata in characters", queue(func(q *QueueDescription) { q.UserMetadata = strings.Repeat("é", 1024) }), nil},
		{"deliveries", queue(func(q *QueueDescription) { q.MaxDeliveryCount = 0 }), []string{"MaxDeliveryCount"}},
		{"too many deliveries", queue(func(q *QueueDescription) { q.MaxDeliveryCount = 2001 }), []string{"MaxDeliveryCount"}},
		{"size", queue(func(q *QueueDescription) { q.MaxSizeInMegabytes = 0 }), []string{"MaxSizeInMegabytes"}},
		{"message size", queue(func(q *QueueDescription) { q.MaxMessageSizeInKilobytes = 102401 }),
			[]string{"MaxMessageSizeInKilobytes"}},
		{"window", queue(func(q *QueueDescription) { q.DuplicateDetectionHistoryTimeWindow = time.Second }),
			[]string{"DuplicateDetectionHistoryTimeWindow"}},
		{"forward to self", queue(func(q *QueueDescription) { q.ForwardTo = "Q" }), []string{"ForwardTo"}},
		{"dead letters to self", queue(func(q *QueueDescription) { q.ForwardDeadLetteredMessagesTo = "Q" }),
			[]string{"ForwardDeadLetteredMessagesTo"}},
		{"forward to what is no name", queue(func(q *QueueDescription) {
			q.ForwardTo, q.ForwardDeadLetteredMessagesTo = "a b",
				"/x"
		}), []string{"ForwardTo", "ForwardDeadLetteredMessagesTo"}},
		{"forward with sessions", queue(func(q *QueueDescription) { q.RequiresSession, q.ForwardTo = true, "r" }),
			[]string{"ForwardTo"}},
		{"several at once", queue(func(q *QueueDescription) { q.Name, q.LockDuration, q.MaxDeliveryCount = "?", 0, 0 }),
			[]string{"Name", "LockDuration", "MaxDeliveryCount"}},
		{"subscription with a slash", subscription(func(s *SubscriptionDescription) { s.Name = "a/b" }), []string{"Name"}},
		{"long subscription", subscription(func(s *SubscriptionDescription) { s.Name = long[:51] }), []string{"Name"}},
		{"no rules", subscription(func(s *SubscriptionDescription) { s.Rules = nil }), nil},
		{"rule twice", subscription(func(s *SubscriptionDescription) {
			s.Rules = append(s.Rules, RuleDescription{Name: "$DEFAULT"})
		}), []string{"Rules"}},
		{"rule name", RuleDescription{Name: "a/b"}.Validate(), []string{"Name"}},
		{"empty correlation", RuleDescription{Name: "r", Filter: CorrelationFilter{}}.Validate(),
			[]string{"CorrelationFilter"}},
		{"correlation", RuleDescription{Name: "r", Filter: CorrelationFilter{Subject: new("")}}.Validate(), nil},
		{"correlation value", RuleDescription{Name: "r",
			Filter: CorrelationFilter{Properties: map[string]any{"p": []int{1}, "q": 1.5}}}.Validate(), []string{"Properties"}},
		{"empty sql", RuleDescription{Name: "r", Filter: SQLFilter{}, Action: SQLAction{}}.Validate(),
			[]string{"SqlFilter", "SqlRuleAction"}},
		{"long sql", RuleDescription{Name: "r", Filter: SQLFilter{Expression: strings.Repeat("x", 1025)}}.Validate(),
			[]string{"SqlFilter"}},
		{"parameter", RuleDescription{Name: "r", Filter: SQLFilter{Expression: "x=@p",
			Parameters: map[string]any{"": 1}}}.Validate(), []string{"Parameters", "Parameters"}},
		{"key", AuthorizationRule{Name: "r", Rights: []Right{Send}}.Validate(), []string{"Key"}},
		{"rights", AuthorizationRule{Name: "r", Key: "k"}.Validate(), []string{"Rights"}},
		{"manage alone", AuthorizationRule{Name: "r", Key: "k", Rights: []Right{Manage}}.Validate(), []string{"Rights"}},
		{"unknown right", AuthorizationRule{Name: "r;x", Key: "k", Rights: []Right{"Own"}}.Validate(),
			[]string{"Name", "Rights"}},
		{"right twice", AuthorizationRule{Name: "r", Key: "k", Rights: []Right{Send, Send}}.Validate(), []string{"Rights"}},
		{"namespace: name twice", Namespace{
			Queues: []QueueDescription{NewQueue("a")}, Topics: []TopicDescription{NewTopic("A")},
		}.Validate(), []string{"Name"}},
		{"namespace: target missing", Namespace{
			Queues: []QueueDescription{func() QueueDescription { q := NewQueue("a"); q.ForwardTo = "b"; return q }()},
		}.Validate(), []string{"ForwardTo"}},
		{"namespace: forward to its own topic", func() error {
			topic := NewTopic("t")
			topic.Subscriptions = []SubscriptionDescription{NewSubscription("s")}
			topic.Subscriptions[0].ForwardTo = "T"
			topic.Subscriptions[0].ForwardDeadLetteredMessagesTo = "gone"
			return Namespace{Topics: []TopicDescription{topic}}.Validate()
		}(), []string{"ForwardTo", "ForwardDeadLetteredMessagesTo"}},
		{"namespace: too many keys", Namespace{AuthorizationRules: make([]AuthorizationRule, 13)}.Validate(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Problems(c.err) {
				got = append(got, p.Property)
			}
			if c.name == "namespace: too many keys" { // each of the empty ones has problems of its own
				got, c.want = got[:1], []string{"AuthorizationRules"}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v\n%s", c.err, diff)
			}
		})
	}
}

func TestProblemReadsWell(t *testing.T) {
	err := queue(func(q *QueueDescription) { q.LockDuration = 6 * time.Minute })
	if want := `queue "q": LockDuration: must be more than 0 and at most 5m0s, is 6m0s`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestProblemsLooksIntoWrappedErrors(t *testing.T) {
	err := fmt.Errorf("outer: %w", errors.Join(errors.New("other"),
		queue(func(q *QueueDescription) { q.LockDuration, q.MaxDeliveryCount = 0, 0 })))
	if got := Problems(err); len(got) != 2 || got[1].Property != "MaxDeliveryCount" {
		t.Errorf("got %v", got)
	}
	if got := Problems(nil); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	topic := NewTopic("t")
	topic.AuthorizationRules = []AuthorizationRule{RootRule()}
	s := NewSubscription("s")
	s.Rules = append(s.Rules,
		RuleDescription{Name: "c", Filter: CorrelationFilter{Properties: map[string]any{"k": "v"}}},
		RuleDescription{
			Name: "q", Filter: SQLFilter{Expression: "a", Parameters: map[string]any{"@p": "v"}},
			Action: SQLAction{Expression: "b", Parameters: map[string]any{"@p": "v"}},
		})
	topic.Subscriptions = []SubscriptionDescription{s}
	q := NewQueue("q")
	q.AuthorizationRules = []AuthorizationRule{RootRule()}
	build := Namespace{
		Queues: []QueueDescription{q}, Topics: []TopicDescription{topic}, AuthorizationRules: []AuthorizationRule{RootRule()},
	}
	before, copied := build.Clone(), build.Clone()
	if diff := cmp.Diff(build, copied); diff != "" {
		t.Fatal(diff)
	}
	copied.AuthorizationRules[0].Rights[0] = "x"
	copied.Queues[0].AuthorizationRules[0].Rights[0] = "x"
	copied.Topics[0].AuthorizationRules[0].Rights[0] = "x"
	rules := copied.Topics[0].Subscriptions[0].Rules
	rules[0].Name = "x"
	rules[1].Filter.(CorrelationFilter).Properties["k"] = "x"
	rules[2].Filter.(SQLFilter).Parameters["@p"] = "x"
	rules[2].Action.(SQLAction).Parameters["@p"] = "x"
	copied.Topics[0].Subscriptions[0].Name = "x"
	if diff := cmp.Diff(before, build); diff != "" {
		t.Errorf("the original changed with its copy:\n%s", diff)
	}
}

func TestStatus(t *testing.T) {
	for s, want := range map[Status][2]bool{
		Active: {true, true}, Disabled: {}, SendDisabled: {false, true}, ReceiveDisabled: {true, false},
	} {
		if got := [2]bool{s.Sends(), s.Receives()}; got != want {
			t.Errorf("%s: sends, receives = %v, want %v", s, got, want)
		}
	}
}

func TestManageAllowsEverything(t *testing.T) {
	for _, right := range []Right{Send, Listen, Manage} {
		if !(AuthorizationRule{Rights: []Right{Manage}}).Allows(right) {
			t.Errorf("Manage does not allow %s", right)
		}
		if got := (AuthorizationRule{Rights: []Right{Send}}).Allows(right); got != (right == Send) {
			t.Errorf("Send allows %s: %v", right, got)
		}
	}
}
