package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"fnobridge/internal/config"
)

// lookAtTTL compares the time to live of a source's messages with the deadlines of its routes: a message that expires
// while F&O has its file is found in the dead-letter queue although it was imported. It needs the right to manage.
func lookAtTTL(ctx context.Context, c *config.Config, s config.Source) check {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	out := check{What: "time to live", Target: s.Name(), Result: resultUnknown, Detail: "needs the right to manage and HTTPS"}
	lives, err := timeToLive(ctx, c.ServiceBus, s)
	if err != nil {
		return out
	}
	out.Result, out.Detail = resultOK, "longer than every deadline"
	for _, r := range c.Routes {
		if src := r.Match.Source; src != "" && src != "*" && src != s.Name() {
			continue
		}
		if lives < r.Deadline {
			out.Result = resultFailed
			out.err = exit(exitConfig, fmt.Errorf("its messages live for %s, the deadline of route %s is %s",
				config.FormatDuration(lives), r.Name, config.FormatDuration(r.Deadline)))
			out.Detail = out.err.Error()
			out.Advice = "Give it a longer time to live, at best none: a file expires while F&O imports it, and is imported again when it is resubmitted."
			return out
		}
	}
	return out
}

// timeToLive returns how long messages of a source live at most.
func timeToLive(ctx context.Context, sb config.ServiceBus, s config.Source) (time.Duration, error) {
	m, err := manager(sb, -1)
	if err != nil {
		return 0, err
	}
	if s.Queue != "" {
		q, err := m.GetQueue(ctx, s.Queue, nil)
		if err != nil {
			return 0, err
		}
		if q == nil {
			return 0, errNotThere
		}
		return isoDuration(q.DefaultMessageTimeToLive)
	}
	t, err := m.GetTopic(ctx, s.Topic, nil)
	if err != nil {
		return 0, err
	}
	sub, err := m.GetSubscription(ctx, s.Topic, s.Subscription, nil)
	if err != nil {
		return 0, err
	}
	if t == nil || sub == nil {
		return 0, errNotThere
	}
	of, err := isoDuration(t.DefaultMessageTimeToLive)
	if err != nil {
		return 0, err
	}
	also, err := isoDuration(sub.DefaultMessageTimeToLive)
	return min(of, also), err
}

var (
	errNotThere = errors.New("there is no such entity")
	isoPattern  = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?$`)
)

// isoDuration reads a duration as Service Bus writes it, as in P1DT2H; what is longer than a Duration is the longest one.
func isoDuration(s *string) (time.Duration, error) {
	if s == nil {
		return 0, errors.New("no duration")
	}
	m := isoPattern.FindStringSubmatch(*s)
	if m == nil {
		return 0, fmt.Errorf("%q is no duration", *s)
	}
	sum := time.Duration(0)
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+1], 10, 64)
		if err != nil || n > int64((1<<63-1)-sum)/int64(unit) {
			return 1<<63 - 1, nil
		}
		sum += time.Duration(n) * unit
	}
	return sum, nil
}
