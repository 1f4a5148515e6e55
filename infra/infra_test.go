// Package infra holds what runs the bridge in Azure. It has no code, only the tests that keep the deployment and the
// program from drifting apart: each is about a value that stands in two places.
package infra

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"fnobridge/internal/config"
	"fnobridge/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// found gives the one group of the one match of a pattern.
func found(t *testing.T, in, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindAllStringSubmatch(text(t, in), -1)
	if len(m) != 1 {
		t.Fatalf("%s: %d matches of %s, want 1", in, len(m), pattern)
	}
	return m[0][1]
}

func noVariable(string) (string, bool) { return "", false }

// load reads a configuration as the bridge would; what the bridge would warn of is an error here.
func load(t *testing.T, file, content string) *config.Config {
	t.Helper()
	c, err := config.Parse(file, []byte(content), noVariable)
	if err != nil {
		t.Fatalf("the bridge would not start:\n%v", err)
	}
	for _, w := range c.Warnings {
		t.Errorf("the bridge would warn: %v", w)
	}
	return c
}

// deployed gives bridge.yaml as main.bicep puts it into the container.
func deployed(t *testing.T) string {
	t.Helper()
	raw := text(t, "bicep/bridge.yaml")
	before := load(t, "bicep/bridge.yaml", raw)
	s := strings.ReplaceAll(raw, before.ServiceBus.Namespace, "sb-fno-prod-abc.servicebus.windows.net")
	return strings.ReplaceAll(s, before.ServiceBus.Identity.ClientID, "3f2504e0-4f89-41d3-9a0c-0305e82c3301")
}

func TestContainerAppRunsOnItsConfiguration(t *testing.T) {
	c := load(t, "bridge.yaml", deployed(t))
	if c.ServiceBus.Namespace != "sb-fno-prod-abc.servicebus.windows.net" {
		t.Errorf("namespace %s: main.bicep did not replace it", c.ServiceBus.Namespace)
	}
	for _, id := range []*config.Identity{c.ServiceBus.Identity, &c.Environments[0].Identity} {
		if id.Kind != config.IdentityManaged || id.ClientID != "3f2504e0-4f89-41d3-9a0c-0305e82c3301" {
			t.Errorf("identity %+v, want the worker's", *id)
		}
	}
	grace, err := strconv.Atoi(found(t, "bicep/modules/worker.bicep", `param terminationGracePeriodSeconds int = (\d+)`))
	if err != nil {
		t.Fatal(err)
	}
	stopsInTime(t, c, time.Duration(grace)*time.Second)
	if lock := found(t, "bicep/modules/service-bus.bicep", `param lockDuration string = '(\w+)'`); lock != iso(c.ServiceBus.Lock) {
		t.Errorf("the queues have lock %s, the bridge assumes %s", lock, iso(c.ServiceBus.Lock))
	}
	reachable(t, c)
}

// iso writes whole minutes as Azure does.
func iso(d time.Duration) string { return fmt.Sprintf("PT%dM", int(d.Minutes())) }

// stopsInTime checks that the grace for files and the flush of telemetry (five seconds) fit before SIGKILL.
func stopsInTime(t *testing.T, c *config.Config, kill time.Duration) {
	t.Helper()
	if c.Grace+10*time.Second > kill {
		t.Errorf("grace %s, killed after %s: too little in between", c.Grace, kill)
	}
}

// reachable checks that the probes, which come from outside the container, find somebody.
func reachable(t *testing.T, c *config.Config) {
	t.Helper()
	if !strings.HasPrefix(c.Listen, "0.0.0.0:") {
		t.Errorf("listens on %s, where no probe comes", c.Listen)
	}
}

