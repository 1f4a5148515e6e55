package servicebus_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/amqp"

	sb "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	goamqp "github.com/Azure/go-amqp"
)

// brief bounds a call that is not going to be answered. Only calls whose answer was taken away wait for it.
func brief(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestFaultMatrix strikes each operation with each effect and looks at both halves: what the client heard, and whether
// it happened.
func TestFaultMatrix(t *testing.T) {
	ops := []struct {
		op   servicebus.Op
		call func(context.Context, *rig, *sb.SessionReceiver, *sb.ReceivedMessage) error
		done func(*rig) bool
	}{
		{servicebus.OpComplete, func(ctx context.Context, _ *rig, x *sb.SessionReceiver, m *sb.ReceivedMessage) error {
			return x.CompleteMessage(ctx, m, nil)
		}, func(r *rig) bool { return len(r.server.Messages("s")) == 0 }},
		{servicebus.OpDeadLetter, func(ctx context.Context, _ *rig, x *sb.SessionReceiver, m *sb.ReceivedMessage) error {
			return x.DeadLetterMessage(ctx, m, nil)
		}, func(r *rig) bool { return len(r.server.Messages("s/$DeadLetterQueue")) == 1 }},
		{servicebus.OpSetState, func(ctx context.Context, _ *rig, x *sb.SessionReceiver, _ *sb.ReceivedMessage) error {
			return x.SetSessionState(ctx, []byte("new"), nil)
		}, func(r *rig) bool { return string(r.server.Sessions("s")[0].State) == "new" }},
		{servicebus.OpGetState, func(ctx context.Context, _ *rig, x *sb.SessionReceiver, _ *sb.ReceivedMessage) error {
			_, err := x.GetSessionState(ctx, nil)
			return err
		}, nil},
		{servicebus.OpRenew, func(ctx context.Context, _ *rig, x *sb.SessionReceiver, _ *sb.ReceivedMessage) error {
			return x.RenewSessionLock(ctx, nil)
		}, nil},
		{servicebus.OpSend, func(ctx context.Context, r *rig, _ *sb.SessionReceiver, _ *sb.ReceivedMessage) error {
			s, err := r.client.NewSender("s", nil)
			if err != nil {
				return err
			}
			return s.SendMessage(ctx, in("A", "second"), nil)
		}, func(r *rig) bool { return len(r.server.Messages("s")) == 2 }},
	}
	for _, c := range ops {
		for _, effect := range []servicebus.Effect{servicebus.Refuse, servicebus.Lose, servicebus.LoseReply,
			servicebus.LoseLock} {
			if effect == servicebus.LoseLock && (c.op == servicebus.OpSend) {
				continue // depends on no lock
			}
			t.Run(string(c.op)+"/"+string(effect), func(t *testing.T) {
				r := start(t, servicebus.Options{})
				r.send("s", in("A", "first"))
				x := r.accept("s", "A")
				m := r.one(x)
				f := r.server.Faults().Add(servicebus.Fault{
					Op: c.op, Entity: "s", Session: "A", Effect: effect, Condition: "amqp:not-allowed", Times: -1,
				})
				err := c.call(brief(t), r, x, m)
				if f.Count() == 0 {
					t.Fatal("the fault did not strike")
				}
				if err == nil {
					t.Error("the client heard of success")
				}
				if applied := effect == servicebus.LoseReply; c.done != nil && c.done(r) != applied {
					t.Errorf("applied: %v, want %v", c.done(r), applied)
				}
			})
		}
	}
}

func TestFaultOnAccept(t *testing.T) {
	for _, effect := range []servicebus.Effect{servicebus.Refuse, servicebus.Lose, servicebus.LoseReply} {
		t.Run(string(effect), func(t *testing.T) {
			r := start(t, servicebus.Options{})
			r.send("s", in("A", "x"))
			other := r.connect()
			r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpAccept, Effect: effect, Condition: "amqp:not-allowed"})
			_, err := other.AcceptNextSessionForQueue(brief(t), "s", nil)
			if err == nil {
				t.Fatal("accepted")
			}
			if ae, ok := errors.AsType[*goamqp.Error](err); effect == servicebus.Refuse &&
				(!ok || ae.Condition != "amqp:not-allowed") {
				t.Errorf("refused with %v", err)
			}
			// The client has ended its session, which frees what it was granted.
			if err := r.server.Await(t.Context(), func() bool { return !r.server.Sessions("s")[0].Owned }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultOnReceive(t *testing.T) {
	t.Run("lose", func(t *testing.T) {
		r := start(t, servicebus.Options{})
		r.send("s", in("A", "x"))
		x := r.accept("s", "A")
		f := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Session: "A", Effect: servicebus.Lose,
			Then: servicebus.Cut})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-f.Struck(); cancel() }()
		if ms, err := x.ReceiveMessages(ctx, 1, nil); len(ms) > 0 {
			t.Errorf("received %v, %v", ms, err)
		}
		if m := r.server.Messages("s")[0]; m.State != "active" || m.DeliveryCount != 0 {
			t.Errorf("%+v", m)
		}
	})
	t.Run("lose-reply", func(t *testing.T) {
		r := start(t, servicebus.Options{})
		r.send("s", in("A", "x"))
		x := r.accept("s", "A")
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Effect: servicebus.LoseReply})
		if ms, err := x.ReceiveMessages(brief(t), 1, nil); len(ms) > 0 {
			t.Errorf("received %v, %v", ms, err)
		}
		if m := r.server.Messages("s")[0]; m.State != "locked" {
			t.Errorf("%+v", m)
		}
	})
	t.Run("lose-lock", func(t *testing.T) {
		r := start(t, servicebus.Options{})
		r.send("s", in("A", "x"))
		x := r.accept("s", "A")
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Effect: servicebus.LoseLock})
		_, err := x.ReceiveMessages(brief(t), 1, nil)
		delivered := func() bool { return r.server.Messages("s")[0].DeliveryCount == 1 }
		if err := r.server.Await(t.Context(), delivered); err != nil {
			t.Error(err)
		}
		_ = err // the message may still have come through
	})
	t.Run("delay", func(t *testing.T) {
		clock := servicebus.NewFakeClock(time.Now())
		r := start(t, servicebus.Options{Clock: clock})
		r.send("s", in("A", "x"))
		x := r.accept("s", "A")
		f := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Effect: servicebus.Delay, Delay: time.Second})
		go func() { <-f.Struck(); clock.Advance(time.Second) }()
		r.one(x)
	})
}

