package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"
)

// check holds the rules that need more than one value. Each looks only at values that are right by themselves, so that
// one mistake is reported once.
func (d *decoder) check(c *Config) {
	d.checkServiceBus(c)
	d.checkSources(c)
	d.checkEnvironments(c)
	for i := range c.Routes {
		d.checkRoute(c, i)
	}
	d.checkReach(c)
	for i := range c.Exports {
		d.checkExport(c, i)
	}
	d.checkActivities(c)
	d.checkCompany(c)
	d.checkTimes(c)
}

// fault reports a problem at a path; worry reports what is allowed but probably not meant.
func (d *decoder) fault(path, fix, what string, args ...any) {
	d.problem(d.at(path), path, fix, what, args...)
}

func (d *decoder) worry(path, fix, what string, args ...any) {
	d.warnings = append(d.warnings, d.made(d.at(path), path, fix, fmt.Sprintf(what, args...)))
}

// at returns where a path is in the file; for a key that is not there, where the mapping is that it belongs into.
func (d *decoder) at(path string) *token.Position {
	for path != "" {
		if pos := d.pos[path]; pos != nil {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return d.pos[""]
}

// good reports whether none of the values has a problem.
func (d *decoder) good(paths ...string) bool {
	for _, p := range paths {
		for q := range d.bad {
			if q == p || strings.HasPrefix(q, p+".") || strings.HasPrefix(q, p+"[") {
				return false
			}
		}
	}
	return true
}

func (d *decoder) checkServiceBus(c *Config) {
	sb := &c.ServiceBus
	const at = "serviceBus"
	switch {
	case !d.good(at):
	case sb.Namespace == "" && sb.ConnectionString == nil:
		d.fault(at, "write namespace: NAME.servicebus.windows.net with an identity, or connectionString: {env: SERVICEBUS_CONNECTION_STRING}", "neither namespace nor connectionString")
	case sb.Namespace != "" && sb.ConnectionString != nil:
		d.fault(at+".connectionString", "keep one of the two", "both namespace and connectionString")
	case sb.Identity != nil && sb.ConnectionString != nil:
		d.fault(at+".identity", "remove it, or use namespace instead of connectionString", "a connection string brings its own key; an identity is not used with it")
	case sb.ConnectionString != nil && !strings.Contains(strings.ToLower(sb.ConnectionString.Value()), "endpoint=sb://"):
		d.fault(at+".connectionString", "copy it from the shared access policy of the namespace", "the value is no connection string: it has no Endpoint=sb://")
	}
	if sb.Identity != nil {
		d.checkIdentity(*sb.Identity, at+".identity")
	}
	if c.Storage.Identity != nil {
		d.checkIdentity(*c.Storage.Identity, "storage.identity")
		return
	}
	if sb.ConnectionString == nil || !d.good("storage") {
		return
	}
	claims := func(r Route) bool { return len(r.ClaimCheck) > 0 }
	if i := slices.IndexFunc(c.Routes, claims); i >= 0 {
		d.worry(fmt.Sprintf("routes[%d].claimCheck", i), "write storage: {identity: ...}",
			"nothing says who the bridge is to Blob Storage: a connection string is for Service Bus only, so the default identity chain is tried")
	}
}

func (d *decoder) checkSources(c *Config) {
	seen := map[string]int{}
	for i, s := range c.Sources {
		at := fmt.Sprintf("sources[%d]", i)
		switch {
		case !d.good(at):
			continue
		case s.Queue == "" && s.Topic == "" && s.Subscription == "":
			d.fault(at, "write queue: NAME, or topic: NAME and subscription: NAME", "neither a queue nor a subscription")
			continue
		case s.Queue != "" && s.Topic+s.Subscription != "":
			d.fault(at, "make two sources of it", "both a queue and a subscription")
			continue
		case s.Queue == "" && s.Topic == "":
			d.fault(at, "write topic: NAME next to it", "a subscription without its topic")
			continue
		case s.Queue == "" && s.Subscription == "":
			d.fault(at, "write subscription: NAME next to it", "a topic is read through one of its subscriptions")
			continue
		}
		name := strings.ToLower(s.Name()) // Service Bus compares without regard to case
		if first, ok := seen[name]; ok {
			d.fault(at, "remove one of the two", "%s is source %d already", quote(s.Name()), first+1)
		}
		seen[name] = i
		if d.good("status") && strings.EqualFold(s.Queue, c.Status.Topic) && s.Queue != "" {
			d.fault("status.topic", "publish the events somewhere else", "%s is a source too: the bridge would read its own events", quote(s.Queue))
		}
	}
	if !d.good("sources", "routes", "exports") {
		return
	}
	switch {
	case len(c.Sources) == 0 && len(c.Routes) == 0 && len(c.Exports) == 0:
		d.fault("sources", "write sources: [{queue: NAME}] and routes, or exports", "nothing to do: no sources and no exports")
	case len(c.Sources) == 0 && len(c.Routes) > 0:
		d.fault("routes", "write sources: [{queue: NAME}]", "there are routes but no sources to read")
	case len(c.Sources) > 0 && len(c.Routes) == 0:
		d.fault("sources", "write routes", "there are sources but no routes: every message would be dead-lettered")
	}
	if len(c.Sources) > 0 && c.Status.Topic == "" && d.good("status") {
		d.fault("status", "write status: {topic: NAME}", "no status topic: a file is completed only after its end was published")
	}
}

func (d *decoder) checkEnvironments(c *Config) {
	names, urls := map[string]int{}, map[string]string{}
	used := map[string]bool{}
	for _, r := range c.Routes {
		used[r.Environment] = true
	}
	for _, e := range c.Exports {
		used[e.Environment] = true
	}
	for i, e := range c.Environments {
		at := fmt.Sprintf("environments[%d]", i)
		d.checkIdentity(e.Identity, at+".identity")
		if d.good(at+".name") && e.Name != "" {
			if first, ok := names[e.Name]; ok {
				d.fault(at+".name", "give each environment its own name", "environment %d has the name %s already", first+1, quote(e.Name))
			} else if names[e.Name] = i; !used[e.Name] && d.good("routes", "exports") {
				d.worry(at+".name", "remove it, or name it in a route or an export", "no route and no export uses environment %s", quote(e.Name))
			}
		}
		if d.good(at+".url") && e.URL != "" {
			if other, ok := urls[e.URL]; ok {
				d.worry(at+".url", "use one environment, unless two identities are meant", "environment %s has the same URL: the limits of the two add up", quote(other))
			}
			urls[e.URL] = e.Name
		}
	}
}

// environment finds the environment that a route or an export names.
func (d *decoder) environment(c *Config, name, path string) (env *Environment, at string) {
	if name == "" || !d.good(path) {
		return nil, ""
	}
	known := make([]string, 0, len(c.Environments))
	for i := range c.Environments {
		e := &c.Environments[i]
		if e.Name == name {
			return e, fmt.Sprintf("environments[%d]", i)
		}
		if e.Name != "" {
			known = append(known, e.Name)
		}
	}
	if len(known) > 0 { // otherwise their absence is the problem, and reported
		d.fault(path, instead(name, known), "there is no environment %s", quote(name))
	}
	return nil, ""
}

// label names an element of a list: by its name, or by its place when it has none.
func label(kind, name string, i int) string {
	if name == "" {
		return fmt.Sprintf("%s %d", kind, i+1)
	}
	return kind + " " + quote(name)
}

// checkCompany says once what no file can know.
func (d *decoder) checkCompany(c *Config) {
	for i, r := range c.Routes {
		if r.Company != "" {
			d.worry(fmt.Sprintf("routes[%d].company", i), `turn on "Use company from message" in the recurring data jobs`,
				"F&O follows the company only where the recurring data job has it turned on; otherwise the company of the job's user is used, without an error")
			return
		}
	}
}

func (d *decoder) checkTimes(c *Config) {
	if d.good("idle", "serviceBus.lock") && c.Idle >= c.ServiceBus.Lock {
		d.fault("idle", "write less than the lock, as in 200ms", "idle %s is not shorter than serviceBus.lock %s: every idle session would be lost before it is released", duration(c.Idle), duration(c.ServiceBus.Lock))
	}
	if d.pos["accepts"] == nil {
		c.Accepts = min(c.Accepts, c.Sessions)
	}
	if d.good("accepts", "sessions") && c.Accepts > c.Sessions {
		d.fault("accepts", fmt.Sprintf("write %d or less, or raise sessions", c.Sessions), "accepts %d is more than sessions %d: more would be accepted than may be held", c.Accepts, c.Sessions)
	}
	if d.pos["locks"] == nil {
		c.Locks = max(c.Locks, c.Sessions)
	}
	if d.good("locks", "sessions") && c.Locks < c.Sessions {
		d.fault("locks", fmt.Sprintf("write %d or more, or lower sessions", c.Sessions), "locks %d is less than sessions %d: a session at work is owned", c.Locks, c.Sessions)
	}
	if d.good("poll") && c.Poll.Max < c.Poll.First {
		d.fault("poll.max", "write "+duration(c.Poll.First)+" or more, or lower poll.first", "poll.max %s is shorter than poll.first %s", duration(c.Poll.Max), duration(c.Poll.First))
	}
	for i := range c.Environments {
		e, at := &c.Environments[i], fmt.Sprintf("environments[%d].timeout", i)
		limit := c.ServiceBus.Lock/2 - Margin(c.ServiceBus.Lock)
		switch {
		case !d.good(at, "serviceBus.lock") || e.Timeout <= limit:
		case d.pos[at] == nil:
			d.worry("serviceBus.lock", "give the session queues a longer lock, 5m at best", "the lock %s leaves %s for an HTTP call to environment %s, less than the default timeout %s",
				duration(c.ServiceBus.Lock), duration(limit), quote(e.Name), duration(e.Timeout))
			e.Timeout = limit
		default:
			d.fault(at, "write "+duration(limit)+" or less", "timeout %s may outlast the lease: renewed at half of serviceBus.lock %s, it has %s - %s margin = %s left in the worst case",
				duration(e.Timeout), duration(c.ServiceBus.Lock), duration(c.ServiceBus.Lock/2), duration(Margin(c.ServiceBus.Lock)), duration(limit))
		}
	}
}

// Margin is how long before its end a lease counts as over: a tenth of the lock, at most ten seconds. A call is only
// started when it must end before that.
func Margin(lock time.Duration) time.Duration { return min(lock/10, 10*time.Second) }

// checkIdentity holds which fields each kind needs and which it may have; any other is a mistake, not decoration.
func (d *decoder) checkIdentity(id Identity, at string) {
	if !d.good(at) {
		return
	}
	needs, may := identityFields(id.Kind)
	v := reflect.ValueOf(id)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _ := keyOf(f)
		has := !v.Field(i).IsZero()
		switch {
		case strings.Contains(needs, " "+key+" ") && !has:
			d.fault(at, "write "+example(key, f), "%s is missing, which kind %s needs", key, id.Kind)
		case has && !strings.Contains(needs+may, " "+key+" "):
			d.fault(at+"."+key, "remove it, or choose the kind that uses it", "kind %s does not use %s", id.Kind, key)
		}
	}
}

func identityFields(k IdentityKind) (needs, may string) {
	switch k {
	case IdentityManaged:
		return " kind ", " clientId "
	case IdentityWorkload:
		return " kind ", " tenantId clientId tokenFile authorityHost authorityCA "
	case IdentityClientSecret:
		return " kind tenantId clientId secret ", " authorityHost authorityCA "
	case IdentityClientCertificate:
		return " kind tenantId clientId certificate ", " certificatePassword authorityHost authorityCA "
	default:
		return " kind ", " tenantId authorityHost authorityCA "
	}
}
