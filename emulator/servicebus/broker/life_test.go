package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/atom"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"

	"github.com/google/go-cmp/cmp"
)

const dlq = "/$DeadLetterQueue"

// reasons tells why each message of a dead-letter queue is there.
func (w *world) reasons(address string) []string {
	out := []string{}
	for _, m := range w.b.Messages(address) {
		out = append(out, fmt.Sprintf("%s: %s: %s", m.Body, m.DeadLetterReason, m.DeadLetterDescription))
	}
	return out
}

func TestTimeToLive(t *testing.T) {
	for _, c := range []struct {
		name       string
		dead       bool
		own, limit time.Duration // of the message, of the queue
		lives      time.Duration
	}{
		{"own, dead-lettered", true, time.Minute, entity.Forever, time.Minute},
		{"own, dropped", false, time.Minute, entity.Forever, time.Minute},
		{"queue's", true, 0, time.Hour, time.Hour},
		{"own is shorter", true, time.Minute, time.Hour, time.Minute},
		{"queue's is shorter", true, time.Hour, time.Minute, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := build(t, queueOf(func(q *entity.QueueDescription) {
				q.DeadLetteringOnMessageExpiration, q.DefaultMessageTimeToLive = c.dead, c.limit
			}))
			w.send("q", message{body: "a", ttl: c.own})
			w.clock.Advance(c.lives - 1)
			w.expect("q", "a active 0")
			w.clock.Advance(1)
			w.expect("q")
			want := []string{}
			if c.dead {
				want = append(want, "a: TTLExpiredException: The message expired and was dead lettered.")
			}
			if diff := cmp.Diff(want, w.reasons("q"+dlq)); diff != "" {
				t.Error(diff)
			}
			w.clock.Advance(1000 * time.Hour)
			if n := len(w.b.Messages("q" + dlq)); n != len(want) {
				t.Error("a dead letter expired")
			}
		})
	}
}

func TestLockedMessageExpiresWhenItComesBack(t *testing.T) {
	w := build(t, queueOf(func(q *entity.QueueDescription) { q.DeadLetteringOnMessageExpiration = true }))
	w.send("q", message{body: "a", ttl: time.Second}, message{body: "b", ttl: time.Second})
	x := w.receive("q", 2)
	w.clock.Advance(10 * time.Second)
	x.settle(0, broker.Outcome{})
	x.settle(1, broker.Outcome{Verdict: broker.Abandon})
	w.expect("q")
	w.expect("q"+dlq, "b active 1")
}

func TestMaxDeliveryCount(t *testing.T) {
	give := map[string]func(*world, *client, int){
		"abandon": func(_ *world, x *client, i int) { x.settle(i, broker.Outcome{Verdict: broker.Abandon}) },
		"expiry":  func(w *world, _ *client, _ int) { w.clock.Advance(time.Minute) },
	}
	for name, back := range give {
		t.Run(name, func(t *testing.T) {
			w := build(t, queueOf(func(q *entity.QueueDescription) { q.MaxDeliveryCount = 3 }))
			w.send("q", message{body: "a"})
			x := w.receive("q", 100)
			for i := range 3 {
				if len(x.got) != i+1 || x.got[i].count != uint32(i) {
					t.Fatalf("delivery %d: %+v", i, x.got)
				}
				back(w, x, i)
			}
			w.expect("q")
			reason := "a: MaxDeliveryCountExceeded: Message could not be consumed after 3 delivery attempts."
			if diff := cmp.Diff([]string{reason}, w.reasons("q"+dlq)); diff != "" {
				t.Error(diff)
			}
			d := w.receive("q"+dlq, 1)
			d.settle(0, broker.Outcome{Verdict: broker.Abandon})
			w.expect("q"+dlq, "a active 3") // counts no further
		})
	}
}

func TestReleaseNeverDeadLetters(t *testing.T) {
	w := build(t, queueOf(func(q *entity.QueueDescription) { q.MaxDeliveryCount = 1 }))
	w.send("q", message{body: "a"})
	x := w.receive("q", 50)
	for i := range 20 {
		x.settle(i, broker.Outcome{Verdict: broker.Release})
	}
	w.expect("q", "a locked 0")
}

