package deadletter

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/line"
)

// A large dead letter comes back over a slow line from far away. It takes longer to arrive than a receive used to wait.
func TestALargeDeadLetterIsResubmittedFromFarAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	session, id := "large", "large.csv"
	body := []byte(strings.Repeat("x", 5<<20))
	sender, err := w.client.NewSender("q", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &azservicebus.Message{SessionID: &session, MessageID: &id, Body: body}
	if err := sender.SendMessage(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	w.kill(t, "q", session, "Timeout")
	l, err := line.New(w.Addr(), line.Conditions{RoundTrip: 60 * time.Millisecond, Rate: line.Mbit(20)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	far := serviceOver(t, func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
		at := strings.Replace(w.ConnectionString(), w.Addr(), l.Addr(), 1)
		return azservicebus.NewClientFromConnectionString(at, &azservicebus.ClientOptions{RetryOptions: r})
	})
	rep, err := Resubmit(t.Context(), far, Options{Source: q, Wait: 10 * time.Second})
	if err != nil || rep.Done != 1 || !rep.Complete() {
		t.Fatalf("%+v %v", rep, err)
	}
	if c, _ := w.Counts("q"); c.Active != 1 || c.DeadLetter != 0 {
		t.Errorf("%+v", c)
	}
	_ = far.Close(t.Context())
}
