package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/letter"
	"fnobridge/internal/status"
)

// A guarded is what a gate stands before: an environment, or one recurring job of it.
type guarded struct {
	environment string
	activity    string   // empty for the environment itself
	routes      []string // of the job, exports among them
}

// String returns its name, for people and in /gates.
func (g guarded) String() string {
	if g.activity == "" {
		return g.environment
	}
	return g.environment + ", job " + g.activity
}

// job is the name of what is guarded at the beginning of an event's detail; empty for an environment.
func (g guarded) job() string {
	if g.activity == "" {
		return ""
	}
	return "Recurring data job " + g.activity + " (" + strings.Join(g.routes, ", ") + ") alone; the other jobs of the environment go on. "
}

// watchJobs makes the gates of all jobs visible.
func (b *bridge) watchJobs(envs map[string]*dynamics.Environment) {
	jobs := map[*admission.Gate]*guarded{}
	var order []*admission.Gate
	add := func(environment, activity, route string) {
		gate := envs[environment].Job(activity)
		if jobs[gate] == nil {
			jobs[gate] = &guarded{environment: environment, activity: activity}
			order = append(order, gate)
		}
		jobs[gate].routes = append(jobs[gate].routes, route)
	}
	for _, r := range b.cfg.Routes {
		add(r.Environment, r.Activity, r.Name)
	}
	for _, x := range b.cfg.Exports {
		add(x.Environment, x.Activity, x.Name)
	}
	for _, gate := range order {
		g := *jobs[gate]
		b.endpoints.gates[g.String()] = gate
		b.tel.GateChanged(context.Background(), g.environment, g.activity, false) // a series that is there can be alerted on
		gate.OnChange(b.watch(g))
	}
}

// reminder is how often a gate that stays closed is logged. Waiting has no limit, so it has an alarm.
const reminder = time.Hour

// A gatekeeper makes what happens to one gate visible: as a log line, a metric, and an event. A probe changes nothing
// for anybody outside.
type gatekeeper struct {
	*bridge
	of       guarded
	said     []failure.Reason // of the present outage; empty while the gate is open
	reminded time.Time
}

// watch returns a function that is to be called with every change of a gate.
func (b *bridge) watch(of guarded) func(admission.GateState) {
	w := &gatekeeper{bridge: b, of: of}
	return w.changed
}

func (w *gatekeeper) changed(s admission.GateState) {
	switch {
	case s.Open() && len(w.said) > 0:
		w.said = nil
		w.opened()
	case s.Phase != admission.GateClosed:
	case !slices.Contains(w.said, s.Reason): // closed, or closed for another reason than before
		w.said = append(w.said, s.Reason)
		w.reminded = time.Now()
		w.closed(s)
	case time.Since(w.reminded) >= reminder:
		w.reminded = time.Now()
		w.tel.Logger().Error("still paused", "what", w.of.kind(), "environment", w.of.environment, "activity", w.of.activity,
			"since", s.Since, "reason", s.Reason, "detail", s.Detail, "check", letter.Check(s.Reason))
	}
}

func (w *gatekeeper) opened() {
	w.tel.GateChanged(context.Background(), w.of.environment, w.of.activity, false)
	w.tel.Logger().Info("resumed", "what", w.of.kind(), "environment", w.of.environment, "activity", w.of.activity)
	w.say(status.Event{Status: status.Resumed, Detail: strings.TrimSpace(w.of.job())})
}

func (w *gatekeeper) closed(s admission.GateState) {
	w.tel.GateChanged(context.Background(), w.of.environment, w.of.activity, true)
	w.tel.Logger().Warn("paused: nothing is posted, no attempt is counted, it is probed until it answers",
		"what", w.of.kind(), "environment", w.of.environment, "activity", w.of.activity, "routes", strings.Join(w.of.routes, ", "),
		"reason", s.Reason, "detail", s.Detail, "check", letter.Check(s.Reason), "until", s.Until)
	w.say(status.Event{Status: status.Paused, Reason: s.Reason, Detail: w.of.job() + letter.Explain(s.Reason, s.Detail)})
}

// say publishes an event of the environment, or of the job's routes.
func (w *gatekeeper) say(e status.Event) {
	if w.notices == nil {
		return
	}
	e.Environment, e.Route, e.Time = w.of.environment, strings.Join(w.of.routes, ", "), time.Now()
	w.notices.Say(e)
}

// kind says what it is, for the log.
func (g guarded) kind() string {
	if g.activity == "" {
		return "environment"
	}
	return "job"
}