func TestDuplicates(t *testing.T) {
	w := build(t, queueOf(func(q *entity.QueueDescription) {
		q.RequiresDuplicateDetection, q.DuplicateDetectionHistoryTimeWindow = true, time.Minute
	}))
	w.send("q", message{body: "1", id: "x"}, message{body: "2", id: "x"}, message{body: "3", id: "y"})
	w.expect("q", "1 active 0", "3 active 0")
	x := w.receive("q", 2)
	x.settle(0, broker.Outcome{}) // what was received is remembered all the same
	x.settle(1, broker.Outcome{})
	w.clock.Advance(time.Minute - 1)
	w.send("q", message{body: "4", id: "x"})
	w.expect("q")
	w.clock.Advance(1)
	w.send("q", message{body: "5", id: "x"}, message{body: "6"}, message{body: "7"})
	w.expect("q", "5 active 0", "6 active 0", "7 active 0")
}

func TestDeferral(t *testing.T) {
	w := build(t, queueOf(sessions))
	w.send("q", message{body: "1", session: "A"}, message{body: "2", session: "A"})
	x := w.accept("A", 2)
	x.settle(0, broker.Outcome{Verdict: broker.Defer, Properties: amqp.Map{{Key: "why", Value: "later"}}})
	x.settle(1, broker.Outcome{})
	w.expect("q", "1 deferred 0")
	m := w.manager("q")
	a, b := "A", "B"
	if _, err := m.ReceiveDeferred([]int64{x.got[0].seq}, false, &b, of(x)); err == nil {
		t.Error("received with another session")
	}
	got, err := m.ReceiveDeferred([]int64{x.got[0].seq}, false, &a, of(x))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReceiveDeferred([]int64{x.got[0].seq}, false, &a, of(x)); condition(err) != amqp.MessageNotFound {
		t.Errorf("received twice: %v", err)
	}
	w.clock.Advance(time.Minute) // the session lock ends: it is deferred again, and that was a delivery
	w.expect("q", "1 deferred 1")
	if err := m.Settle([]amqp.UUID{got[0].Token}, broker.Outcome{}); condition(err) != amqp.MessageLockLost {
		t.Errorf("%v", err)
	}
	y := w.accept("A", 1)
	got, err = m.ReceiveDeferred([]int64{x.got[0].seq}, false, &a, of(y))
	if err != nil || len(y.got) != 0 {
		t.Fatalf("%v, %v", err, y.got)
	}
	if w.b.Messages("q")[0].Properties["why"] != "later" {
		t.Error("the properties of the deferral are lost")
	}
	if err := m.Settle([]amqp.UUID{got[0].Token}, broker.Outcome{Verdict: broker.DeadLetter, Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1: r: "}, w.reasons("q"+dlq)); diff != "" {
		t.Error(diff)
	}
}

func TestSchedule(t *testing.T) {
	w := build(t, queueOf(nil))
	at := epoch.Add(time.Hour)
	m := w.manager("q")
	numbers, err := m.Schedule([][]byte{message{body: "1", due: at}.encode(), message{body: "2", due: at}.encode()})
	if err != nil {
		t.Fatal(err)
	}
	w.send("q", message{body: "3"}, message{body: "4", due: at.Add(time.Second)})
	w.expect("q", "1 scheduled 0", "2 scheduled 0", "3 active 0", "4 scheduled 0")
	if err := m.Cancel([]int64{numbers[0], numbers[0]}); err != nil {
		t.Fatal(err)
	}
	if err := m.Cancel(numbers[:1]); condition(err) != amqp.MessageNotFound {
		t.Errorf("cancelled twice: %v", err)
	}
	w.clock.Advance(time.Hour)
	w.expect("q", "3 active 0", "4 scheduled 0", "2 active 0") // due now means last in the queue
	w.clock.Advance(time.Second)
	x := w.receive("q", 9)
	if diff := cmp.Diff([]string{"3", "2", "4"}, x.bodies()); diff != "" {
		t.Error(diff)
	}
}

func TestQuota(t *testing.T) {
	w := build(t, queueOf(func(q *entity.QueueDescription) { q.MaxSizeInMegabytes, q.MaxMessageSizeInKilobytes = 1, 600 }))
	half := string(make([]byte, 500<<10))
	w.send("q", message{body: half}, message{body: half})
	if err := w.trySend("q", message{body: half}); condition(err) != amqp.ResourceLimitExceeded {
		t.Errorf("%v", err)
	}
	if err := w.trySend("q", message{body: half + half}); condition(err) != amqp.MessageSizeExceeded {
		t.Errorf("%v", err)
	}
	x := w.receive("q", 1)
	x.settle(0, broker.Outcome{Verdict: broker.DeadLetter})
	if err := w.trySend("q", message{body: half}); condition(err) != amqp.ResourceLimitExceeded {
		t.Errorf("dead letters do not count: %v", err)
	}
	y := w.receive("q"+dlq, 1)
	y.settle(0, broker.Outcome{})
	w.send("q", message{body: half})
}

func TestBatchIsAtomic(t *testing.T) {
	w := build(t, queueOf(sessions))
	if err := w.trySend("q", message{body: "1", session: "A"}, message{body: "2"}); err == nil {
		t.Error("sent")
	}
	w.expect("q")
}

func TestForwarding(t *testing.T) {
	to := func(name, target string) entity.QueueDescription {
		q := entity.NewQueue(name)
		q.ForwardTo = target
		return q
	}
	t.Run("chain", func(t *testing.T) {
		w := build(t, queueOf(func(q *entity.QueueDescription) { q.ForwardTo = "r" }, to("r", "s"), entity.NewQueue("s")))
		w.send("q", message{body: "a"})
		w.expect("s", "a active 0")
		w.expect("q")
	})
	t.Run("too far", func(t *testing.T) {
		w := build(t, queueOf(func(q *entity.QueueDescription) { q.ForwardTo = "r" }, to("r", "q")))
		w.send("q", message{body: "a"})
		if diff := cmp.Diff([]string{"a: MaxTransferHopCountExceeded: The message was forwarded more often than allowed."},
			w.reasons("q/$Transfer/$DeadLetterQueue")); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("target disabled", func(t *testing.T) {
		w := build(t, queueOf(func(q *entity.QueueDescription) { q.ForwardTo = "r" }, func() entity.QueueDescription {
			r := entity.NewQueue("r")
			r.Status = entity.SendDisabled
			return r
		}()))
		w.send("q", message{body: "a"})
		w.expect("q/$Transfer/$DeadLetterQueue", "a active 0")
	})
	t.Run("dead letters", func(t *testing.T) {
		w := build(t, queueOf(func(q *entity.QueueDescription) { q.ForwardDeadLetteredMessagesTo = "r" },
			entity.NewQueue("r")))
		w.send("q", message{body: "a"})
		x := w.receive("q", 1)
		x.settle(0, broker.Outcome{Verdict: broker.DeadLetter, Reason: "why"})
		w.expect("q" + dlq)
		if m := w.b.Messages("r")[0]; m.DeadLetterSource != "q" || m.DeadLetterReason != "why" {
			t.Errorf("%+v", m)
		}
	})
}

func TestAutoDeleteOnIdle(t *testing.T) {
	w := build(t, queueOf(func(q *entity.QueueDescription) { q.AutoDeleteOnIdle = 10 * time.Minute }))
	w.clock.Advance(9 * time.Minute)
	w.send("q", message{body: "a"})
	w.clock.Advance(9 * time.Minute)
	x := w.receive("q", 1)
	w.clock.Advance(20 * time.Minute) // a receiver is a use
	if !w.b.Exists("q") {
		t.Fatal("deleted while in use")
	}
	x.c.Close()
	w.clock.Advance(10*time.Minute - 1)
	if !w.b.Exists("q") {
		t.Fatal("deleted too early")
	}
	w.clock.Advance(1)
	if w.b.Exists("q") {
		t.Error("still there")
	}
}

func TestDisable(t *testing.T) {
	w := build(t, queueOf(nil))
	x := w.receive("q", 1)
	a := w.b.Admin()
	q, err := a.Queue("Q")
	if err != nil {
		t.Fatal(err)
	}
	d := q.QueueDescription
	d.Status = entity.ReceiveDisabled
	if err := a.UpdateQueue(d); err != nil {
		t.Fatal(err)
	}
	if condition(x.gone) != amqp.EntityDisabled {
		t.Errorf("the receiver hears %v", x.gone)
	}
	if _, err := w.b.OpenConsumer(broker.ConsumerOptions{Address: "q", Sink: x}); condition(err) != amqp.EntityDisabled {
		t.Errorf("%v", err)
	}
	w.send("q", message{body: "a"})
	d.Status = entity.Disabled
	if err := a.UpdateQueue(d); err != nil {
		t.Fatal(err)
	}
	if err := w.trySend("q", message{body: "b"}); condition(err) != amqp.EntityDisabled {
		t.Errorf("%v", err)
	}
	d.Status = entity.Active
	if err := a.UpdateQueue(d); err != nil {
		t.Fatal(err)
	}
	w.expect("q", "a active 0")
}

func TestDelete(t *testing.T) {
	topic := entity.NewTopic("t")
	topic.Subscriptions = []entity.SubscriptionDescription{entity.NewSubscription("s")}
	w := build(t, entity.Namespace{Topics: []entity.TopicDescription{topic}})
	for range 200 { // enough for the index to compact itself meanwhile
		w.send("t", message{body: "a"})
	}
	x := w.receive("t/subscriptions/S", 1)
	m := w.manager("t/Subscriptions/s/$management")
	if err := w.b.Admin().Delete("T"); err != nil {
		t.Fatal(err)
	}
	if condition(x.gone) != amqp.NotFound {
		t.Errorf("%v", x.gone)
	}
	if _, err := m.Peek(0, 1, nil); condition(err) != amqp.NotFound {
		t.Errorf("%v", err)
	}
	if w.b.Exists("t/Subscriptions/s") {
		t.Error("the subscription is still there")
	}
	if err := w.b.Admin().Delete("t"); !errors.Is(err, atom.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestRules(t *testing.T) {
	sub := func(name string, rules ...entity.RuleDescription) entity.SubscriptionDescription {
		s := entity.NewSubscription(name)
		s.Rules = rules
		return s
	}
	sql := func(name, filter, action string) entity.RuleDescription {
		r := entity.RuleDescription{Name: name, Filter: entity.SQLFilter{Expression: filter}}
		if action != "" {
			r.Action = entity.SQLAction{Expression: action}
		}
		return r
	}
	topic := entity.NewTopic("t")
	topic.Subscriptions = []entity.SubscriptionDescription{
		sub("all", entity.RuleDescription{Name: "r", Filter: entity.TrueFilter{}}),
		sub("none", entity.RuleDescription{Name: "r", Filter: entity.FalseFilter{}}),
		sub("norules"),
		sub("big", sql("r", "size > 10", "")),
		sub("both", sql("a", "size > 1", ""), sql("b", "size > 2", "SET size = 99; SET sys.SessionId = 'new'"),
			sql("c", "size > 3", "")),
		sub("broken", sql("r", "size / 0 > 1", "")),
	}
	w := build(t, entity.Namespace{Topics: []entity.TopicDescription{topic}})
	w.send("t", message{body: "small", properties: amqp.Map{{Key: "size", Value: int32(5)}}})
	w.send("t", message{body: "big", properties: amqp.Map{{Key: "size", Value: int32(50)}}})
	w.expect("t/Subscriptions/all", "small active 0", "big active 0")
	w.expect("t/Subscriptions/none")
	w.expect("t/Subscriptions/norules")
	w.expect("t/Subscriptions/big", "big active 0")
	w.expect("t/Subscriptions/both", "small active 0", "small active 0", "big active 0", "big active 0")
	var changed []string
	for _, m := range w.b.Messages("t/Subscriptions/both") {
		changed = append(changed, fmt.Sprint(m.Properties["size"], m.SessionID))
	}
	if diff := cmp.Diff([]string{"5", "99new", "50", "99new"}, changed); diff != "" {
		t.Error(diff)
	}
	w.expect("t/Subscriptions/broken")
	w.expect("t/Subscriptions/broken"+dlq, "small active 0", "big active 0")
}
