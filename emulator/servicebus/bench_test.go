package servicebus_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"

	sb "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	goamqp "github.com/Azure/go-amqp"
)

// benchRig is a server with a session queue "s" and a client of its own.
func benchRig(b *testing.B) (*servicebustest.Bus, *sb.Client) {
	b.Helper()
	server := servicebustest.New(b,
		servicebustest.SessionQueue("s", func(q *entity.QueueDescription) { q.LockDuration = 5 * time.Minute }))
	return server, server.Client(&sb.ClientOptions{})
}

// fill sends n messages of 1 KiB to each session.
func fill(b *testing.B, client *sb.Client, sessions, n int) {
	b.Helper()
	sender, err := client.NewSender("s", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sender.Close(b.Context()) }() // the benchmark goes on without it
	body := make([]byte, 1024)
	batch, err := sender.NewMessageBatch(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		for s := range sessions {
			id := fmt.Sprint("session-", s)
			m := &sb.Message{Body: body, SessionID: &id}
			if err := batch.AddMessage(m, nil); err == nil {
				continue
			}
			if err := sender.SendMessageBatch(b.Context(), batch, nil); err != nil {
				b.Fatal(err)
			}
			if batch, err = sender.NewMessageBatch(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
			if err := batch.AddMessage(m, nil); err != nil {
				b.Fatal(i, err)
			}
		}
	}
	if batch.NumMessages() > 0 {
		if err := sender.SendMessageBatch(b.Context(), batch, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceiveComplete drains 8 sessions with 8 receivers, settling up to `settling` messages of a session at a
// time.
func BenchmarkReceiveComplete(b *testing.B) {
	for _, settling := range []int{1, 16} {
		b.Run(fmt.Sprint("settling=", settling), func(b *testing.B) {
			_, client := benchRig(b)
			const receivers = 8
			each := (b.N + receivers - 1) / receivers
			fill(b, client, receivers, each)
			var all sync.WaitGroup
			count := cpu(b)
			b.ResetTimer()
			for s := range receivers {
				all.Go(func() {
					x, err := client.AcceptSessionForQueue(b.Context(), "s", fmt.Sprint("session-", s), nil)
					if err != nil {
						b.Error(err)
						return
					}
					drain(b, x, each, settling)
				})
			}
			all.Wait()
			b.StopTimer()
			count(each * receivers)
			b.ReportMetric(float64(each*receivers)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func drain(b *testing.B, x *sb.SessionReceiver, n, settling int) {
	var wg sync.WaitGroup
	todo := make(chan *sb.ReceivedMessage, settling)
	for range settling {
		wg.Go(func() {
			for m := range todo {
				if err := x.CompleteMessage(b.Context(), m, nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for got := 0; got < n; {
		ms, err := x.ReceiveMessages(b.Context(), min(256, n-got), nil)
		if err != nil {
			b.Error(err)
			break
		}
		got += len(ms)
		for _, m := range ms {
			todo <- m
		}
	}
	close(todo)
	wg.Wait()
}

// BenchmarkAcceptClose accepts a session by ID and closes it.
func BenchmarkAcceptClose(b *testing.B) {
	_, client := benchRig(b)
	fill(b, client, 1, 1)
	count := cpu(b)
	defer func() { count(b.N) }()
	for b.Loop() {
		x, err := client.AcceptSessionForQueue(b.Context(), "s", "session-0", nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := x.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAcceptCloseAMQP is the same without what the SDK adds.
func BenchmarkAcceptCloseAMQP(b *testing.B) {
	server, client := benchRig(b)
	fill(b, client, 1, 1)
	conn, err := goamqp.Dial(b.Context(), "amqp://"+server.Addr(),
		&goamqp.ConnOptions{SASLType: goamqp.SASLTypePlain("RootManageSharedAccessKey", "SAS_KEY_VALUE")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the server is gone by then
	s, err := conn.NewSession(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	count := cpu(b)
	defer func() { count(b.N) }()
	for b.Loop() {
		x, err := s.NewReceiver(b.Context(), "s", &goamqp.ReceiverOptions{
			Filters: []goamqp.LinkFilter{goamqp.NewLinkFilter("com.microsoft:session-filter", 0x137000000C, "session-0")},
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := x.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDrainSessions drains 10,000 sessions of one message with 64 workers on 8 connections that accept whatever is
// next, receive, complete and close.
func BenchmarkDrainSessions(b *testing.B) {
	const sessions, clients, workers = 10_000, 8, 8
	for b.Loop() {
		b.StopTimer()
		server, client := benchRig(b)
		fill(b, client, sessions, 1)
		left := make(chan struct{}, sessions)
		for range sessions {
			left <- struct{}{}
		}
		close(left)
		count := cpu(b)
		b.StartTimer()
		var all sync.WaitGroup
		for range clients {
			client, err := sb.NewClientFromConnectionString(server.ConnectionString(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = client.Close(context.Background()) }() // the server is gone by then
			for range workers {
				all.Go(func() { takeSessions(b, client, left) })
			}
		}
		all.Wait()
		b.StopTimer()
		count(sessions)
		if c, _ := server.Counts("s"); c.Active != 0 {
			b.Errorf("%d messages left", c.Active)
		}
		b.StartTimer()
	}
}

func takeSessions(b *testing.B, client *sb.Client, left <-chan struct{}) {
	for range left {
		x, err := client.AcceptNextSessionForQueue(b.Context(), "s", nil)
		if err != nil {
			b.Error(err)
			return
		}
		ms, err := x.ReceiveMessages(b.Context(), 1, nil)
		if err != nil || len(ms) != 1 {
			b.Error(len(ms), err)
			return
		}
		if err := x.CompleteMessage(b.Context(), ms[0], nil); err != nil {
			b.Error(err)
		}
		if err := x.Close(b.Context()); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkDrainSessionsAMQP is the same without what the SDK adds to each accept (two token exchanges and a management
// link): 64 AMQP sessions on 8 connections, each accepting, receiving, completing and detaching by itself.
func BenchmarkDrainSessionsAMQP(b *testing.B) {
	const sessions, clients, workers = 10_000, 8, 8
	for b.Loop() {
		b.StopTimer()
		server, client := benchRig(b)
		fill(b, client, sessions, 1)
		var left atomic.Int64
		left.Store(sessions)
		count := cpu(b)
		b.StartTimer()
		var all sync.WaitGroup
		for range clients {
			conn, err := goamqp.Dial(b.Context(), "amqp://"+server.Addr(),
				&goamqp.ConnOptions{SASLType: goamqp.SASLTypePlain("RootManageSharedAccessKey", "SAS_KEY_VALUE")})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // the server is gone by then
			for range workers {
				s, err := conn.NewSession(b.Context(), nil)
				if err != nil {
					b.Fatal(err)
				}
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := takeSession(b.Context(), s); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
		}
		all.Wait()
		b.StopTimer()
		count(sessions)
		if c, _ := server.Counts("s"); c.Active != 0 {
			b.Errorf("%d messages left", c.Active)
		}
		b.StartTimer()
	}
}

func takeSession(ctx context.Context, s *goamqp.Session) error {
	x, err := s.NewReceiver(ctx, "s", &goamqp.ReceiverOptions{
		Credit: 1, SettlementMode: goamqp.ReceiverSettleModeSecond.Ptr(),
		Filters: []goamqp.LinkFilter{goamqp.NewLinkFilter("com.microsoft:session-filter", 0x137000000C, nil)},
	})
	if err != nil {
		return err
	}
	m, err := x.Receive(ctx, nil)
	if err != nil {
		return err
	}
	if err := x.AcceptMessage(ctx, m); err != nil {
		return err
	}
	return x.Close(ctx)
}

// BenchmarkIdleSession measures what an owned session costs the emulator: 1,000 sessions on one connection, each with
// an AMQP session, its link and a management pair, as the SDK opens them. The client keeps nothing.
func BenchmarkIdleSession(b *testing.B) {
	const owned = 1000
	server, _ := benchRig(b)
	for b.Loop() {
		c := dialRaw(b, server, nil)
		before := heap()
		for i := range uint16(owned) {
			in, out := sendTo("s/$management", 0), receiveFrom("s/$management", 1)
			c.send(2*i, beginRaw(5000), bySession(receiveFrom("s", 0), fmt.Sprint("owned-", i)), credit(0, 1))
			c.send(2*i+1, beginRaw(5000), in, out, credit(1, 1000))
			until[*amqp.Attach](c)
			until[*amqp.Attach](c)
			until[*amqp.Attach](c)
		}
		b.ReportMetric(float64(heap()-before)/owned, "B/session")
		c.send(0, &amqp.Close{})
		until[*amqp.Close](c)
		if err := server.Await(b.Context(), func() bool { return len(server.Sessions("s")) == 0 }); err != nil {
			b.Fatal(err)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // finalizers of the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkStart starts and closes a server: listening, with certificates.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		server, err := servicebus.Start(servicebus.Options{Namespace: namespace()})
		if err != nil {
			b.Fatal(err)
		}
		if err := server.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
