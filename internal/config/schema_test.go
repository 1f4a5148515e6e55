package config

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
)

// check validates a YAML text against the schema.
func conforms(t *testing.T, text []byte) error {
	t.Helper()
	resolved, err := Schema().Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	js, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(js, &value); err != nil {
		t.Fatal(err)
	}
	return resolved.Validate(value)
}

func TestSchemaTakesWhatLoadTakes(t *testing.T) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, minimal)
	show, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"minimal": []byte(minimal), "full": full, "show": show} {
		if err := conforms(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaIsStrict(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":     edit("iddle: 1s\n"),
		"unknown deeper":  edit("", "{queue: in}", "{queeu: in}"),
		"wrong type":      edit("sessions: four\n"),
		"wrong word":      edit("", route, route+" order: any,"),
		"no unit":         edit("idle: 200\n"),
		"missing":         edit("", "name: all,", ""),
		"secret in file":  edit("", "{env: CONN}", "text"),
		"two secrets":     edit("", "{env: CONN}", "{env: CONN, file: f}"),
		"not a GUID":      edit("", "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11", "no-guid"),
		"size unit wrong": edit("", route, route+" maxSize: 12 Mega,"),
	} {
		if err := conforms(t, []byte(text)); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	js, err := SchemaJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(js) || !bytes.Contains(js, []byte(`"additionalProperties": false`)) {
		t.Error("not the JSON Schema it should be")
	}
	for path, p := range Schema().Properties {
		if p.Description == "" {
			t.Errorf("%s has no description", path)
		}
	}
}
