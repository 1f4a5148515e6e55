package config

import (
	"fmt"
	"strings"
)

// maxStandardInline is the largest message of the Standard tier with some room for its properties. Source: Microsoft
// Learn, Service Bus quotas: 256 KB, header counted.
const maxStandardInline = 250 * KB

func (d *decoder) checkExport(c *Config, i int) {
	e, at := &c.Exports[i], fmt.Sprintf("exports[%d]", i)
	for j := range i {
		if e.Name != "" && c.Exports[j].Name == e.Name && d.good(at+".name") {
			d.fault(at+".name", "give each export its own name", "export %d has the name %s already", j+1, quote(e.Name))
			break
		}
	}
	d.environment(c, e.Environment, at+".environment")
	if d.good(at+".maxInline") && e.MaxInline > maxStandardInline {
		d.worry(at+".maxInline", "write 200KB, unless the namespace is Premium", "%s is more than a message of the Standard tier holds, 256 KB with its properties", e.MaxInline)
	}
	if d.good(at+".queue", "sources") {
		for _, s := range c.Sources {
			if strings.EqualFold(s.Queue, e.Queue) && e.Queue != "" {
				d.worry(at+".queue", "use another queue, unless files are to go from one environment to the other", "%s is a source too: what is exported is imported again", quote(e.Queue))
			}
		}
	}
}

// checkActivities finds recurring data jobs that are named as an import and as an export, or as two exports: a job is
// one of the two, and two readers of one job take each other's files.
func (d *decoder) checkActivities(c *Config) {
	type job struct{ environment, activity string }
	users := map[job]string{}
	of := func(environment, activity string) job { return job{environment, strings.ToLower(activity)} }
	for i, r := range c.Routes {
		if d.good(fmt.Sprintf("routes[%d].activity", i)) && r.Activity != "" {
			users[of(r.Environment, r.Activity)] = label("route", r.Name, i)
		}
	}
	for i, e := range c.Exports {
		at := fmt.Sprintf("exports[%d].activity", i)
		if !d.good(at) || e.Activity == "" {
			continue
		}
		j := of(e.Environment, e.Activity)
		if user, ok := users[j]; ok {
			d.fault(at, "write the ID of this export's own recurring data job", "%s uses the same recurring data job", user)
		}
		users[j] = label("export", e.Name, i)
	}
}
