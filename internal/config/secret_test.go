package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	const value = "hunter2"
	c := parse(t, minimal)
	c.ServiceBus.ConnectionString = NewSecret(value)
	c.Environments[0].Identity.Secret = NewSecret(value)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", c, "secret", c.ServiceBus.ConnectionString, "value", *c.ServiceBus.ConnectionString)
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", c, "secret", c.ServiceBus.ConnectionString, "value", *c.ServiceBus.ConnectionString)
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	ya, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	show, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	s := c.ServiceBus.ConnectionString
	for what, text := range map[string]string{
		"json": string(js), "yaml": string(ya), "show": string(show), "log": log.String(),
		"%v": fmt.Sprintf("%v %v", s, *s), "%+v": fmt.Sprintf("%+v %+v", s, *s), "%#v": fmt.Sprintf("%#v %#v", s, *s),
		"%s": fmt.Sprintf("%s %s", s, *s), "%q": fmt.Sprintf("%q %q", s, *s), "%x": fmt.Sprintf("%x %x", s, *s),
		"config": fmt.Sprintf("%v %+v %#v", c.Environments[0], c.Environments[0], c.Environments[0]),
	} {
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
			t.Errorf("%s shows the secret: %s", what, text)
		}
	}
	if s.Value() != value || (*Secret)(nil).Value() != "" {
		t.Error("Value does not give the value")
	}
}

func TestProblemsDoNotRepeatWhatLooksLikeASecret(t *testing.T) {
	for _, text := range []string{
		edit("", "{env: CONN}", secretValue),
		edit("", "{env: CONN}", "{env: '"+secretValue+"'}"),
		edit("", "{env: CONN}", "{file: '"+secretValue+"'}"),
		edit("", "https://contoso.operations.dynamics.com", "https://user:c2VjcmV0@contoso.operations.dynamics.com"),
		edit("", "environment: prod", "environment: '"+secretValue+"'"),
		edit("", route, route+" claimCheck: ['https://a.blob.core.windows.net/c?sv=1&sig=c2VjcmV0'],"),
		edit("listen: '" + secretValue + "'\n"),
	} {
		_, err := Parse("bridge.yaml", []byte(text), env)
		if err == nil {
			t.Errorf("no problem:\n%s", text)
		} else if strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("the problem repeats the secret: %s", err)
		}
	}
}
