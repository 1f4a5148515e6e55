// Package servicebustest is a Service Bus for a Go test, in three lines:
//
//	bus := servicebustest.New(t, servicebustest.Queue("orders"), servicebustest.SessionQueue("files"))
//	sender, err := bus.Client(nil).NewSender("orders", nil)
//	err = sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte("hello")}, nil)
//
// New starts a server of its own for every test, on a free port of 127.0.0.1, and ends it when the test ends: no test
// sees the messages, the faults, the cut connections or the clock of another, so tests run in parallel. A server shared
// by a process would have to keep all of these apart by namespace, and a start takes about a millisecond
// (BenchmarkStart of package servicebus).
//
// A Bus is a servicebus.Server with what a test needs beside it. Faults go through Bus.Faults, and what lies in the
// broker is seen with Bus.Messages, Bus.Counts and Bus.Sessions:
//
//	bus.Faults().Add(servicebus.Fault{Op: servicebus.OpComplete, Effect: servicebus.LoseReply, Then: servicebus.Cut})
//	bus.WaitUntil("an empty queue", func() bool { c, _ := bus.Counts("orders"); return c.Active == 0 })
//
// Inside a synctest bubble use InMemory: no port is opened and time is the bubble's.
package servicebustest
