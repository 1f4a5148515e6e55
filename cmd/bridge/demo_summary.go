package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/config"
	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/status"
)

// A summary is the end of a demo, for people and as one JSON object.
type summary struct {
	Files        int             `json:"files"`
	Processed    int             `json:"processed"` // completed by the bridge, F&O having said so
	DeadLettered int             `json:"deadLettered"`
	Unknown      int             `json:"unknown"` // files whose post had an unknown outcome, reported as such
	Lost         int             `json:"lost"`
	Duplicated   int             `json:"duplicated"`
	OutOfOrder   int             `json:"outOfOrder"`
	Events       int             `json:"events"`  // status events received
	Exports      int             `json:"exports"` // exported files received
	Seconds      float64         `json:"seconds"`
	Entities     []entitySummary `json:"entities"`
	Findings     []string        `json:"findings,omitempty"` // every fault, in words
}

// entitySummary is one session of the demo.
type entitySummary struct {
	Entity       string                 `json:"entity"`
	Company      string                 `json:"company,omitempty"`
	Session      string                 `json:"session"`
	Sent         int                    `json:"sent"`
	Processed    int                    `json:"processed"`
	DeadLettered int                    `json:"deadLettered"`
	Unknown      int                    `json:"unknown"`
	Retried      int                    `json:"retried"` // files that needed more than one attempt
	Reasons      map[failure.Reason]int `json:"reasons,omitempty"`
	Dead         []deadSummary          `json:"dead,omitempty"`
}

// deadSummary is one dead letter.
type deadSummary struct {
	File        string         `json:"file"`
	Reason      failure.Reason `json:"reason"`
	Description string         `json:"description"`
}

// judge collects what everybody saw and lets the checker compare it.
func (st *stage) judge(ctx context.Context, aud *audience, took time.Duration) (*summary, error) {
	dead, err := st.deadLetters(ctx)
	if err != nil {
		return nil, err
	}
	aud.mu.Lock()
	defer aud.mu.Unlock()
	h := history.History{Modes: map[string]history.Mode{}}
	for i, f := range st.sent {
		hash, route := f.hash, st.cfg.Route(st.queue(), f.pair.Entity, f.pair.Company)
		if route != nil && route.Template != "" {
			hash = "" // the bridge makes a package of it, F&O gets other bytes
		}
		h.Sent = append(h.Sent, history.Sent{Session: f.session, Index: i, MessageID: f.messageID, Hash: hash})
		if route != nil && route.Order == config.OrderEnqueued {
			h.Modes[f.session] = history.Enqueued
		}
	}
	for _, i := range st.fno.Imports() {
		h.Recorded = append(h.Recorded, history.Recorded{
			ExternalID: i.ExternalID, MessageID: i.MessageID, Hash: i.SHA256, Order: i.Order, Accepted: i.AcceptedAt, Ended: i.EndedAt, Status: i.Status,
		})
	}
	for _, x := range aud.events {
		e := history.FromEvent(x.event, int(x.sequence))
		e.ID = x.id // as the subscriber got it
		h.Events = append(h.Events, e)
	}
	for _, d := range dead {
		h.DeadLettered = append(h.DeadLettered, history.DeadLettered{MessageID: d.MessageID, Reason: reasonOf(d)})
	}
	r := history.Check(h)
	s := &summary{
		Files: r.Files, DeadLettered: r.DeadLettered, Unknown: r.Unknown, Lost: r.Lost, Duplicated: r.Duplicated,
		OutOfOrder: r.OutOfOrder, Events: len(aud.events), Exports: len(aud.received), Seconds: took.Seconds(),
	}
	if missing := st.script.exports - len(aud.received); missing > 0 {
		s.Findings = append(s.Findings, fmt.Sprintf("%d exports did not come", missing))
		s.Lost += missing
	}
	for _, d := range r.Details {
		s.Findings = append(s.Findings, d.String())
	}
	s.Entities = st.entities(aud, dead)
	for _, e := range s.Entities {
		s.Processed += e.Processed
	}
	return s, nil
}

// entities sums up session by session, in the order of the first file of each.
func (st *stage) entities(aud *audience, dead []*azservicebus.ReceivedMessage) []entitySummary {
	var all []entitySummary
	at := map[string]int{}
	byID := map[string]sentFile{}
	for _, f := range st.sent {
		byID[f.messageID] = f
		if _, ok := at[f.session]; !ok {
			at[f.session] = len(all)
			all = append(all, entitySummary{Entity: cmp.Or(f.pair.Entity, f.session), Company: f.pair.Company, Session: f.session, Reasons: map[failure.Reason]int{}})
		}
		all[at[f.session]].Sent++
	}
	unknown, retried := map[string]bool{}, map[string]bool{}
	for _, x := range aud.events {
		i, ok := at[x.event.Session]
		if !ok || byID[x.event.MessageID].session == "" {
			continue
		}
		e := &all[i]
		switch x.event.Status {
		case status.Processed:
			e.Processed++
		case status.UnknownOutcome:
			if !unknown[x.event.MessageID] {
				e.Unknown++
			}
			unknown[x.event.MessageID] = true
		}
		if x.event.Attempt > 1 && !retried[x.event.MessageID] {
			retried[x.event.MessageID] = true
			e.Retried++
		}
	}
	for _, d := range dead {
		f, ok := byID[d.MessageID]
		if !ok {
			continue
		}
		e := &all[at[f.session]]
		e.DeadLettered++
		e.Reasons[reasonOf(d)]++
		x := deadSummary{File: f.name, Reason: reasonOf(d)}
		if d.DeadLetterErrorDescription != nil {
			x.Description = *d.DeadLetterErrorDescription
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
func (st *stage) deadLetters(ctx context.Context) ([]*azservicebus.ReceivedMessage, error) {
	client, err := st.connect(azservicebus.RetryOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // only looked
	r, err := client.NewReceiverForQueue(st.queue(), &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
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

// ok reports whether every promise was kept.
func (s *summary) ok() bool { return len(s.Findings) == 0 }

func (s *summary) write(w io.Writer, f format) error {
	if f == formatJSON {
		return writeJSON(w, s)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return written(err)
	}
	t := newTable(w, "ENTITY", "COMPANY", "SENT", "PROCESSED", "DEAD-LETTERED", "RETRIED", "REASONS")
	for _, e := range s.Entities {
		var reasons []string
		for r, n := range e.Reasons {
			reasons = append(reasons, fmt.Sprintf("%s: %d", r, n))
		}
		slices.Sort(reasons)
		t.row(e.Entity, e.Company, strconv.Itoa(e.Sent), strconv.Itoa(e.Processed), strconv.Itoa(e.DeadLettered), strconv.Itoa(e.Retried), strings.Join(reasons, ", "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, e := range s.Entities {
		for _, d := range e.Dead {
			if _, err := fmt.Fprintf(w, "\ndead letter %s, %s\n  %s\n", e.Entity, d.File, strings.ReplaceAll(strings.TrimSpace(d.Description), "\n", "\n  ")); err != nil {
				return written(err)
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%d files in %.1f s: %d processed, %d dead-lettered (%d with an unknown outcome, named as such), %d exports, %d status events\nchecker: %d lost, %d duplicated, %d out of order\n",
		s.Files, s.Seconds, s.Processed, s.DeadLettered, s.Unknown, s.Exports, s.Events, s.Lost, s.Duplicated, s.OutOfOrder)
	for _, f := range s.Findings {
		if err == nil {
			_, err = fmt.Fprintln(w, "  "+f)
		}
	}
	return written(err)
}
