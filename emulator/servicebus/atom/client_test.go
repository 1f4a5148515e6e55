package atom

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts the API over TLS, which the client insists on.
func serve(t *testing.T) (*httptest.Server, *memory) {
	t.Helper()
	m := newMemory()
	server := httptest.NewTLSServer(NewHandler(m, keys{}))
	t.Cleanup(server.Close)
	return server, m
}

func connect(t *testing.T, server *httptest.Server, key string) *admin.Client {
	t.Helper()
	c, err := admin.NewClientFromConnectionString(
		"Endpoint=sb://"+server.Listener.Addr().String()+";SharedAccessKeyName="+key+";SharedAccessKey=x",
		&admin.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: server.Client(),
			Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a client got.
func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// status is the HTTP status of an error, 0 for none.
func status(err error) int {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode
	}
	return 0
}

func TestQueueHasTheDefaultsOfAzure(t *testing.T) {
	server, _ := serve(t)
	c := connect(t, server, "root")
	got, err := c.CreateQueue(t.Context(), "Orders/in", nil)
	check(t, err)
	forever := new("P10675199DT2H48M5.4775807S")
	same(t, admin.CreateQueueResponse{QueueName: "Orders/in", QueueProperties: admin.QueueProperties{
		LockDuration: new("PT1M"), MaxSizeInMegabytes: new(int32(1024)), RequiresDuplicateDetection: new(false),
		RequiresSession: new(false), DefaultMessageTimeToLive: forever, DeadLetteringOnMessageExpiration: new(false),
		DuplicateDetectionHistoryTimeWindow: new("PT10M"), MaxDeliveryCount: new(int32(10)),
		EnableBatchedOperations: new(true), Status: new(admin.EntityStatusActive), AutoDeleteOnIdle: forever,
		EnablePartitioning: new(false), MaxMessageSizeInKilobytes: new(int64(256)),
	}}, got)
}

func TestQueueRoundTrip(t *testing.T) {
	server, m := serve(t)
	c := connect(t, server, "root")
	_, err := c.CreateQueue(t.Context(), "target", nil)
	check(t, err)
	target := new("sb://" + server.Listener.Addr().String() + "/target")
	props := admin.QueueProperties{
		LockDuration: new("PT45S"), MaxSizeInMegabytes: new(int32(2048)), RequiresDuplicateDetection: new(true),
		RequiresSession: new(false), DefaultMessageTimeToLive: new("PT6H"), DeadLetteringOnMessageExpiration: new(true),
		DuplicateDetectionHistoryTimeWindow: new("PT4H"), MaxDeliveryCount: new(int32(100)),
		EnableBatchedOperations: new(false), Status: new(admin.EntityStatusReceiveDisabled), AutoDeleteOnIdle: new("PT10M"),
		EnablePartitioning: new(false), MaxMessageSizeInKilobytes: new(int64(102400)),
		ForwardTo: target, ForwardDeadLetteredMessagesTo: new("https://elsewhere/target"), UserMetadata: new("a < b & \"c\""),
		AuthorizationRules: []admin.AuthorizationRule{{
			AccessRights: []admin.AccessRight{admin.AccessRightSend, admin.AccessRightListen}, KeyName: new("k"),
			PrimaryKey: new("p"), SecondaryKey: new("s"),
		}},
	}
	made, err := c.CreateQueue(t.Context(), "q", &admin.CreateQueueOptions{Properties: &props})
	check(t, err)
	same(t, props, made.QueueProperties)
	if q, err := m.Queue("q"); err != nil || q.ForwardTo != "target" || q.ForwardDeadLetteredMessagesTo != "target" {
		t.Errorf("%v, forwards to %q and %q", err, q.ForwardTo, q.ForwardDeadLetteredMessagesTo)
	}
	props.MaxDeliveryCount = new(int32(7))
	props.ForwardTo = nil // what is not sent is cleared
	updated, err := c.UpdateQueue(t.Context(), "Q", props, nil)
	check(t, err)
	same(t, props, updated.QueueProperties)
	got, err := c.GetQueue(t.Context(), "q", nil)
	check(t, err)
	same(t, props, got.QueueProperties)

	m.mu.Lock()
	m.queues["q"].ForwardTo = "target" // as a configuration file does it
	m.mu.Unlock()
	got, err = c.GetQueue(t.Context(), "q", nil)
	check(t, err)
	same(t, target, got.ForwardTo)

	m.mu.Lock()
	m.queues["q"].Runtime = Runtime{Created: created, Updated: created, Accessed: created.Add(time.Second),
		SizeInBytes: 99, Active: 1, DeadLetter: 2, Scheduled: 3, Transfer: 4, TransferDeadLetter: 5}
	m.mu.Unlock()
	state, err := c.GetQueueRuntimeProperties(t.Context(), "q", nil)
	check(t, err)
	same(t, &admin.GetQueueRuntimePropertiesResponse{QueueName: "q", QueueRuntimeProperties: admin.QueueRuntimeProperties{
		SizeInBytes: 99, CreatedAt: created, UpdatedAt: created, AccessedAt: created.Add(time.Second), TotalMessageCount: 15,
		ActiveMessageCount: 1, DeadLetterMessageCount: 2, ScheduledMessageCount: 3, TransferMessageCount: 4,
		TransferDeadLetterMessageCount: 5,
	}}, state)

	_, err = c.DeleteQueue(t.Context(), "q", nil)
	check(t, err)
	gone, err := c.GetQueue(t.Context(), "q", nil)
	check(t, err)
	if gone != nil {
		t.Errorf("a deleted queue is still there: %+v", gone)
	}
}

func TestPartitioningMultipliesTheSizeOnce(t *testing.T) {
	server, _ := serve(t)
	c := connect(t, server, "root")
	q, err := c.CreateQueue(t.Context(), "q", &admin.CreateQueueOptions{
		Properties: &admin.QueueProperties{EnablePartitioning: new(true), MaxSizeInMegabytes: new(int32(4096))},
	})
	check(t, err)
	again, err := c.UpdateQueue(t.Context(), "q", q.QueueProperties, nil)
	check(t, err)
	if *q.MaxSizeInMegabytes != 16*4096 || *again.MaxSizeInMegabytes != 16*4096 {
		t.Errorf("created %d, updated %d", *q.MaxSizeInMegabytes, *again.MaxSizeInMegabytes)
	}
}

func TestTopicAndSubscriptionRoundTrip(t *testing.T) {
	server, _ := serve(t)
	c := connect(t, server, "root")
	props := admin.TopicProperties{
		MaxSizeInMegabytes: new(int32(2048)), RequiresDuplicateDetection: new(true), DefaultMessageTimeToLive: new("PT3M"),
		DuplicateDetectionHistoryTimeWindow: new("PT4M"), EnableBatchedOperations: new(false),
		Status:           new(admin.EntityStatusActive),
		AutoDeleteOnIdle: new("PT7M"), SupportOrdering: new(false), UserMetadata: new("m"), EnablePartitioning: new(false),
		MaxMessageSizeInKilobytes: new(int64(512)),
	}
	topic, err := c.CreateTopic(t.Context(), "t", &admin.CreateTopicOptions{Properties: &props})
	check(t, err)
	same(t, admin.CreateTopicResponse{TopicName: "t", TopicProperties: props}, topic)

	sub := admin.SubscriptionProperties{
		LockDuration: new("PT3M"), RequiresSession: new(true), DefaultMessageTimeToLive: new("PT7M"),
		DeadLetteringOnMessageExpiration:                new(true),
		EnableDeadLetteringOnFilterEvaluationExceptions: new(false), MaxDeliveryCount: new(int32(11)),
		Status:                  new(admin.EntityStatusActive),
		EnableBatchedOperations: new(false), AutoDeleteOnIdle: new("PT11M"), UserMetadata: new("user metadata"),
	}
	made, err := c.CreateSubscription(t.Context(), "t", "s", &admin.CreateSubscriptionOptions{Properties: &sub})
	check(t, err)
	same(t, admin.CreateSubscriptionResponse{SubscriptionName: "s", TopicName: "t", SubscriptionProperties: sub}, made)
	sub.LockDuration = new("PT4M")
	updated, err := c.UpdateSubscription(t.Context(), "t", "s", sub, nil)
	check(t, err)
	same(t, sub, updated.SubscriptionProperties)

	state, err := c.GetSubscriptionRuntimeProperties(t.Context(), "t", "s", nil)
	check(t, err)
	if !state.AccessedAt.Equal(created) {
		t.Errorf("accessed at %v", state.AccessedAt)
	}
	_, err = c.CreateRule(t.Context(), "t", "s",
		&admin.CreateRuleOptions{Name: new("c"), Filter: &admin.CorrelationFilter{Subject: new("x")}})
	check(t, err)
	counts, err := c.GetTopicRuntimeProperties(t.Context(), "t", nil)
	check(t, err)
	if counts.SubscriptionCount != 1 || counts.SQLFilterCount != 1 || counts.CorrelationFilterCount != 1 {
		t.Errorf("counts %+v", counts)
	}
	_, err = c.DeleteSubscription(t.Context(), "t", "s", nil)
	check(t, err)
	gone, err := c.GetSubscription(t.Context(), "t", "s", nil)
	if gone != nil || err != nil {
		t.Errorf("a deleted subscription is still there: %+v, %v", gone, err)
	}
}

func TestRulesRoundTrip(t *testing.T) {
	server, _ := serve(t)
	c := connect(t, server, "root")
	_, err := c.CreateTopic(t.Context(), "t", nil)
	check(t, err)
	_, err = c.CreateSubscription(t.Context(), "t", "s",
		&admin.CreateSubscriptionOptions{Properties: &admin.SubscriptionProperties{
			DefaultRule: &admin.RuleProperties{Name: "first", Filter: &admin.FalseFilter{}},
		}})
	check(t, err)
	parameters := map[string]any{"@s": "it's <b>", "@i": int64(100), "@f": 100.1,
		"@t": time.Date(2001, 1, 1, 1, 2, 3, 0, time.UTC), "@b": true}
	for _, p := range []admin.RuleProperties{
		{Name: "first", Filter: &admin.FalseFilter{}},
		{Name: "a-true", Filter: &admin.TrueFilter{}},
		{Name: "b-sql", Filter: &admin.SQLFilter{Expression: "a=@s OR b<@i", Parameters: parameters},
			Action: &admin.SQLAction{Expression: "SET x=@f; REMOVE y", Parameters: parameters}},
		{Name: "c-correlation", Filter: &admin.CorrelationFilter{
			ContentType: new("c"), CorrelationID: new("i"), MessageID: new("m"), ReplyTo: new("r"), ReplyToSessionID: new("rs"),
			SessionID: new("s"), Subject: new(""), To: new("t"), ApplicationProperties: parameters,
		}},
	} {
		t.Run(p.Name, func(t *testing.T) {
			if p.Name != "first" {
				made, err := c.CreateRule(t.Context(), "t", "s",
					&admin.CreateRuleOptions{Name: &p.Name, Filter: p.Filter, Action: p.Action})
				check(t, err)
				same(t, p, made.RuleProperties)
			}
			shouted := p
			shouted.Name = strings.ToUpper(p.Name) // the same rule, and it keeps its name
			updated, err := c.UpdateRule(t.Context(), "t", "s", shouted)
			check(t, err)
			same(t, p, updated.RuleProperties)
			got, err := c.GetRule(t.Context(), "t", "s", strings.ToUpper(p.Name), nil)
			check(t, err)
			same(t, p, got.RuleProperties)
		})
	}
	var names []string
	pages := c.NewListRulesPager("t", "s", &admin.ListRulesOptions{MaxPageSize: 3})
	for pages.More() {
		page, err := pages.NextPage(t.Context())
		check(t, err)
		for _, r := range page.Rules {
			names = append(names, r.Name)
		}
	}
	same(t, []string{"a-true", "b-sql", "c-correlation", "first"}, names)
	_, err = c.DeleteRule(t.Context(), "t", "s", "first", nil)
	check(t, err)
	gone, err := c.GetRule(t.Context(), "t", "s", "first", nil)
	if gone != nil || err != nil {
		t.Errorf("a deleted rule is still there: %+v, %v", gone, err)
	}
}

func TestPaging(t *testing.T) {
	server, _ := serve(t)
	c := connect(t, server, "root")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		_, err := c.CreateQueue(t.Context(), name, nil)
		check(t, err)
		_, err = c.CreateTopic(t.Context(), "t"+name, nil)
		check(t, err)
	}
	queues := pages(t, c.NewListQueuesPager(&admin.ListQueuesOptions{MaxPageSize: 2}),
		func(p admin.ListQueuesResponse) (names []string) {
			for _, q := range p.Queues {
				names = append(names, q.QueueName)
			}
			return names
		})
	same(t, [][]string{{"a", "b"}, {"c", "d"}, {"e"}}, queues)
	topics := pages(t, c.NewListTopicsPager(nil), func(p admin.ListTopicsResponse) (names []string) {
		for _, q := range p.Topics {
			names = append(names, q.TopicName)
		}
		return names
	})
	same(t, [][]string{{"ta", "tb", "tc", "td", "te"}, nil}, topics)
}

