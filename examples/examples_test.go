package examples

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/dynamics/dynamicstest"
	"fnobridge/internal/config"
	"fnobridge/internal/payload"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T) (*config.Config, fno.Scenario) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, FS); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, Config), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(FS, Scenario)
	if err != nil {
		t.Fatal(err)
	}
	scenario, err := fno.ReadScenario(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg, scenario
}

func TestThereIsEnoughToSee(t *testing.T) {
	files, kinds, entities := 0, map[string]bool{}, map[string]bool{}
	for _, l := range Lanes() {
		list, err := l.Files()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(list, func(a, b File) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s: the files are not in the order of their names", l.Folder)
		}
		for _, f := range list {
			kinds[filepath.Ext(f.Name)] = true
		}
		files += len(list)
		entities[l.Entity] = true
	}
	if files < 40 || len(entities) < 6 {
		t.Errorf("%d files of %d entities", files, len(entities))
	}
	for _, kind := range []string{".csv", ".xml", ".zip"} {
		if !kinds[kind] {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}
	folders, err := fs.ReadDir(FS, "data")
	if err != nil || len(folders) != len(Lanes()) {
		t.Errorf("%d folders and %d lanes (%v)", len(folders), len(Lanes()), err)
	}
}

// Every lane has a route, and the job of the route is the right one for it.
func TestRoutesFitTheScenario(t *testing.T) {
	cfg, scenario := load(t)
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	used := map[string]bool{}
	job := func(activity string) fno.Job {
		t.Helper()
		i := slices.IndexFunc(scenario.Jobs, func(j fno.Job) bool { return j.ID == activity })
		if i < 0 {
			t.Fatalf("no job %s", activity)
		}
		used[activity] = true
		return scenario.Jobs[i]
	}
	for _, l := range Lanes() {
		r := cfg.Route(cfg.Sources[0].Name(), l.Entity, l.Company)
		if r == nil {
			t.Fatalf("no route for %s", l.Session())
		}
		j := job(r.Activity)
		if !slices.Contains(j.Entities, l.Entity) || (j.Kind == fno.Package) != (r.Format == config.FormatPackage) ||
			j.InOrder != (r.Order == config.OrderEnqueued) || j.CompanyFromMessage != (l.Company != "" && r.Company == "") {
			t.Errorf("%s: route %+v, job %+v", l.Session(), r, j)
		}
	}
	for _, x := range cfg.Exports {
		if !job(x.Activity).Export {
			t.Errorf("export %s: its job imports", x.Name)
		}
	}
	if len(used) != len(scenario.Jobs) || len(cfg.Routes) != len(Lanes()) || len(cfg.Exports) != 2 {
		t.Errorf("%d of %d jobs used, %d routes for %d lanes, %d exports", len(used), len(scenario.Jobs), len(cfg.Routes), len(Lanes()), len(cfg.Exports))
	}
}

// What the issue of the demo asks to be seen.
func TestScenarioHasItsTroubles(t *testing.T) {
	cfg, scenario := load(t)
	labels := map[string]int{}
	for _, l := range Lanes() {
		files, err := l.Files()
		if err != nil {
			t.Fatal(err)
		}
		labels[l.Entity] = len(files)
	}
	seen := map[string]bool{}
	for _, f := range scenario.Faults {
		if f.Why == "" || f.Times == 0 {
			t.Errorf("%+v: a fault of the demo has a reason and an end", f)
		}
		if f.Entity != "" && labels[f.Entity] == 0 {
			t.Errorf("%+v: there are no files of %q", f, f.Entity)
		}
		if f.Operation == fno.Enqueue && f.Skip >= labels[f.Entity] {
			t.Errorf("%+v: never comes to pass with %d files", f, labels[f.Entity])
		}
		switch {
		case f.Act == fno.Refuse && f.Status == 500: // before the body: after it nobody knows whether F&O has the file
			seen["500"] = true
		case f.Act == fno.Answer && f.Status == 429 && f.RetryAfter > 0:
			seen["429"] = true
		case f.Act == fno.ResetBefore:
			seen["before"] = true
		case f.Act == fno.ResetAfter:
			r := cfg.Route(cfg.Sources[0].Name(), f.Entity, "")
			seen["after"] = r != nil && r.UnknownOutcome == config.UnknownDeadLetter
		}
	}
	for _, want := range []string{"500", "429", "before", "after"} {
		if !seen[want] {
			t.Errorf("the scenario lacks: %s", want)
		}
	}
}

// Every file is what it claims to be: F&O imports all but one, and says of that one which record and which field.
func TestEveryFileButOneIsImported(t *testing.T) {
	cfg, scenario := load(t)
	clock := fno.NewFake(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	server := dynamicstest.New(t, func(o *fno.Options) {
		*o = scenario.Options()
		o.Clock = clock
	})
	scenario.Faults = nil // the files are in question here
	if _, err := scenario.Play(server.Server, FS); err != nil {
		t.Fatal(err)
	}
	if n := len(server.Exports()); n != 2 {
		t.Errorf("%d exports offered, want 2", n)
	}
	client := server.AuthorizedClient("test")
	opener := payload.NewOpener(payload.Options{})
	var names []string
	for _, l := range Lanes() {
		r := cfg.Route(cfg.Sources[0].Name(), l.Entity, l.Company)
		files, err := l.Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			p, err := opener.Open(t.Context(), payload.Source{Body: f.Body, FileName: f.Name, Entity: l.Entity},
				payload.Rule{Package: r.Format == config.FormatPackage, Template: r.Template, MaxSize: int64(r.MaxSize)})
			if err != nil {
				t.Fatalf("%s/%s: %v", l.Folder, f.Name, err)
			}
			body, err := p.Reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/api/connector/enqueue/"+r.Activity+
				"?entity="+strings.ReplaceAll(url.QueryEscape(l.Entity), "+", "%20")+"&company="+l.Company, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s/%s: %d %s (%v)", l.Folder, f.Name, resp.StatusCode, answer, err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			names = append(names, l.Folder+"/"+f.Name)
			clock.Advance(time.Minute)
		}
	}
	for n, i := range server.Imports() {
		if names[n] == "Warehouses/003-storage.csv" {
			if i.Status != "ProcessedWithErrors" || len(i.Errors) != 1 {
				t.Fatalf("%s: %s, %+v", names[n], i.Status, i.Errors)
			}
			if e := i.Errors[0]; e.Field != "OPERATIONALSITEID" || e.RecordID != "2" || !strings.Contains(e.ErrorMessage, "'13'") {
				t.Errorf("%s: %+v", names[n], e)
			}
			continue
		}
		if i.Status != "Processed" || i.Records == 0 {
			t.Errorf("%s: %s with %d records: %s %v", names[n], i.Status, i.Records, i.Detail, i.Errors)
		}
	}
}
