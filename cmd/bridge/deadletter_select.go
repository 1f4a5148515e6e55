package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
)

// selection are the flags that choose dead letters.
type selection struct {
	reasons                    []string
	entity, company, messageID string
	session, since, until, seq string
}

// flags adds the flags to a command.
func (s *selection) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&s.reasons, "reason", nil,
		"dead letters with this `REASON`, as in ProcessedWithErrors; more than one with commas")
	fl.StringVar(&s.entity, "entity", "", "of this data `ENTITY` of F&O")
	fl.StringVar(&s.company, "company", "", "of this `COMPANY`")
	fl.StringVar(&s.session, "session", "", "of this `SESSION`, exactly")
	fl.StringVar(&s.messageID, "message-id", "", "with this message `ID`, now or before it was resubmitted")
	fl.StringVar(&s.since, "since", "", "last tried (or enqueued) at or after `TIME`: RFC 3339, or an age as in 2h")
	fl.StringVar(&s.until, "until", "", "last tried (or enqueued) at or before `TIME`: RFC 3339, or an age")
	fl.StringVar(&s.seq, "seq", "", "with a sequence number in `RANGE`: 17, 10-20, 10- or -20")
}

// filter reads the flags.
func (s *selection) filter(cmd *cobra.Command, now time.Time) (f deadletter.Filter, err error) {
	f = deadletter.Filter{Reasons: s.reasons, Entity: s.entity, Company: s.company, MessageID: s.messageID}
	if cmd.Flags().Changed("session") { // the empty session is one too
		f.Session = &s.session
	}
	if f.Since, err = moment(s.since, now); err != nil {
		return f, usagef("--since: %w", err)
	}
	if f.Until, err = moment(s.until, now); err != nil {
		return f, usagef("--until: %w", err)
	}
	f.From, f.To, err = sequences(s.seq)
	return f, err
}

// sequences reads a range of sequence numbers; 0 is an open end.
func sequences(text string) (from, to int64, err error) {
	first, last, span := strings.Cut(text, "-")
	if !span {
		last = first
	}
	var bounds [2]int64
	for i, end := range []string{first, last} {
		if end == "" {
			continue
		}
		if bounds[i], err = strconv.ParseInt(end, 10, 64); err != nil || bounds[i] < 1 {
			return 0, 0, usagef("--seq %q: write 17, 10-20, 10- or -20", text)
		}
	}
	if from, to = bounds[0], bounds[1]; to > 0 && from > to {
		return 0, 0, usagef("--seq %q: the range ends before it begins", text)
	}
	return from, to, nil
}

// moment reads a time, or an age.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time as in 2026-01-31T08:00:00Z nor an age as in 2h", text)
}
