package atom

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fnobridge/emulator/servicebus/entity"
)

// FuzzEntry checks that no request makes the parser panic, and that what is accepted reads the same after it was
// written.
func FuzzEntry(f *testing.F) {
	for _, s := range []string{
		`<QueueDescription xmlns="urn:x"><LockDuration>PT1M</LockDuration><ForwardTo>sb://h/q</ForwardTo></QueueDescription>`,
		`<QueueDescription><AuthorizationRules><AuthorizationRule><KeyName>k</KeyName><PrimaryKey>p</PrimaryKey><Rights>` +
			`<AccessRights>Send</AccessRights></Rights></AuthorizationRule></AuthorizationRules></QueueDescription>`,
		`<TopicDescription><EnablePartitioning>false</EnablePartitioning><UserMetadata>&lt;</UserMetadata>` +
			`</TopicDescription>`,
		`<SubscriptionDescription xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><DefaultRuleDescription>` +
			`<Filter i:type="FalseFilter"/><Name>n</Name></DefaultRuleDescription></SubscriptionDescription>`,
		`<RuleDescription xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Filter i:type="SqlFilter">` +
			`<SqlExpression>a=@p</SqlExpression><Parameters><KeyValueOfstringanyType><Key>@p</Key>` +
			`<Value i:type="x:int">1</Value></KeyValueOfstringanyType></Parameters></Filter><Action i:type="SqlRuleAction">` +
			`<SqlExpression>SET a=1</SqlExpression></Action></RuleDescription>`,
		`<RuleDescription xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Filter i:type="CorrelationFilter">` +
			`<Label>x</Label><Properties><KeyValueOfstringanyType><Key>k</Key><Value i:nil="true"/>` +
			`</KeyValueOfstringanyType></Properties></Filter></RuleDescription>`,
		`<RuleDescription xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:y="u"><Filter i:type="New" y:a="1">` +
			`<y:b/></Filter></RuleDescription>`,
	} {
		f.Add([]byte(contentOf(s)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := content(body)
		if err != nil {
			return
		}
		w := &writer{}
		var read func(*element) (any, error)
		switch e.name {
		case "QueueDescription":
			read = func(e *element) (any, error) { d, err := readQueue(e, "q", nil); return d, err }
		case "TopicDescription":
			read = func(e *element) (any, error) { d, err := readTopic(e, "q", nil); return d, err }
		case "SubscriptionDescription":
			read = func(e *element) (any, error) { d, err := readSubscription(e, "q", nil); return d, err }
		case "RuleDescription":
			read = func(e *element) (any, error) { d, err := readRule(e, "q"); return d, err }
		default:
			return
		}
		first, err := read(e)
		if err != nil {
			return
		}
		switch d := first.(type) {
		case entity.QueueDescription:
			if d.EnablePartitioning { // the size grows each time it is created
				return
			}
			w.queue(Queue{QueueDescription: d}, "h")
		case entity.TopicDescription:
			if d.EnablePartitioning {
				return
			}
			w.topic(Topic{TopicDescription: d})
		case entity.SubscriptionDescription:
			w.subscription(Subscription{SubscriptionDescription: d}, "h")
			d.Rules = entity.NewSubscription("q").Rules // the default rule is not part of the answer
			first = d
		case entity.RuleDescription:
			switch d.Filter.(type) {
			case entity.UnknownFilter: // prefixes in force around it are added
				return
			}
			if _, ok := d.Action.(entity.UnknownAction); ok {
				return
			}
			w.rule(Rule{RuleDescription: d})
		}
		again, err := content([]byte(contentOf(string(bytes.Clone(w.bytes())))))
		if err != nil {
			t.Fatalf("%q was written as %q, which is not read: %v", body, w.bytes(), err)
		}
		second, err := read(again)
		if err != nil {
			t.Fatalf("%q was written as %q, which is not accepted: %v", body, w.bytes(), err)
		}
		if diff := cmp.Diff(first, second, cmp.FilterPath(func(p cmp.Path) bool { // a bare name is written as a URL
			return strings.HasSuffix(p.Last().String(), "URL")
		}, cmp.Ignore())); diff != "" {
			t.Errorf("%q was written as %q\n%s", body, w.bytes(), diff)
		}
	})
}