func TestCompletedAndCut(t *testing.T) {
	r := start(t, servicebus.Options{})
	r.send("s", in("A", "x"))
	x := r.accept("s", "A")
	m := r.one(x)
	r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpComplete, Entity: "s", Session: "A",
		Effect: servicebus.LoseReply, Then: servicebus.Cut})
	if err := x.CompleteMessage(brief(t), m, nil); err == nil {
		t.Error("the reply arrived")
	}
	if n := len(r.server.Messages("s")); n != 0 {
		t.Errorf("%d messages left", n)
	}
	if err := r.server.Await(t.Context(), func() bool { return len(r.server.Sessions("s")) == 0 }); err != nil {
		t.Errorf("the cut did not free the session: %v", err)
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	r := start(t, servicebus.Options{Faults: true})
	url := "http://" + r.server.Addr() + "/faults"
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	post := func(body string, want int) {
		t.Helper()
		resp, err := web.Post(url, "application/json", strings.NewReader(body))
		r.must(err)
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", body, resp.Status)
		}
	}
	r.send("s", in("A", "x"))
	post(`{"op":"send","entity":"s","effect":"refuse","condition":"amqp:not-allowed","times":2}`, 200)
	s, err := r.client.NewSender("s", nil)
	r.must(err)
	if err := s.SendMessage(t.Context(), in("A", "y"), nil); err == nil {
		t.Error("sent")
	}
	resp, err := web.Get(url)
	r.must(err)
	var list []map[string]any
	r.must(json.NewDecoder(resp.Body).Decode(&list))
	_ = resp.Body.Close()
	if len(list) != 1 || list[0]["struck"] != 1.0 {
		t.Errorf("%v", list)
	}
	post(`{"do":"clear"}`, 200)
	r.must(s.SendMessage(t.Context(), in("A", "y"), nil))
	for _, bad := range []string{`{"do":"dance"}`, `{"op":"send"}`, `{"effect":"lose","then":"x"}`, `{"effort":1}`,
		`{"do":"stall","for":"soon"}`, `[`} {
		post(bad, 400)
	}
	post(`{"do":"cut"}`, 200)
	if off := start(t, servicebus.Options{}); off != nil {
		resp, err := web.Get("http://" + off.server.Addr() + "/faults")
		r.must(err)
		_ = resp.Body.Close()
		if resp.StatusCode == 200 {
			t.Error("the control endpoint is open without being asked for")
		}
	}
}

func TestRefusedConnectionsAndStall(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	r := start(t, servicebus.Options{Clock: clock})
	r.server.Faults().RefuseConnections(time.Minute)
	_, err := r.client.AcceptSessionForQueue(brief(t), "s", "A", nil)
	if err == nil {
		t.Error("connected")
	}
	clock.Advance(time.Minute)
	x := r.accept("s", "A")
	if n := r.server.Faults().StallLinks("s", "A"); n != 1 {
		t.Errorf("%d connections stalled", n)
	}
	if err := x.RenewSessionLock(brief(t), nil); err == nil {
		t.Error("renewed on a stalled connection")
	}
	r.server.Faults().Unstall()
	r.must(x.RenewSessionLock(t.Context(), nil))
}

