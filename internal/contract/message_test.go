package contract

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/failure"
)

func received(id, session string, props map[string]any) *azservicebus.ReceivedMessage {
	seq := int64(7)
	return &azservicebus.ReceivedMessage{MessageID: id, SessionID: &session, SequenceNumber: &seq, ApplicationProperties: props}
}

func TestPropertiesWinOverTheSession(t *testing.T) {
	got, err := Read("q", received("m", "usmf/Customers", map[string]any{
		PropEntity: "Items", PropDataRef: "https://x/y", PropFileName: "a.csv", PropSHA256: "ff", PropKey: "first", PropCompany: nil, "other": 42,
	}))
	want := Message{Pair: Pair{"Items", "usmf"}, Key: "first", File: "a.csv", DataRef: "https://x/y", SHA256: "ff"}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// The first wrong property is told, and everything else is read.
func TestAPropertyOfAWrongTypeIsRejected(t *testing.T) {
	for _, name := range []string{PropKey, PropEntity, PropCompany, PropDataRef, PropFileName, PropSHA256} {
		got, err := Read("q", received("m", "usmf/Customers", map[string]any{name: int64(1)}))
		f := failure.Of(err)
		if f == nil || f.Verdict != failure.Reject || f.Reason != failure.BadMessage {
			t.Errorf("%s: %v", name, err)
		}
		if want := (Message{Pair: Pair{"Customers", "usmf"}, Key: "m"}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestTheKeyOutlivesCopies(t *testing.T) {
	numbered := received("", "s", nil)
	numbered.RawAMQPMessage = &azservicebus.AMQPAnnotatedMessage{Properties: &azservicebus.AMQPAnnotatedMessageProperties{MessageID: uint64(42)}}
	binary := received("", "s", nil)
	binary.RawAMQPMessage = &azservicebus.AMQPAnnotatedMessage{Properties: &azservicebus.AMQPAnnotatedMessageProperties{MessageID: []byte{1, 2}}}
	for want, m := range map[string]*azservicebus.ReceivedMessage{
		"first": received("first~r1", "s", map[string]any{PropKey: "first"}),
		"m":     received("m", "s", map[string]any{PropKey: 1}),
		"t/s#7": received("", "s", nil),
		"42":    numbered,
		"AQI=":  binary,
	} {
		if got := Key("t/s", m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Key("q", &azservicebus.ReceivedMessage{}); got == "" {
		t.Error("a message that was never in a queue has no key")
	}
}
