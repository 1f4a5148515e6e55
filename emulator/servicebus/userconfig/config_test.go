package userconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fnobridge/emulator/servicebus/entity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFullFile(t *testing.T) {
	got, err := Load("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	first := entity.NewQueue("queue.1")
	first.DefaultMessageTimeToLive, first.DuplicateDetectionHistoryTimeWindow, first.MaxDeliveryCount = time.Hour,
		20*time.Second, 3
	sessions := entity.NewQueue("sessions")
	sessions.DeadLetteringOnMessageExpiration, sessions.DefaultMessageTimeToLive = true, 24*time.Hour
	sessions.DuplicateDetectionHistoryTimeWindow, sessions.ForwardDeadLetteredMessagesTo = 5*time.Second, "queue.1"
	sessions.LockDuration, sessions.MaxDeliveryCount, sessions.RequiresDuplicateDetection, sessions.RequiresSession =
		5*time.Minute, 10, true, true
	sessions.MaxSizeInMegabytes, sessions.MaxMessageSizeInKilobytes, sessions.AutoDeleteOnIdle = 2048, 1024, 10*time.Minute
	sessions.EnableBatchedOperations, sessions.EnablePartitioning, sessions.EnableExpress, sessions.SupportOrdering =
		false, true, true, false
	sessions.Status, sessions.UserMetadata = entity.ReceiveDisabled, "mine"
	bare := first
	bare.Name = "bare"

	topic := entity.NewTopic("topic.1")
	topic.DefaultMessageTimeToLive, topic.DuplicateDetectionHistoryTimeWindow, topic.RequiresDuplicateDetection =
		30*time.Minute, time.Minute, true
	one := entity.NewSubscription("sub.1")
	one.DeadLetteringOnMessageExpiration, one.DefaultMessageTimeToLive, one.LockDuration, one.MaxDeliveryCount = true,
		10*time.Minute, 2*time.Minute, 5
	one.ForwardDeadLetteredMessagesTo, one.ForwardTo = "Queue.1", "bare"
	one.Rules = []entity.RuleDescription{
		{Name: "by-properties", Filter: entity.CorrelationFilter{
			ContentType: new("application/text"), CorrelationID: new("id1"), Subject: new("subject1"), MessageID: new("msgid1"),
			ReplyTo: new("someQueue"), ReplyToSessionID: new("sessionId"), SessionID: new("session1"), To: new("xyz"),
			Properties: map[string]any{"prop1": "value1", "count": int64(3), "ratio": 1.5, "yes": true},
		}},
		{
			Name: "by-sql", Filter: entity.SQLFilter{Expression: "sys.MessageId = '123456' AND userProp1 = 'value1'"},
			Action: entity.SQLAction{Expression: "SET sys.To = 'Entity'"},
		},
	}
	two := entity.NewSubscription("sub.2")
	two.DefaultMessageTimeToLive, two.MaxDeliveryCount = time.Hour, 3
	topic.Subscriptions = []entity.SubscriptionDescription{one, two}

	want := Config{
		Namespace: entity.Namespace{
			Name: "sbemulatorns", Queues: []entity.QueueDescription{first, sessions, bare},
			Topics:             []entity.TopicDescription{topic},
			AuthorizationRules: []entity.AuthorizationRule{entity.RootRule()},
		},
		Logging: "File,Console",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOurAdditions(t *testing.T) {
	for _, where := range []string{
		`{"Faults": true, "UserConfig": {"Namespaces": [{"Name": "n", RULES}]}}`,
		`{"UserConfig": {"Faults": true, "Namespaces": [{"Name": "n", RULES}]}}`,
		`{"UserConfig": {"Namespaces": [{"Name": "n", "Faults": true, RULES}]}}`,
	} {
		got, err := Parse([]byte("\xef\xbb\xbf" + strings.Replace(where, "RULES",
			`"AuthorizationRules": [{"Name": "sender", "Key": "k", "Rights": ["Send"]}, {"Name": "all", "Key": "l",`+
				` "Rights": ["Send", "Listen", "Manage"]}]`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		want := Config{Faults: true, Namespace: entity.Namespace{Name: "n", AuthorizationRules: []entity.AuthorizationRule{
			{Name: "sender", Key: "k", Rights: []entity.Right{entity.Send}},
			{Name: "all", Key: "l", Rights: []entity.Right{entity.Send, entity.Listen, entity.Manage}},
		}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNamesAreComparedWithoutCase(t *testing.T) {
	got, err := Parse([]byte(`{"userconfig": {"namespaces": [{"name": "n", "queues": [{"NAME": "q",` +
		` "properties": {"requiresSession": true, "status": "disabled"}}]}], "logging": {"type": "file"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if q := got.Namespace.Queues[0]; q.Name != "q" || !q.RequiresSession || q.Status != entity.Disabled ||
		got.Logging != "File" {
		t.Errorf("%+v", got)
	}
}

// Each file in testdata/wrong has as its first line, after //, the errors that are expected of the rest, separated by
// |.
func TestEveryErrorHasItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, rest, _ := strings.Cut(string(data), "\n")
			var want []string
			for s := range strings.SplitSeq(strings.TrimPrefix(first, "//"), "|") {
				want = append(want, strings.TrimSpace(s))
			}
			_, err = Parse([]byte(rest))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file)
	if _, ok := errors.AsType[*Problem](err); !ok || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(file + ".no"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzParse checks that no file makes the parser panic, that every error has a place inside the file, and that what is
// accepted is a valid namespace.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile("testdata/full.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	files, err := filepath.Glob("testdata/wrong/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), "\n")
		f.Add([]byte(rest))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err == nil {
			if err := c.Namespace.Validate(); err != nil {
				t.Fatal(err)
			}
			return
		}
		all := []error{err}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all = joined.Unwrap()
		}
		lines := 1 + strings.Count(string(data), "\n")
		for _, err := range all {
			p, ok := errors.AsType[*Problem](err)
			if !ok || p.Reason == "" {
				t.Fatalf("%v is no problem with a reason", err)
			}
			if p.Line < 1 || p.Column < 1 || p.Line > lines {
				t.Errorf("%v in %d lines", err, lines)
			}
			if strings.Contains(p.Reason, "namespace \"") {
				t.Errorf("only the whole namespace was refused: %v", err)
			}
		}
	})
}
