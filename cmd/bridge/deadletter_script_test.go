package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/rogpeppe/go-internal/testscript"

	"fnobridge/emulator/servicebus"
	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/letter"
)

// More commands of the scripts:
//
//	deadletter ENTITY SESSION REASON [N]   dead-letter what waits there as the lane does; - for no SESSION
//	park SESSION hold|drain SEQ            write a hold or drain into the session's ledger, in queue in
//	lock SESSION                           own the session's lock, in queue in, to the end of the script
//	orders SESSION                         print the order that waits for the session, in queue in

// dialScript returns a client; the script closes it at its end.
func dialScript(ts *testscript.TestScript) (*azservicebus.Client, context.Context) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	srv := ts.Value(scriptBus).(*servicebus.Server)
	client, err := azservicebus.NewClientFromConnectionString(srv.ConnectionString(), nil)
	ts.Check(err)
	ts.Defer(func() { closeQuietly(client); cancel() })
	return client, ctx
}

// settler is what dead-letters: a session or a plain receiver.
type settler interface {
	ReceiveMessages(context.Context, int, *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
	DeadLetterMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.DeadLetterOptions) error
	Close(context.Context) error
}

func scriptDeadletter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: deadletter ENTITY SESSION REASON [N]")
	}
	client, ctx := dialScript(ts)
	bus := ts.Value(scriptBus).(*servicebus.Server)
	n := 0
	for _, m := range bus.Messages(args[0]) {
		if args[1] == "-" || m.SessionID == args[1] {
			n++
		}
	}
	if len(args) > 3 {
		most, err := strconv.Atoi(args[3])
		ts.Check(err)
		n = min(n, most)
	}
	e, err := contract.ParseSource(args[0])
	ts.Check(err)
	var rx settler
	switch {
	case args[1] != "-":
		rx, err = client.AcceptSessionForQueue(ctx, e.Queue, args[1], nil)
	case e.Queue != "":
		rx, err = client.NewReceiverForQueue(e.Queue, nil)
	default:
		rx, err = client.NewReceiverForSubscription(e.Topic, e.Subscription, nil)
	}
	ts.Check(err)
	defer closeQuietly(rx)
	for range n {
		got, err := rx.ReceiveMessages(ctx, 1, nil)
		ts.Check(err)
		for _, m := range got {
			entity, _ := m.ApplicationProperties["entity"].(string)
			l := letter.Letter{
				Reason: failure.Reason(args[2]), Description: "record 7, field CustGroupId: the value 'X' is not found",
				Entity: entity, Company: "usmf",
				Attempts: 3, LastAttempt: time.Now(), Environment: "prod", SequenceNumber: *m.SequenceNumber,
			}
			ts.Check(rx.DeadLetterMessage(ctx, m, l.Options(ctx, nil)))
		}
	}
}

func scriptPark(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: park SESSION hold|drain SEQ")
	}
	seq, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	l := ledger.Ledger{Park: &ledger.Park{
		Mode: ledger.ParkMode(args[1]), Seq: seq, Reason: failure.ProcessedWithErrors,
		Detail: "the value is not found", Since: time.Now(),
	}}
	state, err := l.Encode()
	ts.Check(err)
	client, ctx := dialScript(ts)
	rx, err := client.AcceptSessionForQueue(ctx, "in", args[0], nil)
	ts.Check(err)
	defer closeQuietly(rx)
	ts.Check(rx.SetSessionState(ctx, state, nil))
}

func scriptLock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock SESSION")
	}
	client, ctx := dialScript(ts)
	_, err := client.AcceptSessionForQueue(ctx, "in", args[0], nil)
	ts.Check(err) // closed with its client
}

func scriptOrders(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: orders SESSION")
	}
	text := "none"
	for _, s := range ts.Value(scriptBus).(*servicebus.Server).Sessions("in") {
		if s.ID == ledger.ControlSession(args[0]) && len(s.State) > 0 {
			o, ok, err := ledger.DecodeOrder(s.State)
			ts.Check(err)
			text = fmt.Sprintf("%s %v", o.Do, ok)
		}
	}
	_, err := fmt.Fprintln(ts.Stdout(), strings.TrimSpace(text))
	ts.Check(err)
}
