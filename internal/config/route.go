package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxConnectorFile is where F&O's connector begins to refuse bodies, by field reports; Microsoft names no figure.
const maxConnectorFile = 28 * MB

// maxWindow keeps a session's ledger within its bound; wider ones gain nothing.
const maxWindow = 100

// Matches reports whether a message from source, for entity and company, is one of the route's.
func (m Match) Matches(source, entity, company string) bool {
	return covers(m.Source, source) && covers(m.Entity, entity) && covers(m.Company, company)
}

// covers reports whether everything that the inner pattern or value matches, the outer one matches too.
func covers(outer, inner string) bool {
	return outer == "" || outer == "*" || strings.EqualFold(outer, inner)
}

// String returns what the match asks for, as in entity=Customers company=usmf, or "everything".
func (m Match) String() string {
	var parts []string
	for _, p := range [][2]string{{"entity", m.Entity}, {"company", m.Company}, {"source", m.Source}} {
		if p[1] != "" && p[1] != "*" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, " ")
}

// Route returns the first route that a message matches; nil when none does.
func (c *Config) Route(source, entity, company string) *Route {
	for i := range c.Routes {
		if c.Routes[i].Match.Matches(source, entity, company) {
			return &c.Routes[i]
		}
	}
	return nil
}

// Environment returns the environment of that name; nil when there is none.
func (c *Config) Environment(name string) *Environment {
	for i := range c.Environments {
		if c.Environments[i].Name == name {
			return &c.Environments[i]
		}
	}
	return nil
}

func (d *decoder) checkRoute(c *Config, i int) {
	r, at := &c.Routes[i], fmt.Sprintf("routes[%d]", i)
	for j := range i {
		if r.Name != "" && c.Routes[j].Name == r.Name && d.good(at+".name") {
			d.fault(at+".name", "give each route its own name", "route %d has the name %s already", j+1, quote(r.Name))
			break
		}
	}
	if s := r.Match.Source; s != "" && s != "*" && d.good(at+".match", "sources") {
		var names []string
		for _, src := range c.Sources {
			names = append(names, src.Name())
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, s) }) && len(names) > 0 {
			d.fault(at+".match.source", instead(s, names), "there is no source %s", quote(s))
		}
	}
	if d.good(at+".format", at+".template") && r.Template != "" && r.Format != FormatPackage {
		d.fault(at+".template", "write format: package, or remove the template", "a template needs format: package")
	}
	if d.good(at+".order", at+".window") && r.Window > 1 && r.Order != OrderEnqueued {
		d.fault(at+".window", "write order: enqueued, or remove the window", "window %d needs order: enqueued; with order: processed one file of a session is in flight", r.Window)
	}
	if d.good(at+".window") && r.Window > maxWindow {
		d.fault(at+".window", "write a smaller number: F&O imports the files of one recurring job one after the other", "window %d is more than %d", r.Window, maxWindow)
	}
	if d.good(at+".order", at+".format") && r.Order == OrderEnqueued && r.Format == FormatPackage {
		d.worry(at+".order", "write order: processed, unless the order of the imports does not matter", "F&O processes messages in order for files only: packages enqueued one after the other may be imported together and fail with deadlocks")
	}
	if d.good(at+".maxSize") && r.MaxSize > maxConnectorFile {
		d.worry(at+".maxSize", "write 28MB or less, or try it out there", "F&O's connector is known to refuse files above some %s", maxConnectorFile)
	}
	d.checkRouteTimes(c, r, at)
}

func (d *decoder) checkRouteTimes(c *Config, r *Route, at string) {
	d.environment(c, r.Environment, at+".environment")
	if d.good(at+".deadline", "poll.first") && c.Poll.First > r.Deadline {
		d.fault(at+".deadline", "write a deadline well above poll.first", "deadline %s is over before the first status call, poll.first %s", duration(r.Deadline), duration(c.Poll.First))
	}
	retry := at + ".retry"
	d.checkRetry(&r.Retry, retry, r.Deadline, at+".deadline")
	for i := range r.RetryFor {
		each := fmt.Sprintf("%s.retryFor[%d]", at, i)
		d.checkRetry(&r.RetryFor[i].Retry, each+".retry", r.Deadline, at+".deadline")
		for j := range i {
			if r.RetryFor[i].Reason == r.RetryFor[j].Reason && d.good(each+".reason") {
				d.fault(each+".reason", "keep one of the two", "%s has a retry of its own already", r.RetryFor[i].Reason)
				break
			}
		}
	}
}

