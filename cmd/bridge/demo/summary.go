package demo

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/config"
	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/status"
)

// A Summary is what a demo ends with. Its JSON is what `bridge demo -o json` prints.
type Summary struct {
	Files        int      `json:"files"`
	Processed    int      `json:"processed"` // completed by the bridge, F&O having said so
	DeadLettered int      `json:"deadLettered"`
	Unknown      int      `json:"unknown"` // files whose post had an unknown outcome, reported as such
	Lost         int      `json:"lost"`
	Duplicated   int      `json:"duplicated"`
	OutOfOrder   int      `json:"outOfOrder"`
	Events       int      `json:"events"`  // status events received
	Exports      int      `json:"exports"` // exported files received
	Seconds      float64  `json:"seconds"`
	Entities     []Entity `json:"entities"`
	Findings     []string `json:"findings,omitempty"` // every fault, in words
}

// An Entity is one session of the demo.
type Entity struct {
	Entity       string                 `json:"entity"`
	Company      string                 `json:"company,omitempty"`
	Session      string                 `json:"session"`
	Sent         int                    `json:"sent"`
	Processed    int                    `json:"processed"`
	DeadLettered int                    `json:"deadLettered"`
	Unknown      int                    `json:"unknown"`
	Retried      int                    `json:"retried"` // files that needed more than one attempt
	Reasons      map[failure.Reason]int `json:"reasons,omitempty"`
	Dead         []DeadLetter           `json:"dead,omitempty"`
}

// A DeadLetter is a file that was dead-lettered, with what an operator reads about it.
type DeadLetter struct {
	File        string         `json:"file"`
	Reason      failure.Reason `json:"reason"`
	Description string         `json:"description"`
}

// check collects what everybody saw and lets the checker compare it.
func (d *Demo) check(ctx context.Context, sub *subscriber, took time.Duration) (*Summary, error) {
	dead, err := d.deadLetters(ctx)
	if err != nil {
		return nil, err
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	r := history.Check(d.history(sub.events, dead))
	s := &Summary{
		Files: r.Files, DeadLettered: r.DeadLettered, Unknown: r.Unknown, Lost: r.Lost, Duplicated: r.Duplicated,
		OutOfOrder: r.OutOfOrder, Events: len(sub.events), Exports: len(sub.received), Seconds: took.Seconds(),
		Entities: d.entities(sub.events, dead),
	}
	if missing := d.exports - len(sub.received); missing > 0 {
		s.Findings = append(s.Findings, fmt.Sprintf("%d exports did not come", missing))
		s.Lost += missing
	}
	for _, x := range r.Details {
		s.Findings = append(s.Findings, x.String())
	}
	for _, e := range s.Entities {
		s.Processed += e.Processed
	}
	return s, nil
}

// history returns what was sent, what F&O recorded, and what other systems saw.
func (d *Demo) history(events []arrival, dead []*azservicebus.ReceivedMessage) history.History {
	h := history.History{Modes: map[string]history.Mode{}}
	for i, f := range d.sent {
		hash, route := f.hash(), d.Config.Route(d.Queue(), f.entity, f.company)
		if route != nil && route.Template != "" {
			hash = "" // the bridge makes a package of it, F&O gets other bytes
		}
		h.Sent = append(h.Sent, history.Sent{Session: f.session, Index: i, MessageID: f.messageID, Hash: hash})
		h.Repeatable = h.Repeatable || route != nil && route.PartialImport == config.PartialRepeat
		if route != nil && route.Order == config.OrderEnqueued {
			h.Modes[f.session] = history.Enqueued
		}
	}
	for _, i := range d.Fno.Imports() {
		h.Recorded = append(h.Recorded, history.Recorded{
			ExternalID: i.ExternalID, MessageID: i.MessageID, Hash: i.SHA256, Order: i.Order,
			Accepted: i.AcceptedAt, Ended: i.EndedAt, Status: i.Status,
		})
	}
	for _, x := range events {
		e := history.FromEvent(x.event, int(x.sequence))
		e.ID = x.id // as the subscriber got it
		h.Events = append(h.Events, e)
	}
	for _, m := range dead {
		h.DeadLettered = append(h.DeadLettered, history.DeadLettered{MessageID: m.MessageID, Reason: reasonOf(m)})
	}
	return h
}

// entities sums up session by session, in the order of the first file of each.
func (d *Demo) entities(events []arrival, dead []*azservicebus.ReceivedMessage) []Entity {
	var all []Entity
	at := map[string]int{} // by session
	byID := map[string]sentFile{}
	for _, f := range d.sent {
		byID[f.messageID] = f
		if _, ok := at[f.session]; !ok {
			at[f.session] = len(all)
			all = append(all, Entity{
				Entity: cmp.Or(f.entity, f.session), Company: f.company, Session: f.session, Reasons: map[failure.Reason]int{},
			})
		}
		all[at[f.session]].Sent++
	}
	unknown, retried := map[string]bool{}, map[string]bool{} // a file counts once, however often it was announced
	for _, x := range events {
		id := x.event.MessageID
		f, ok := byID[id]
		if !ok {
			continue
		}
		e := &all[at[f.session]]
		switch x.event.Status {
		case status.Processed:
			e.Processed++
		case status.UnknownOutcome:
			if !unknown[id] {
				e.Unknown++
			}
			unknown[id] = true
		}
		if x.event.Attempt > 1 && !retried[id] {
			retried[id] = true
			e.Retried++
		}
	}
	for _, m := range dead {
		f, ok := byID[m.MessageID]
		if !ok {
			continue
		}
		e := &all[at[f.session]]
		e.DeadLettered++
		e.Reasons[reasonOf(m)]++
		x := DeadLetter{File: f.name, Reason: reasonOf(m)}
		if m.DeadLetterErrorDescription != nil {
			x.Description = *m.DeadLetterErrorDescription
		}
		e.Dead = append(e.Dead, x)
	}
	return all
}

func reasonOf(m *azservicebus.ReceivedMessage) failure.Reason {
	if m.DeadLetterReason == nil {
		return ""
	}
	return failure.Reason(*m.DeadLetterReason)
}

// deadLetters looks into the dead-letter queue without taking anything out of it.
func (d *Demo) deadLetters(ctx context.Context) ([]*azservicebus.ReceivedMessage, error) {
	client, err := d.Connect(azservicebus.RetryOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // only looked
	o := &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter}
	r, err := client.NewReceiverForQueue(d.Queue(), o)
	if err != nil {
		return nil, fmt.Errorf("look into the dead-letter queue: %w", err)
	}
	var all []*azservicebus.ReceivedMessage
	for {
		got, err := r.PeekMessages(ctx, 100, nil)
		if err != nil {
			return nil, fmt.Errorf("look into the dead-letter queue: %w", err)
		}
		if len(got) == 0 {
			return all, nil
		}
		all = append(all, got...)
	}
}

// OK reports whether every promise was kept.
func (s *Summary) OK() bool { return len(s.Findings) == 0 }
