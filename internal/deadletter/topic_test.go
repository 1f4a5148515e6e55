package deadletter

import (
	"errors"
	"fmt"
	"fnobridge/internal/bus/bustest"
	"fnobridge/internal/contract"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

type filters []admin.RuleFilter

// having is the filter that wants one property to have one value.
func having(name string, value any) filters {
	return filters{&admin.CorrelationFilter{ApplicationProperties: map[string]any{name: value}}}
}

func TestATopicIsJudgedAsTheBrokerWould(t *testing.T) {
	m := &azservicebus.AMQPAnnotatedMessage{
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{
			GroupID: new("usmf/Groups"), Subject: new("group"), CorrelationID: "c1",
		},
		ApplicationProperties: map[string]any{"entity": "Groups", "weight": int32(3)},
	}
	for name, c := range map[string]struct {
		filters filters
		want    error
	}{
		"no subscription": {nil, ErrNotTaken},
		"takes all":       {filters{&admin.FalseFilter{}, &admin.TrueFilter{}}, nil},
		"takes nothing":   {filters{&admin.FalseFilter{}}, ErrNotTaken},
		"correlates": {filters{&admin.CorrelationFilter{
			SessionID: new("usmf/Groups"), CorrelationID: new("c1"), Subject: new("group"),
		}}, nil},
		"correlates with another":  {filters{&admin.CorrelationFilter{Subject: new("vendor")}}, ErrNotTaken},
		"property, any case":       {having("Entity", "Groups"), nil},
		"property, other value":    {having("entity", "groups"), ErrNotTaken},
		"property, another width":  {having("weight", int64(3)), nil},
		"property that is missing": {having("color", "red"), ErrNotTaken},
		"SQL that takes all":       {filters{&admin.SQLFilter{Expression: "1 = 1"}}, nil},
		"SQL":                      {filters{&admin.SQLFilter{Expression: "entity = 'Groups'"}}, ErrCannotTell},
		"SQL beside one that does": {filters{&admin.SQLFilter{Expression: "x > 1"}, &admin.TrueFilter{}}, nil},
		"of a newer service":       {filters{&admin.UnknownRuleFilter{}}, ErrCannotTell},
	} {
		if err := judge(c.filters)(m); !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A copy that nobody takes is not sent, whatever else is said; one that cannot be judged only when told so.
func TestATopicThatTakesNothingKeepsTheDeadLetters(t *testing.T) {
	for name, c := range map[string]struct {
		takes     error
		unchecked bool
		done      int
	}{
		"taken": {nil, false, 2}, "not taken": {ErrNotTaken, false, 0}, "not taken, unchecked": {ErrNotTaken, true, 0},
		"unknown": {ErrCannotTell, false, 0}, "unknown, unchecked": {ErrCannotTell, true, 2},
	} {
		b := newFake(t)
		e := contract.Source{Topic: "t", Subscription: "s"}
		for i := range 2 {
			b.must(b.Put("t", &azservicebus.Message{SessionID: new("A"), MessageID: new(fmt.Sprint(i)), Body: []byte("x")}))
			b.killAs(e, "A", "Timeout", 0)
		}
		takes := func(*azservicebus.AMQPAnnotatedMessage) error { return c.takes }
		rep, err := Resubmit(t.Context(), b, Options{Source: e, Unchecked: c.unchecked, Takes: takes})
		queue, dead := len(b.Messages(bustest.Address(e))), len(b.Messages(bustest.Address(e)+"/$DeadLetterQueue"))
		if err != nil || rep.Done != c.done || queue != c.done || dead != 2-c.done {
			t.Errorf("%s: %+v %v", name, rep, err)
		}
	}
}