func TestDelayedDisposition(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	r := start(t, servicebus.Options{Clock: clock})
	r.send("q", text("x"))
	x := r.receiver("q", nil)
	m := r.one(x)
	f := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpComplete, Entity: "Q", Effect: servicebus.Delay,
		Delay: 5 * time.Second})
	done := make(chan error, 1)
	go func() { done <- x.CompleteMessage(t.Context(), m, nil) }()
	<-f.Struck()
	clock.Advance(5*time.Second - 1)
	if len(r.server.Messages("q")) == 0 {
		t.Error("completed too early")
	}
	clock.Advance(1)
	r.must(<-done)
	if len(r.server.Messages("q")) != 0 {
		t.Error("not completed")
	}
}

func TestSkipAndTimes(t *testing.T) {
	r := start(t, servicebus.Options{})
	s, err := r.client.NewSender("q", nil)
	r.must(err)
	f := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Entity: "q", Skip: 1, Times: 2,
		Effect: servicebus.Refuse, Condition: "amqp:not-allowed"})
	var heard []bool
	for range 5 {
		heard = append(heard, s.SendMessage(t.Context(), text("x"), nil) == nil)
	}
	if want := []bool{true, false, false, true, true}; !slices.Equal(heard, want) || f.Count() != 2 {
		t.Errorf("heard %v, struck %d times", heard, f.Count())
	}
	f = r.server.Faults().Add(servicebus.Fault{Effect: servicebus.Lose, Times: -1})
	f.Disarm()
	r.must(s.SendMessage(t.Context(), text("x"), nil))
}

// TestServerBusyIsRetried refuses twice; the client comes again by itself.
func TestServerBusyIsRetried(t *testing.T) {
	r := start(t, servicebus.Options{})
	f := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Times: 2, Effect: servicebus.Refuse})
	r.send("q", text("x"))
	if f.Count() != 2 {
		t.Errorf("struck %d times", f.Count())
	}
}

func TestDetach(t *testing.T) {
	r := start(t, servicebus.Options{})
	c := dialRaw(t, r.server, nil)
	c.send(0, beginRaw(100), bySession(receiveFrom("s", 0), "A"), sendTo("q", 1))
	until[*amqp.Attach](c)
	until[*amqp.Attach](c)
	f := r.server.Faults()
	if n := f.DetachLinks("s", "B", ""); n != 0 {
		t.Errorf("%d links of another session", n)
	}
	if n := f.DetachLinks("s", "A", "com.microsoft:server-busy"); n != 1 {
		t.Errorf("%d links", n)
	}
	if d, _ := until[*amqp.Detach](c); d.Handle != 0 || d.Error.Condition != amqp.ServerBusy {
		t.Errorf("%+v", d)
	}
	if s := r.server.Sessions("s"); len(s) != 0 {
		t.Errorf("the session still has an owner: %+v", s)
	}
	f.Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Pass, Then: servicebus.Detach})
	c.transfer(0, &amqp.Transfer{Handle: 1, HasDeliveryID: true, DeliveryTag: []byte{1}}, data([]byte("x")))
	if d, _ := until[*amqp.Disposition](c); d.State.Kind != amqp.Accepted {
		t.Errorf("%+v", d)
	}
	if d, _ := until[*amqp.Detach](c); d.Handle != 1 || d.Error.Condition != amqp.DetachForced {
		t.Errorf("%+v", d)
	}
}

// TestHarmSparesOthers cuts one of two connections.
func TestHarmSparesOthers(t *testing.T) {
	r := start(t, servicebus.Options{})
	a, b := r.accept("s", "A"), func() *sb.SessionReceiver {
		x, err := r.connect().AcceptSessionForQueue(t.Context(), "s", "B", nil)
		r.must(err)
		return x
	}()
	if n := r.server.Faults().CutLinks("s", "A"); n != 1 {
		t.Errorf("%d connections cut", n)
	}
	r.must(b.RenewSessionLock(brief(t), nil))
	r.must(r.server.Await(t.Context(), func() bool { return len(r.server.Sessions("s")) == 1 }))
	_ = a
}

// TestHarmSparesTheNextOwner cuts a connection whose session goes to another at once.
func TestHarmSparesTheNextOwner(t *testing.T) {
	const waiters = 5
	r := start(t, servicebus.Options{})
	r.send("s", in("A", "1"))
	r.accept("s", "A")
	got := make(chan error, waiters)
	for range waiters {
		client := r.connect()
		go func() {
			_, err := client.AcceptNextSessionForQueue(t.Context(), "s", nil)
			got <- err
		}()
	}
	r.must(r.server.Await(t.Context(), func() bool { return r.server.Accepting("s") == waiters }))
	if n := r.server.Links("s"); n != 1+waiters {
		t.Errorf("%d links, want the owner's and those that wait", n)
	}
	if n := r.server.Faults().CutLinks("s", "A"); n != 1 {
		t.Errorf("%d connections cut", n)
	}
	r.must(<-got)
}
