package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// edit returns the minimal configuration with replacements, and more keys at its end.
func edit(more string, replace ...string) string {
	return strings.NewReplacer(replace...).Replace(minimal) + more
}

const route = "name: all,"

func TestRules(t *testing.T) {
	second := "  - {name: b, environment: prod, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12, match: {entity: B}}\n"
	export := "exports:\n  - {name: x, environment: prod, activity: 3fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11, queue: out}\n"
	for name, row := range map[string]struct{ text, path, what string }{
		"no namespace":           {edit("", "connectionString: {env: CONN}", "lock: 5m"), "serviceBus", "neither namespace nor connectionString"},
		"both":                   {edit("", "{env: CONN}", "{env: CONN}, namespace: a.b"), "serviceBus.connectionString", "both"},
		"identity not used":      {edit("", "{env: CONN}", "{env: CONN}, identity: {kind: default}"), "serviceBus.identity", "brings its own key"},
		"not a connection":       {edit("", "env: CONN", "env: SECRET"), "serviceBus.connectionString", "no connection string"},
		"neither env nor file":   {edit("", "{env: CONN}", "{}"), "serviceBus.connectionString", "neither env nor file"},
		"empty secret file":      {edit("", "{env: CONN}", "{file: testdata/empty.txt}"), "serviceBus.connectionString.file", "is empty"},
		"missing secret file":    {edit("", "{env: CONN}", "{file: testdata/none.txt}"), "serviceBus.connectionString.file", "cannot be read"},
		"a folder":               {edit("", route, route+" format: package, template: testdata,"), "routes[0].template", "is a folder"},
		"nothing to do":          {"serviceBus: {connectionString: {env: CONN}}\nenvironments: [{name: prod, url: https://contoso.operations.dynamics.com}]\n", "sources", "nothing to do"},
		"empty variable":         {edit("", "env: CONN", "env: EMPTY"), "serviceBus.connectionString.env", "is empty"},
		"env and file":           {edit("", "env: CONN", "env: CONN, file: check.go"), "serviceBus.connectionString", "both env and file"},
		"lock too long":          {edit("", "{env: CONN}", "{env: CONN}, lock: 6m"), "serviceBus.lock", "longest lock"},
		"timeout and lock":       {edit("", "kind: managedIdentity}", "kind: managedIdentity}, timeout: 141s"), "environments[0].timeout", "2m30s - 10s margin = 2m20s"},
		"idle":                   {edit("idle: 5m\n"), "idle", "not shorter than serviceBus.lock"},
		"locks":                  {edit("locks: 9\nsessions: 10\n"), "locks", "less than sessions 10"},
		"accepts":                {edit("accepts: 9\nsessions: 4\n"), "accepts", "more than sessions 4"},
		"poll":                   {edit("poll: {max: 1s}\n"), "poll.max", "shorter than poll.first"},
		"deadline":               {edit("", route, route+" deadline: 1s,"), "routes[0].deadline", "before the first status call"},
		"total":                  {edit("", route, route+" retry: {total: 3h},"), "routes[0].retry.total", "after the deadline 2h"},
		"retry for a reason":     {edit("", route, route+" retryFor: [{reason: ImportDeadlock, retry: {attempts: 4, first: 10s, total: 1m}}],"), "routes[0].retryFor[0].retry.total", "10s + 20s + 40s = 1m10s"},
		"retry for no reason":    {edit("", route, route+" retryFor: [{reason: Sunshine, retry: {attempts: 4}}],"), "routes[0].retryFor[0].reason", "Sunshine"},
		"two retries, a reason":  {edit("", route, route+" retryFor: [{reason: Timeout, retry: {attempts: 4}}, {reason: Timeout, retry: {attempts: 5}}],"), "routes[0].retryFor[1].reason", "has a retry of its own already"},
		"errors in no container": {edit("storage: {errors: https://acct.blob.core.windows.net/}\n"), "storage.errors", "container"},
		"max under first":        {edit("", route, route+" retry: {max: 1s, first: 2s},"), "routes[0].retry.max", "shorter than retry.first"},
		"attempts do not fit":    {edit("", route, route+" retry: {attempts: 4, first: 10s, total: 1m},"), "routes[0].retry.total", "10s + 20s + 40s = 1m10s"},
		"window":                 {edit("", route, route+" window: 2,"), "routes[0].window", "needs order: enqueued"},
		"wide window":            {edit("", route, route+" order: enqueued, window: 101,"), "routes[0].window", "more than 100"},
		"template":               {edit("", route, route+" template: check.go,"), "routes[0].template", "needs format: package"},
		"container":              {edit("", route, route+" claimCheck: ['https://a.blob.core.windows.net/c/d'],"), "routes[0].claimCheck[0]", "not the URL of a blob container"},
		"container signed":       {edit("", route, route+" claimCheck: ['https://a.blob.core.windows.net/c?sig=x'],"), "routes[0].claimCheck[0]", "not shown"},
		"unknown environment":    {edit("", "environment: prod", "environment: prd"), "routes[0].environment", "no environment"},
		"unknown source":         {edit("", route, route+" match: {source: inn},"), "routes[0].match.source", "no source"},
		"unreachable":            {edit(second), "routes[1].match", `route "all" (everything) takes them first`},
		"same match":             {edit(second, route, route+" match: {entity: b, company: '*'},"), "routes[1].match", "entity=b"},
		"duplicate route":        {edit(strings.ReplaceAll(second, "name: b", "name: all"), route, route+" match: {entity: A},"), "routes[1].name", "already"},
		"duplicate source":       {edit("", "{queue: in}", "{queue: in}, {queue: IN}"), "sources[1]", "source 1 already"},
		"source of both kinds":   {edit("", "{queue: in}", "{queue: in, topic: t, subscription: s}"), "sources[0]", "both"},
		"half a subscription":    {edit("", "{queue: in}", "{subscription: s}"), "sources[0]", "without its topic"},
		"empty source":           {edit("", "{queue: in}", "{}"), "sources[0]", "neither"},
		"dash alone":             {edit("", "[{queue: in}]", "\n  - {queue: in}\n  -"), "sources[1]", "an empty element"},
		"own events":             {edit("", "topic: events", "topic: In"), "status.topic", "its own events"},
		"no status":              {edit("", "status: {topic: events}", ""), "status", "no status topic"},
		"no routes":              {edit("", "routes:", "exports:", "name: all,", "name: all, queue: out,"), "sources", "no routes"},
		"no sources":             {edit("", "sources: [{queue: in}]", ""), "routes", "no sources"},
		"shared job":             {edit(strings.Replace(export, "3fd2", "2fd2", 1)), "exports[0].activity", "same recurring data job"},
		"export without queue":   {edit(strings.Replace(export, ", queue: out", "", 1)), "exports[0].queue", "missing"},
		"identity incomplete":    {edit("", "managedIdentity", "clientSecret, clientId: 00000000-0000-0000-0000-000000000001, secret: {env: SECRET}"), "environments[0].identity", "tenantId is missing"},
		"identity superfluous":   {edit("", "managedIdentity", "managedIdentity, authorityHost: 'https://x'"), "environments[0].identity.authorityHost", "does not use"},
		"authority without TLS":  {edit("", "managedIdentity", "default, authorityHost: 'http://localhost'"), "environments[0].identity.authorityHost", "not https"},
		"company":                {edit("", route, route+" company: usmfx,"), "routes[0].company", "not a company"},
		"number as text":         {edit("sessions: '4'\n"), "sessions", "not a whole number"},
		"text as number":         {edit("", route, "name: 12,"), "routes[0].name", "not a text"},
		"list as value":          {edit("idle: [1s]\n"), "idle", "not a single value"},
		"negative":               {edit("sessions: -1\n"), "sessions", "not more than 0"},
		"zero":                   {edit("idle: 0s\n"), "idle", "not more than 0"},
		"no unit":                {edit("idle: 200\n"), "idle", "not a duration"},
		"not a number":           {edit("poll: {fraction: .nan}\n"), "poll.fraction", "not a number"},
		"listen":                 {edit("listen: 8080\n"), "listen", "not a text"},
		"listen without port":    {edit("listen: 127.0.0.1\n"), "listen", "not an address"},
		"twice":                  {edit("idle: 1s\nidle: 2s\n"), "idle", "twice"},
		"unknown":                {edit("iddle: 1s\n"), "iddle", "unknown key"},
		"not a mapping":          {edit("poll: 2s\n"), "poll", "not a mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("bridge.yaml", []byte(row.text), env)
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("got %v, want a problem at %s", err, row.path)
			}
			if len(problems) != 1 {
				t.Errorf("%d problems, want one for one mistake:\n%s", len(problems), problems)
			}
			p := problems[0]
			if p.Path != row.path || !strings.Contains(p.What, row.what) {
				t.Errorf("got %s\nwant %s: ...%s...", p, row.path, row.what)
			}
			if p.Line == 0 || p.Column == 0 || p.Fix == "" {
				t.Errorf("no place or no advice: %+v", p)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	spare := "  - {name: spare, url: https://spare.operations.dynamics.com, identity: {kind: managedIdentity}}\nroutes:"
	for name, row := range map[string]struct{ text, path string }{
		"company":            {edit("", route, route+" company: usmf,"), "routes[0].company"},
		"large":              {edit("", route, route+" maxSize: 100MB,"), "routes[0].maxSize"},
		"spare":              {edit("", "routes:", spare), "environments[1].name"},
		"same URL":           {edit("", "routes:", strings.Replace(spare, "//spare", "//contoso", 1), "prod,", "prod,"), "environments[1].url"},
		"packages in a row":  {edit("", route, route+" format: package, order: enqueued,"), "routes[0].order"},
		"lock short":         {edit("", "{env: CONN}", "{env: CONN}, lock: 1m"), "serviceBus.lock"},
		"blobs as whom":      {edit("", route, route+" claimCheck: ['https://a.blob.core.windows.net/c'],"), "routes[0].claimCheck"},
		"round trip":         {edit("exports:\n  - {name: x, environment: prod, activity: 3fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11, queue: IN}\n"), "exports[0].queue"},
		"larger than inline": {edit("exports:\n  - {name: x, environment: prod, activity: 3fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11, queue: out, maxInline: 1MB}\n"), "exports[0].maxInline"},
	} {
		t.Run(name, func(t *testing.T) {
			c := parse(t, row.text)
			for _, w := range c.Warnings {
				if w.Path == row.path && w.Line > 0 && w.Fix != "" {
					return
				}
			}
			t.Errorf("no warning at %s among %v", row.path, c.Warnings)
		})
	}
	if w := parse(t, minimal).Warnings; len(w) > 0 {
		t.Errorf("warnings about nothing: %v", w)
	}
}

// A short deadline or few sessions alone are no contradiction: what the file leaves alone gives way.
func TestDefaultsGiveWay(t *testing.T) {
	c := parse(t, edit("sessions: 3\n", route, route+" deadline: 1m,", "{env: CONN}", "{env: CONN}, lock: 30s"))
	r := c.Routes[0].Retry
	if r.Total != time.Minute || r.Attempts != 6 { // 1 + 2 + 4 + 8 + 16 s
		t.Errorf("retry %+v", r)
	}
	if c.Accepts != 3 {
		t.Errorf("accepts %d", c.Accepts)
	}
	if got := c.Environments[0].Timeout; got != 12*time.Second { // 15 s less a tenth of the lock
		t.Errorf("timeout %s", got)
	}
}

func TestRouteIsTheFirstThatMatches(t *testing.T) {
	c := parse(t, edit(`  - {name: b, environment: prod, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12, match: {entity: Vendors}}
  - {name: rest, environment: prod, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c13, match: {source: in}}
`, route, "name: a, match: {entity: Vendors, company: usmf},"))
	for _, row := range []struct{ source, entity, company, want string }{
		{"in", "vendors", "USMF", "a"},
		{"in", "Vendors", "dat", "b"},
		{"in", "Vendors", "", "b"},
		{"in", "Customers", "usmf", "rest"},
		{"other", "Customers", "usmf", ""},
	} {
		got := ""
		if r := c.Route(row.source, row.entity, row.company); r != nil {
			got = r.Name
		}
		if got != row.want {
			t.Errorf("%+v: route %q", row, got)
		}
	}
}

func TestCompanyWithASlashCannotNameASession(t *testing.T) {
	if _, err := Parse("bridge.yaml", []byte(edit("", route, route+" company: a/b,")), env); err == nil {
		t.Error("a company with a slash was taken: company/entity would be read wrongly")
	}
}

func TestUnknownKeysAreSentWhereTheyBelong(t *testing.T) {
	for key, want := range map[string]string{
		"templte":    "write template",
		"timeout":    "it belongs into environments",
		"accepts":    "it belongs into the top level of the file",
		"multiplier": "it belongs into routes.retry",
		"xyzzy":      "write one of name, match",
	} {
		_, err := Parse("bridge.yaml", []byte(edit("", route, route+" "+key+": 1,")), env)
		if err == nil || !strings.Contains(err.Error(), "routes[0]."+key+": unknown key; "+want) {
			t.Errorf("%s: %v\nwant %s", key, err, want)
		}
	}
}
