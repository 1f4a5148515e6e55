package main

import (
	"strings"

	"fnobridge/internal/config"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/inbound"
	"fnobridge/internal/ledger"
)

// marks lets the replay read and lift what the lane wrote into session state.
type marks struct{}

// Mark gives the hold or drain of a ledger. Files that F&O has, or may have, must not be sent again behind others.
func (marks) Mark(state []byte) (*deadletter.Mark, error) {
	l, err := ledger.Decode(state)
	if err != nil || l.Park == nil {
		return nil, err
	}
	return &deadletter.Mark{Mode: string(l.Park.Mode), Seq: l.Park.Seq, Reason: string(l.Park.Reason), Busy: l.Busy()}, nil
}

// Lift ends the hold or drain and forgets the files that were moved.
func (marks) Lift(state []byte, moved []int64) ([]byte, error) {
	l, err := ledger.Decode(state)
	if err != nil {
		return nil, err
	}
	l.Lift(moved)
	return l.Encode()
}

// mayStand gives what the replay asks about a session that a worker has: whether it may be held or draining. The
// worker knows, if it can be asked; else the route's policy says whether it can be at all.
func mayStand(cfg *config.Config, e deadletter.Entity, seen map[string]inbound.SessionView) func(session, entity, company string) bool {
	return func(session, entity, company string) bool {
		if v, ok := seen[session]; ok {
			return v.Parked != ""
		}
		if cfg == nil {
			return true
		}
		name := config.Source{Queue: e.Queue, Topic: e.Topic, Subscription: e.Subscription}.Name()
		for _, r := range cfg.Routes {
			fits := func(want, have string) bool { return want == "" || want == "*" || strings.EqualFold(want, have) }
			if fits(r.Match.Source, name) && fits(r.Match.Entity, entity) && fits(r.Match.Company, company) {
				return r.OnFailure != config.FailureSkip
			}
		}
		return false // without a route it is dead-lettered, and the session goes on
	}
}
