package dynamics

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const scenario = `{
	"importTime": "3s", "pickUp": "1s", "companies": ["USMF"], "spelling": {"Processing": "InProcess"},
	"jobs": [
		{"id": "` + groupsJob + `", "project": "Groups", "kind": "file", "entities": ["Customer groups"], "inOrder": true},
		{"id": "` + packageJob + `", "kind": "package"},
		{"id": "` + exportJob + `", "export": true}],
	"entities": [{"label": "Customer groups", "key": "ID", "fields": [
		{"name": "ID", "required": true, "max": 3}, {"name": "FROM", "type": "date"}, {"name": "LIMIT", "type": "number"},
		{"name": "TEXT", "type": "text"}]}],
	"faults": [{"why": "to see", "operation": "enqueue", "act": "answer", "status": 503, "times": 1}],
	"exports": [{"activity": "` + exportJob + `", "file": "out/a.zip"}]
}`

func TestScenario(t *testing.T) {
	sc, err := ReadScenario(strings.NewReader(scenario))
	if err != nil {
		t.Fatal(err)
	}
	clock := NewFake(start)
	b := begin(t, func(o *Options) {
		*o = sc.Options()
		o.Clock = clock
	})
	b.clock = clock
	armed, err := sc.Play(b.Server, fstest.MapFS{"out/a.zip": {Data: []byte("zip")}})
	if err != nil {
		t.Fatal(err)
	}
	if r := b.do("POST", enqueuePath(groupsJob, "Customer groups"), "ID\n1\n"); r.code != 503 || armed[0].Fired() != 1 ||
		sc.Faults[0].Why != "to see" {
		t.Errorf("%d, fault fired %d times, why %q", r.code, armed[0].Fired(), sc.Faults[0].Why)
	}
	if e := b.Exports(); len(e) != 1 || e[0].Size != 3 {
		t.Errorf("exports %+v", e)
	}
	id := b.enqueue(groupsJob, "Customer groups", "ID,FROM,LIMIT\n1,soon,many\n")
	b.clock.Advance(3 * time.Second)
	if got := b.status(id); got != "InProcess" {
		t.Errorf("%s while it runs", got)
	}
	b.clock.Advance(time.Second)
	if i := b.import1(id); i.Status != "ProcessedWithErrors" || len(i.Errors) != 2 {
		t.Errorf("%s, errors %+v; want the date and the number refused", i.Status, i.Errors)
	}
	if !b.jobs[b.imports.byMessage(id).job.id].InOrder || b.imports.byMessage(id).job.Project != "Groups" {
		t.Error("the job is not as the scenario has it")
	}
}

func TestScenarioRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":   `{"job": []}`,
		"unknown kind":  `{"jobs": [{"kind": "folder"}]}`,
		"unknown type":  `{"entities": [{"fields": [{"type": "color"}]}]}`,
		"unknown act":   `{"faults": [{"operation": "ack", "act": "dance"}]}`,
		"wrong time":    `{"importTime": "soon"}`,
		"no JSON":       `jobs:`,
		"fault unnamed": `{"faults": [{"why": "?"}]}`,
	} {
		if _, err := ReadScenario(strings.NewReader(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	b := begin(t, nil)
	for name, o := range map[string]Offer{"no file": {exportJob, "none"}, "no job": {groupsJob, "f"}} {
		if _, err := (Scenario{Exports: []Offer{o}}).Play(b.Server, fstest.MapFS{"f": {}}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := (Scenario{Faults: []Planned{{}}}).Play(b.Server, nil); err == nil {
		t.Error("an empty fault was armed")
	}
}
