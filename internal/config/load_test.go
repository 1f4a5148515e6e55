package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the golden files")

// minimal is the smallest configuration that runs; %s stands for more top-level keys.
const minimal = `
serviceBus: {connectionString: {env: CONN}}
sources: [{queue: in}]
status: {topic: events}
environments:
  - {name: prod, url: https://contoso.operations.dynamics.com, identity: {kind: managedIdentity}}
routes:
  - {name: all, environment: prod, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11}
`

const secretValue = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0"

func env(name string) (string, bool) {
	switch name {
	case "CONN":
		return secretValue, true
	case "SECRET":
		return "hunter2", true
	case "EMPTY":
		return " ", true
	}
	return "", false
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("bridge.yaml", []byte(text), env)
	if err != nil {
		t.Fatalf("unexpected problems:\n%s", err)
	}
	return c
}

func TestEveryProblemAtOnceWithItsPlace(t *testing.T) {
	for _, name := range []string{"twenty", "syntax", "anchors"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".yaml")
			_, err := Load(file, env)
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("Load gave %v, want Problems", err)
			}
			golden := filepath.Join("testdata", name+".golden")
			got := problems.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if name == "twenty" && len(problems) < 40 {
				t.Errorf("%d problems, want all of the 40 and more", len(problems))
			}
		})
	}
}

func TestMissingKeysMeanTheirDefaults(t *testing.T) {
	got := parse(t, minimal)
	want := Default()
	want.File = "bridge.yaml"
	want.ServiceBus.ConnectionString = &Secret{Env: "CONN", value: secretValue}
	want.Sources = []Source{{Queue: "in"}}
	want.Status.Topic = "events"
	e := Environment{}
	e.setDefaults()
	e.Name, e.URL, e.Identity.Kind = "prod", "https://contoso.operations.dynamics.com", IdentityManaged
	want.Environments = []Environment{e}
	r := Route{}
	r.setDefaults()
	r.Name, r.Environment, r.Activity = "all", "prod", "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	want.Routes = []Route{r}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	defaults := map[string]any{
		"sessions": 64, "accepts": 8, "idle": 200 * time.Millisecond, "grace": 25 * time.Second, "lock": 5 * time.Minute,
		"retry.total": 30 * time.Minute, "maxSize": int64(28_000_000), "timeout": time.Minute,
	}
	now := map[string]any{
		"sessions": got.Sessions, "accepts": got.Accepts, "idle": time.Duration(got.Idle), "grace": time.Duration(got.Grace),
		"lock": time.Duration(got.ServiceBus.Lock), "retry.total": time.Duration(r.Retry.Total), "maxSize": int64(r.MaxSize),
		"timeout": time.Duration(e.Timeout),
	}
	if diff := cmp.Diff(defaults, now); diff != "" {
		t.Errorf("a default changed: old files would mean something else:\n%s", diff)
	}
}

func TestEmptyFileNamesWhatIsMissing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}\n", "null\n"} {
		_, err := Parse("bridge.yaml", []byte(text), env)
		if err == nil || !strings.Contains(err.Error(), "serviceBus") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAnchorsAndMergeKeysShareSettings(t *testing.T) {
	c := parse(t, strings.Replace(minimal, "routes:\n  - {", "routes:\n  - &base {match: {entity: A}, deadline: 1h, ", 1)+
		"  - {<<: *base, name: b, match: {entity: B}, deadline: 2h}\n  - {<<: [*base], name: c, match: {entity: C}}\n")
	if c.Routes[1].Deadline != 2*time.Hour || c.Routes[2].Deadline != time.Hour || c.Routes[2].Match.Entity != "C" {
		t.Errorf("merged routes: %+v", c.Routes)
	}
	if c.Routes[1].Activity != c.Routes[0].Activity {
		t.Error("the activity was not merged")
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("conn.txt", secretValue+"\r\n")
	write("t.zip", "PK")
	write("bridge.yaml", strings.NewReplacer("{env: CONN}", "{file: conn.txt}", "name: all,", "name: all, format: package, template: t.zip,").Replace(minimal))
	c, err := Load(filepath.Join(dir, "bridge.yaml"), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ServiceBus.ConnectionString.Value(); got != secretValue {
		t.Errorf("secret from file: %q", got)
	}
	if got, want := c.Routes[0].Template, filepath.Join(dir, "t.zip"); got != want {
		t.Errorf("template %q, want %q", got, want)
	}
}

func TestUnreadableFileIsNoProblemOfItsContent(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), env)
	if _, ok := errors.AsType[Problems](err); ok || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestExamplesLoad(t *testing.T) {
	anything := func(name string) (string, bool) {
		if strings.Contains(name, "CONNECTION") {
			return secretValue, true
		}
		return "value", true
	}
	found := false
	err := filepath.WalkDir("../../examples", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(data), "environments:") {
			return nil // not a bridge.yaml
		}
		found = true
		if _, err := Load(path, anything); err != nil {
			t.Errorf("%s", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Error("there are no examples")
	}
}

func TestShowCanBeLoadedAgain(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"t.zip", "cert.pem", "ca.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "bridge.yaml")
	first, err := Parse(file, text, env)
	if err != nil {
		t.Fatal(err)
	}
	out, err := first.Show()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "hunter2") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	if !strings.Contains(string(out), "[set]") {
		t.Errorf("it is not shown that the secrets are set:\n%s", out)
	}
	second, err := Parse(file, out, env)
	if err != nil {
		t.Fatalf("%s\n%s", err, out)
	}
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(Secret{}), cmpopts.IgnoreFields(Config{}, "Warnings")); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
}
