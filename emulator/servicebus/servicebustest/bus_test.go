package servicebustest_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
	"go.uber.org/goleak"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestABrokerInThreeLines(t *testing.T) {
	bus := servicebustest.New(t, servicebustest.Queue("orders"))
	sender, err := bus.Client(nil).NewSender("orders", nil)
	must(t, err)
	must(t, sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte("hello")}, nil))

	if m := bus.Messages("orders"); len(m) != 1 || string(m[0].Body) != "hello" {
		t.Errorf("in the queue: %+v", m)
	}
}

func TestASessionIsReceivedAndCompleted(t *testing.T) {
	bus := servicebustest.New(t, servicebustest.SessionQueue("files"))
	bus.Send("files", inSession("A", "one"), inSession("A", "two"))

	session, err := bus.Client(nil).AcceptNextSessionForQueue(t.Context(), "files", nil)
	must(t, err)
	messages, err := session.ReceiveMessages(t.Context(), 1, nil)
	must(t, err)
	must(t, session.CompleteMessage(t.Context(), messages[0], nil))
	bus.WaitUntil("one message left", func() bool {
		counts, _ := bus.Counts("files")
		return counts.Active == 1
	})
	if session.SessionID() != "A" || string(messages[0].Body) != "one" {
		t.Errorf("got %q of session %s", messages[0].Body, session.SessionID())
	}
}

func TestAFaultStrikesTheClient(t *testing.T) {
	bus := servicebustest.New(t, servicebustest.Queue("orders"))
	client := bus.Client(&azservicebus.ClientOptions{RetryOptions: azservicebus.RetryOptions{MaxRetries: -1}})
	sender, err := client.NewSender("orders", nil)
	must(t, err)

	// The broker takes the message, and the connection breaks before the sender hears of it.
	fault := bus.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.LoseReply, Then: servicebus.Cut})
	err = sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte("hello")}, nil)

	if lost, ok := errors.AsType[*azservicebus.Error](err); !ok || lost.Code != azservicebus.CodeConnectionLost {
		t.Errorf("the sender heard %v", err)
	}
	if n := len(bus.Messages("orders")); n != 1 || fault.Count() != 1 {
		t.Errorf("%d messages, %d faults", n, fault.Count())
	}
}

func TestTLSAndAdministration(t *testing.T) {
	bus := servicebustest.New(t)
	_, err := bus.Admin().CreateQueue(t.Context(), "files", &admin.CreateQueueOptions{
		Properties: &admin.QueueProperties{RequiresSession: new(true)},
	})
	must(t, err)
	client, err := azservicebus.NewClientFromConnectionString(bus.TLSConnectionString(),
		&azservicebus.ClientOptions{TLSConfig: bus.TLS()})
	must(t, err)
	defer func() { must(t, client.Close(context.Background())) }()
	sender, err := client.NewSender("files", nil)
	must(t, err)
	must(t, sender.SendMessage(t.Context(), inSession("A", "one"), nil))
	if n := len(bus.Messages("files")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Everything that the options can say is there, and nothing of another test is.
func TestOptions(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	bus := servicebustest.New(t,
		servicebustest.Queue("q", func(q *entity.QueueDescription) { q.LockDuration = time.Minute }),
		servicebustest.Topic("t", servicebustest.Subscription("a"), servicebustest.SessionSubscription("b")),
		servicebustest.Namespace(entity.Namespace{Queues: []entity.QueueDescription{entity.NewQueue("other")}}),
		func(o *servicebus.Options) { o.Clock = clock },
	)
	alone := servicebustest.New(t, servicebustest.Queue("q"))
	bus.Send("q", &azservicebus.Message{})
	bus.Send("t", inSession("A", ""))
	bus.Send("other", &azservicebus.Message{})
	for _, address := range []string{"q", "t/Subscriptions/a", "t/Subscriptions/b", "other"} {
		if n := len(bus.Messages(address)); n != 1 {
			t.Errorf("%d messages in %s", n, address)
		}
	}
	if n := len(alone.Messages("q")); n != 0 {
		t.Errorf("%d messages of another test", n)
	}

	pem, err := os.ReadFile(bus.CAFile())
	must(t, err)
	if string(pem) != string(bus.CAPEM()) {
		t.Errorf("the file of the authority has %q", pem)
	}

	receiver, err := bus.Client(nil).NewReceiverForQueue("q", nil)
	must(t, err)
	messages, err := receiver.ReceiveMessages(t.Context(), 1, nil)
	must(t, err)
	clock.Advance(time.Minute)
	if err := receiver.CompleteMessage(t.Context(), messages[0], nil); err == nil {
		t.Error("completed after the lock had expired")
	}
}

// In a bubble nothing waits: a lock of five minutes is over when everybody waits for it.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := servicebustest.New(t, servicebustest.InMemory, servicebustest.SessionQueue("files"))
		bus.Send("files", inSession("A", "one"))
		client, begin := bus.Client(nil), time.Now()
		_, err := client.AcceptSessionForQueue(t.Context(), "files", "A", nil)
		must(t, err)
		must(t, bus.Await(t.Context(), func() bool { return !bus.Sessions("files")[0].Owned }))
		if d := time.Since(begin); d != entity.DefaultLockDuration {
			t.Errorf("the lock ended after %v", d)
		}
	})
}

func inSession(id, body string) *azservicebus.Message {
	return &azservicebus.Message{SessionID: &id, Body: []byte(body)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