// The names that main.bicep takes out of bridge.yaml are untyped there: a wrong one fails only when deploying.
func TestBicepNamesOnlyWhatIsInTheConfiguration(t *testing.T) {
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(text(t, "bicep/bridge.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	main := text(t, "bicep/main.bicep")
	paths := regexp.MustCompile(`\bbridge((?:\.[a-zA-Z]+)+)`).FindAllStringSubmatch(strings.ReplaceAll(main, "bridge.yaml", ""), -1)
	if len(paths) < 5 {
		t.Fatalf("%d uses of bridge.yaml in main.bicep; does it still load the file?", len(paths))
	}
	for _, p := range paths {
		var at any = doc
		for key := range strings.SplitSeq(p[1][1:], ".") {
			m, _ := at.(map[string]any)
			if at = m[key]; at == nil {
				t.Errorf("main.bicep uses bridge%s, which bridge.yaml does not have", p[1])
				break
			}
		}
	}
	for _, list := range []string{"sources", "exports"} {
		items, _ := doc[list].([]any)
		for i, item := range items {
			if m, _ := item.(map[string]any); m["queue"] == nil {
				t.Errorf("%s[%d] has no queue, which is what main.bicep makes of it", list, i)
			}
		}
	}
}

func TestEventsCanBeFilteredByWhatTheyCarry(t *testing.T) {
	known := map[status.Status]bool{
		status.DeadLettered: true, status.Held: true, status.UnknownOutcome: true, status.NeverEnds: true, status.Paused: true,
	}
	filter := found(t, "bicep/main.bicep", `filter: '(.+)'`)
	for word := range strings.SplitSeq(found(t, "bicep/main.bicep", `status IN \((.+)\)'`), ", ") {
		if s := strings.Trim(word, `\'`); !known[status.Status(s)] {
			t.Errorf("the filter %s waits for %q, which is no status", filter, s)
		}
	}
}

func TestParametersExist(t *testing.T) {
	var p struct{ Parameters map[string]any }
	if err := json.Unmarshal([]byte(text(t, "bicep/main.parameters.json")), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Parameters) == 0 {
		t.Error("no parameters")
	}
	main := text(t, "bicep/main.bicep")
	for name := range p.Parameters {
		if !strings.Contains(main, "\nparam "+name+" ") {
			t.Errorf("main.parameters.json sets %s, which main.bicep does not have", name)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)@description\('Required.*'\)\n(?:@.*\n)*param (\w+)`).FindAllStringSubmatch(main, -1) {
		if _, ok := p.Parameters[m[1]]; !ok {
			t.Errorf("main.parameters.json does not set %s, which is required", m[1])
		}
	}
}

func TestImageStartsWithTheMountedConfiguration(t *testing.T) {
	path := found(t, "../Dockerfile", `CMD \["run", "-c", "(.+)"\]`)
	mount := found(t, "bicep/modules/worker.bicep", `mountPath: '(.+)'`) + "/" + found(t, "bicep/modules/worker.bicep", `path: '([^/'\n]+)'`)
	if path != mount {
		t.Errorf("the image reads %s, Container Apps mounts %s", path, mount)
	}
	if aks := found(t, "aks/deployment.yaml", `name: configuration, mountPath: ([^,]+),`) + "/bridge.yaml"; path != aks {
		t.Errorf("the image reads %s, AKS mounts %s", path, aks)
	}
	if c := load(t, "bridge.yaml", deployed(t)); !strings.HasSuffix(c.Listen, ":"+found(t, "../Dockerfile", `EXPOSE (\d+)`)) {
		t.Errorf("the image exposes another port than %s", c.Listen)
	}
}

func TestAzdFindsItsFiles(t *testing.T) {
	var azd struct {
		Infra    struct{ Path, Module string }
		Services map[string]struct {
			Project string
			Docker  struct{ Path string }
		}
	}
	if err := yaml.Unmarshal([]byte(text(t, "../azure.yaml")), &azd); err != nil {
		t.Fatal(err)
	}
	files := []string{filepath.Join(azd.Infra.Path, azd.Infra.Module+".bicep"), filepath.Join(azd.Infra.Path, azd.Infra.Module+".parameters.json")}
	for name, s := range azd.Services {
		files = append(files, filepath.Join(s.Project, s.Docker.Path))
		if tag := found(t, "bicep/main.bicep", `'azd-service-name': '(\w+)'`); tag != name {
			t.Errorf("azd looks for service %s, the container app is tagged %s", name, tag)
		}
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join("..", f)); err != nil {
			t.Error(err)
		}
	}
}

func TestAKSRunsOnItsConfiguration(t *testing.T) {
	c := load(t, "aks/bridge.yaml", text(t, "aks/bridge.yaml"))
	var d struct {
		Spec struct {
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Ports []struct {
							ContainerPort int `yaml:"containerPort"`
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text(t, "aks/deployment.yaml")), &d); err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	stopsInTime(t, c, time.Duration(pod.Grace)*time.Second)
	reachable(t, c)
	if port := pod.Containers[0].Ports[0].ContainerPort; !strings.HasSuffix(c.Listen, fmt.Sprintf(":%d", port)) {
		t.Errorf("listens on %s, the probes go to port %d", c.Listen, port)
	}
	if queue := found(t, "aks/scaling.yaml", `queueName: (.+)`); queue != c.Sources[0].Queue {
		t.Errorf("KEDA counts %s, the bridge reads %s", queue, c.Sources[0].Queue)
	}
	var k struct{ Resources []string }
	if err := yaml.Unmarshal([]byte(text(t, "aks/kustomization.yaml")), &k); err != nil {
		t.Fatal(err)
	}
	for _, f := range k.Resources {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(text(t, "aks/"+f)), &doc); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