func pages[T any](t *testing.T, p *runtime.Pager[T], names func(T) []string) [][]string {
	t.Helper()
	var out [][]string
	for p.More() {
		page, err := p.NextPage(t.Context())
		check(t, err)
		out = append(out, names(page))
	}
	return out
}

func TestNamespace(t *testing.T) {
	server, _ := serve(t)
	got, err := connect(t, server, "root").GetNamespaceProperties(t.Context(), nil)
	check(t, err)
	same(t, admin.NamespaceProperties{Name: "memory", SKU: "Standard", CreatedTime: created, ModifiedTime: created},
		got.NamespaceProperties)
}

func TestRefusals(t *testing.T) {
	server, _ := serve(t)
	c := connect(t, server, "root")
	ctx := t.Context()
	q, err := c.CreateQueue(ctx, "q", nil)
	check(t, err)
	topic, err := c.CreateTopic(ctx, "t", nil)
	check(t, err)
	sub, err := c.CreateSubscription(ctx, "t", "s", nil)
	check(t, err)
	queue := func(change func(*admin.QueueProperties)) error {
		p := q.QueueProperties
		change(&p)
		_, err := c.UpdateQueue(ctx, "q", p, nil)
		return err
	}
	for _, row := range []struct {
		name   string
		do     func() error
		status int
		text   string
	}{
		{"queue exists", func() error { _, err := c.CreateQueue(ctx, "Q", nil); return err }, 409, "already exists"},
		{"topic where a queue is", func() error { _, err := c.CreateTopic(ctx, "q", nil); return err }, 409,
			"already exists"},
		{"subscription exists", func() error { _, err := c.CreateSubscription(ctx, "t", "S", nil); return err }, 409,
			"already exists"},
		{"rule exists", func() error {
			_, err := c.CreateRule(ctx, "t", "s", &admin.CreateRuleOptions{Name: new("$Default")})
			return err
		}, 409, "already exists"},
		{"update of a missing queue",
			func() error { _, err := c.UpdateQueue(ctx, "no", q.QueueProperties, nil); return err }, 404,
			"404 Not Found"},
		{"update of a missing topic",
			func() error { _, err := c.UpdateTopic(ctx, "no", topic.TopicProperties, nil); return err }, 404,
			"404 Not Found"},
		{"update of a missing subscription", func() error {
			_, err := c.UpdateSubscription(ctx, "t", "no", sub.SubscriptionProperties, nil)
			return err
		}, 404, "404 Not Found"},
		{"subscription of a missing topic", func() error { _, err := c.CreateSubscription(ctx, "no", "s", nil); return err },
			404, "404 Not Found"},
		{"delete of a missing queue", func() error { _, err := c.DeleteQueue(ctx, "no", nil); return err }, 404,
			"404 Not Found"},
		{"list of a missing topic",
			func() error { _, err := c.NewListSubscriptionsPager("no", nil).NextPage(ctx); return err }, 404,
			"404 Not Found"},
		{"sessions of a queue", func() error {
			return queue(func(p *admin.QueueProperties) { p.RequiresSession = new(true) })
		}, 400, "The value for the RequiresSession property of an existing Queue cannot be changed"},
		{"duplicate detection of a queue", func() error {
			return queue(func(p *admin.QueueProperties) { p.RequiresDuplicateDetection = new(true) })
		}, 400, "The value for the RequiresDuplicateDetection property of an existing Queue cannot be changed"},
		{"partitions of a topic", func() error {
			p := topic.TopicProperties
			p.EnablePartitioning = new(true)
			_, err := c.UpdateTopic(ctx, "t", p, nil)
			return err
		}, 400, "Partitioning cannot be changed for Topic. "},
		{"sessions of a subscription", func() error {
			p := sub.SubscriptionProperties
			p.RequiresSession = new(true)
			_, err := c.UpdateSubscription(ctx, "t", "s", p, nil)
			return err
		}, 400, "The value for the RequiresSession property of an existing Subscription cannot be changed"},
		{"lock too long, and no duration", func() error {
			return queue(func(p *admin.QueueProperties) { p.LockDuration, p.AutoDeleteOnIdle = new("an hour"), new("5") })
		}, 400, "LockDuration is not valid: must be an ISO 8601 duration"},
		{"limits", func() error {
			return queue(func(p *admin.QueueProperties) { p.LockDuration, p.MaxDeliveryCount = new("PT6M"), new(int32(0)) })
		}, 400, "must be between 1 and 2000, is 0"},
		{"forwarding to nowhere", func() error {
			return queue(func(p *admin.QueueProperties) { p.ForwardTo = new("sb://x/nowhere") })
		}, 400, "The auto-forwarding destination 'nowhere' of ForwardTo does not exist."},
		{"wrong SQL", func() error {
			_, err := c.CreateRule(ctx, "t", "s", &admin.CreateRuleOptions{Name: new("r"),
				Filter: &admin.SQLFilter{Expression: "a = = b"}})
			return err
		}, 400, "column 5: a value expected"},
		{"wrong action", func() error {
			_, err := c.CreateRule(ctx, "t", "s", &admin.CreateRuleOptions{Name: new("r"),
				Action: &admin.SQLAction{Expression: "SET sys.Nope = 1"}})
			return err
		}, 400, "column 9: there is no system property"},
		{"empty correlation filter", func() error {
			_, err := c.CreateRule(ctx, "t", "s", &admin.CreateRuleOptions{Name: new("r"), Filter: &admin.CorrelationFilter{}})
			return err
		}, 400, "must name at least one property"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.do()
			if status(err) != row.status || !strings.Contains(err.Error(), row.text) {
				t.Errorf("got %v, want %d and %q", err, row.status, row.text)
			}
		})
	}
}

