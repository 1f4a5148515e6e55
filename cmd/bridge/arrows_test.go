package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "fnobridge/"
	emulator = "emulator"

	testBroker = "internal/bus/bustest" // Service Bus in a test's own process
)

// rules are the imports that may not be: from and to are packages or folders of packages, but those that are excepted.
var rules = []struct {
	from, to string
	but      []string // of from: who may all the same
	except   []string // of to
	why      string
}{
	{from: "internal", to: emulator, but: []string{testBroker}, why: "production code never knows that there are emulators"},
	{from: testBroker, to: emulator + "/dynamics", why: "it is Service Bus, and nothing else"},
	{from: "internal", to: testBroker, why: "it is for tests only"},
	{from: "cmd", to: testBroker, why: "it is for tests only"},
	{from: "examples", to: testBroker, why: "it is for tests only"},
	{from: emulator, to: "internal", why: "an emulator that shares code with the client shares its mistakes"},
	{from: emulator, to: "cmd", why: "the emulators stand for themselves"},
	{from: emulator, to: "examples", why: "the emulators stand for themselves"},
	{from: "internal", to: "cmd", why: "arrows point from the command line to the packages"},
	{from: "internal", to: "examples", why: "the examples are what the demo sends, not what the packages know"},
	{from: "internal", to: "internal/config", why: "packages take plain options; cmd/bridge turns the configuration into them"},
	{from: "internal/inbound", to: "internal/outbound", why: "the directions know nothing of each other"},
	{from: "internal/outbound", to: "internal/inbound", why: "the directions know nothing of each other"},
	{
		from: "internal/deadletter", to: "internal",
		except: []string{
			"internal/bus", "internal/contract", "internal/failure", "internal/lease", "internal/ledger", "internal/letter",
			"internal/redact", "internal/retry",
		},
		why: "the replay reads what the lane wrote, in the ledger and in the letter, and knows no lane",
	},
	{from: "internal/admission", to: "internal", except: []string{"internal/failure"}, why: "who may do what knows nothing of what is done"},
	{from: "internal/ledger", to: "internal", except: []string{"internal/failure", "internal/status"}, why: "the ledger is state, not work"},
	{
		from: "internal/dynamics", to: "internal",
		except: []string{"internal/failure", "internal/admission", "internal/status", "internal/retry", "internal/origin"},
		why:    "the client of F&O serves any program; what F&O's statuses mean stands in one table",
	},
	{
		from: "internal/payload", to: "internal", except: []string{"internal/failure", "internal/retry", "internal/origin"},
		why: "the opener of payloads serves any program",
	},
	{
		from: "internal/bus", to: "internal", except: []string{"internal/failure", "internal/contract", "internal/bus"},
		why: "the adapter of Service Bus serves any program; what a queue or a subscription is stands once",
	},
	{from: "internal/lease", to: "internal", except: []string{"internal/retry"}, why: "the lease serves any lock"},
	{
		from: "internal/config", to: "internal", except: []string{"internal/contract", "internal/origin"},
		why: "a leaf but for what may be an entity, a company, a source or an address",
	},
	{from: "internal/contract", to: "internal", except: []string{"internal/failure"}, why: "a leaf but for the rejections"},
	{from: "internal/redact", to: "internal", why: "a leaf"},
	{from: "internal/origin", to: "internal", why: "a leaf"},
	{from: "internal/failure", to: "internal", except: []string{"internal/redact"}, why: "a leaf but for the redactor"},
	{
		from: "internal/letter", to: "internal", except: []string{"internal/failure", "internal/redact"},
		why: "the lane writes it, the commands read it: it knows neither",
	},
	{from: "internal/retry", to: "internal", except: []string{"internal/failure"}, why: "a leaf but for the reasons"},
	{from: "internal/status", to: "internal", except: []string{"internal/failure"}, why: "a leaf but for the reasons"},
}

// forTests reports the packages of the standard library that only tests and packages for tests may import.
func forTests(pkg string) bool { return within(pkg, "testing") || pkg == "net/http/httptest" }

// forbidden returns every import that breaks a rule. arrows are import paths by importing package, without the module.
func forbidden(arrows map[string][]string) []string {
	var bad []string
	for _, from := range slices.Sorted(maps.Keys(arrows)) {
		for _, to := range arrows[from] {
			if forTests(to) && !strings.HasSuffix(from, "test") {
				bad = append(bad, fmt.Sprintf("%s imports %s: that is for packages named ...test", from, to))
			}
			for _, r := range rules {
				excepted := slices.ContainsFunc(r.except, func(e string) bool { return within(to, e) }) ||
					slices.ContainsFunc(r.but, func(e string) bool { return within(from, e) })
				if within(from, r.from) && within(to, r.to) && !excepted {
					bad = append(bad, fmt.Sprintf("%s imports %s: %s", from, to, r.why))
				}
			}
		}
	}
	return bad
}

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func TestImportArrows(t *testing.T) {
	arrows := map[string][]string{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		from := filepath.ToSlash(dir)
		for _, i := range file.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(name, module)
			if (ours || forTests(name)) && to != from && !slices.Contains(arrows[from], to) {
				arrows[from] = append(arrows[from], to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(arrows["cmd/bridge"], "internal/config") || !slices.Contains(arrows["internal/status"], "internal/failure") {
		t.Fatalf("the imports were not found: %v", arrows)
	}
	for _, bad := range forbidden(arrows) {
		t.Error(bad)
	}
}

// The rules see what they are there for.
func TestImportArrowsCanFail(t *testing.T) {
	for from, to := range map[string]string{
		"internal/inbound":            "internal/outbound",
		"internal/outbound":           "internal/inbound",
		"internal/deadletter":         "internal/inbound",
		"internal/telemetry":          "emulator/servicebus/broker",
		"emulator/dynamics":           "internal/dynamics",
		"emulator/servicebus/usercfg": "internal/config",
		"internal/failure":            "internal/status",
		"internal/status":             "internal/telemetry",
		"internal/payload":            "internal/config",
		"internal/contract":           "internal/inbound",
		"internal/retry":              "internal/inbound",
		"internal/letter":             "internal/deadletter",
		"internal/redact":             "internal/failure",
		"internal/bus":                "cmd/bridge",
		"emulator/storage":            "net/http/httptest",
		"emulator/servicebus":         "testing",
		"internal/history":            "internal/bus/bustest",
		"cmd/bridge":                  "internal/bus/bustest",
		"internal/bus/bustest":        "emulator/dynamics",
	} {
		if len(forbidden(map[string][]string{from: {to}})) == 0 {
			t.Errorf("%s may import %s", from, to)
		}
	}
	for from, to := range map[string]string{
		"cmd/bridge":                "emulator/dynamics",
		"internal/inbound":          "internal/deadletter",
		"emulator/servicebus":       "emulator/servicebus/broker",
		"internal/dynamics":         "internal/status",
		"internal/status":           "internal/failure",
		"emulator/servicebus/atom":  "emulator/servicebus/rules",
		"internal/outbound":         "internal/telemetry",
		"emulator/servicebus/rules": "emulator/servicebus/entity",

		"emulator/servicebus/servicebustest": "testing",
		"internal/bus/bustest":               "emulator/servicebus/broker",
	} {
		if bad := forbidden(map[string][]string{from: {to}}); len(bad) > 0 {
			t.Error(bad)
		}
	}
}