// checkRetry refuses a retry whose attempts cannot all happen. deadlineAt is where the route's deadline stands.
func (d *decoder) checkRetry(r *Retry, retry string, deadline time.Duration, deadlineAt string) {
	if d.good(deadlineAt, retry) {
		d.fitRetry(r, retry, deadline)
	}
	if d.good(deadlineAt, retry) && r.Total > deadline {
		d.fault(d.firstAt(retry+".total", deadlineAt), "write retry.total: "+duration(deadline)+" or less, or raise the deadline", "retry.total %s goes on after the deadline %s", duration(r.Total), duration(deadline))
	}
	if !d.good(retry) {
		return
	}
	if r.Max < r.First {
		d.fault(d.firstAt(retry+".max", retry+".first"), "write max: "+duration(r.First)+" or more, or lower first", "retry.max %s is shorter than retry.first %s", duration(r.Max), duration(r.First))
		return
	}
	if sum, shown, fit := r.waits(); sum > r.Total {
		d.fault(d.firstAt(retry+".total", retry+".attempts", retry+".first", retry+".max", retry+".multiplier"),
			fmt.Sprintf("write total: %s or more, or attempts: %d", duration(sum), fit),
			"retry.attempts %d cannot all happen: the waits between them are %s = %s, longer than retry.total %s", r.Attempts, shown, duration(sum), duration(r.Total))
	}
}

// fitRetry shortens the defaults that the file leaves alone, so that a short deadline by itself is no contradiction.
func (d *decoder) fitRetry(r *Retry, at string, deadline time.Duration) {
	if d.pos[at+".total"] == nil {
		r.Total = min(r.Total, deadline)
	}
	if _, _, fit := r.waits(); d.pos[at+".attempts"] == nil {
		r.Attempts = min(r.Attempts, fit)
	}
}

// firstAt returns the first path that the file has, so that a problem between two values points at one that was written.
func (d *decoder) firstAt(paths ...string) string {
	for _, p := range paths {
		if d.pos[p] != nil {
			return p
		}
	}
	return paths[0]
}

const century = 100 * 365 * 24 * time.Hour

// waits returns the sum of the waits between all attempts without jitter, the sum as it is shown, and how many attempts
// fit into Total.
func (r Retry) waits() (sum time.Duration, shown string, fit int) {
	const ends = 3 // waits shown at each end
	var parts []string
	next, fit := float64(r.First), 1
	for i := range r.Attempts - 1 {
		wait := min(time.Duration(min(next, float64(r.Max))).Round(time.Millisecond), century)
		next = min(next*r.Multiplier, float64(r.Max))
		if sum += wait; sum <= r.Total {
			fit++
		}
		switch last := r.Attempts - 2; {
		case i < ends || i > last-ends:
			parts = append(parts, duration(wait))
		case i == ends:
			parts = append(parts, "...")
		}
		if sum > century { // no need to add up further
			break
		}
	}
	return sum, strings.Join(parts, " + "), fit
}

// checkReach finds routes that no message can reach because an earlier one takes all of theirs.
func (d *decoder) checkReach(c *Config) {
	for i := range c.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		for j := range i {
			a, b := c.Routes[j].Match, c.Routes[i].Match
			if d.good(at+".match", fmt.Sprintf("routes[%d].match", j)) && covers(a.Source, b.Source) && covers(a.Entity, b.Entity) && covers(a.Company, b.Company) {
				d.fault(d.firstAt(at+".match", at), "put it before "+label("route", c.Routes[j].Name, j)+", or narrow that one's match", "no message gets here: %s (%s) takes them first", label("route", c.Routes[j].Name, j), a)
				break
			}
		}
	}
}