func TestMissingRights(t *testing.T) {
	server, _ := serve(t)
	root := connect(t, server, "root")
	ctx := t.Context()
	_, err := root.CreateQueue(ctx, "q", nil)
	check(t, err)
	_, err = root.CreateTopic(ctx, "t", nil)
	check(t, err)
	c := connect(t, server, "guest")
	missing, err := c.GetQueue(ctx, "no", nil)
	if missing != nil || err != nil {
		t.Errorf("a missing queue is %v, %v", missing, err)
	}
	for text, do := range map[string]func() error{
		">Manage,EntityRead claims required for this operation": func() error {
			_, err := c.GetQueue(ctx,
				"q", nil)
			return err
		},
		"Authorization failed for specified action: Manage,EntityWrite": func() error {
			_, err := c.CreateQueue(ctx,
				"new", nil)
			return err
		},
		"Authorization failed for specified action: Manage,EntityDelete.": func() error {
			_, err := c.DeleteTopic(ctx,
				"t", nil)
			return err
		},
		"401 SubCode=40100: Unauthorized : Unauthorized access for 'GetSubscription'": func() error {
			_, err := c.GetSubscription(ctx,
				"t", "no", nil)
			return err
		},
		"Unauthorized access for 'EnumerateSubscriptions' operation": func() error {
			_, err := c.NewListSubscriptionsPager(
				"t", nil).NextPage(ctx)
			return err
		},
		"Unauthorized access for 'CreateOrUpdateSubscription'": func() error {
			_, err := c.CreateSubscription(ctx,
				"t", "no", nil)
			return err
		},
		"Unauthorized access for 'DeleteSubscription'": func() error {
			_, err := c.DeleteSubscription(ctx,
				"t", "no", nil)
			return err
		},
		"Unauthorized access for 'GetRule'": func() error {
			_, err := c.GetRule(ctx,
				"t", "no", "r", nil)
			return err
		},
		"Unauthorized access for 'EnumerateRules'": func() error {
			_, err := c.NewListRulesPager(
				"t", "no", nil).NextPage(ctx)
			return err
		},
		"InvalidSignature": func() error { _, err := connect(t, server, "nobody").GetQueue(ctx, "q", nil); return err },
	} {
		t.Run(text, func(t *testing.T) {
			err := do()
			if status(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got, _ := root.GetQueue(ctx, "new", nil); got != nil {
		t.Error("the queue was made all the same")
	}
}
