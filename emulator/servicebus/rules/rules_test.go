package rules

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func sample() *Message {
	return &Message{
		Properties: amqp.Properties{
			MessageID: "m-1", CorrelationID: amqp.UUID{15: 7}, Subject: new("bus stop"), To: new("berlin"),
			ContentType: new("text/plain"), GroupID: new("s"), ReplyTo: new("r"), ReplyToGroupID: new("rs"),
		},
		Application: amqp.Map{
			{Key: "color", Value: "red"},
			{Key: "Count", Value: int32(5)},
			{Key: amqp.Symbol("big"), Value: uint64(1 << 63)},
			{Key: "price", Value: float32(2.5)},
			{Key: "flag", Value: true},
			{Key: "empty", Value: nil},
			{Key: "when", Value: amqp.TimestampOf(noon)},
			{Key: "has space", Value: "x"},
			{Key: "a]b", Value: "y"},
			{Key: "naïve", Value: "z"},
			{Key: "rate", Value: "50%_ok"},
			{Key: "raw", Value: []byte{1}},
			{Key: "id", Value: amqp.UUID{1}},
		},
		TimeToLive: time.Hour, EnqueuedTime: noon, SequenceNumber: 42, Size: 100,
	}
}

var parameters = map[string]any{
	"@text": "red", "@int": int64(5), "@float": 2.5, "@noon": noon, "@hour": time.Hour, "@null": nil, "@bool": true,
	"@int32": int32(5),
}

func filter(sql string) entity.RuleDescription {
	return entity.RuleDescription{Name: "r", Filter: entity.SQLFilter{Expression: sql, Parameters: parameters}}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want string // yes, no, unknown, or a part of the evaluation error
	}{
		// comparison
		{"color = 'red'", "yes"},
		{"COLOR = 'red'", "yes"},
		{"color = 'Red'", "no"},
		{"user.color <> 'blue'", "yes"},
		{"color != 'red'", "no"},
		{"color < 'ree' AND color >= 'red' AND color <= 'red' AND NOT color > 'red'", "yes"},
		{"count = 5", "yes"},
		{"count = 5.0", "yes"},
		{"count > 4.9 and count < 5.1", "yes"},
		{"big > 9223372036854775807.0", "no"},
		{"big >= 9223372036854775807", "yes"},
		{"price = 2.5", "yes"},
		{"price = @float", "yes"},
		{"count = @INT", "yes"},
		{"count = @int32", "yes"},
		{"flag = TRUE", "yes"},
		{"flag <> false", "yes"},
		{"when = @noon", "yes"},
		{"when < @noon", "no"},
		{"id = id AND id <> newid()", "yes"},
		{"color = 5", "cannot compare a text with an integer"},
		{"flag > FALSE", "a boolean has no order"},
		{"raw = 1", "cannot compare a value of type []uint8"},
		// unknown
		{"missing = 1", "unknown"},
		{"missing <> 1", "unknown"},
		{"empty = NULL", "unknown"},
		{"color = @null", "unknown"},
		{"missing + 1 = 2", "unknown"},
		{"-missing = 2", "unknown"},
		{"missing LIKE 'a'", "unknown"},
		{"color LIKE missing", "unknown"},
		{"color LIKE 'a' ESCAPE missing", "unknown"},
		{"missing IN (1)", "unknown"},
		{"missing NOT IN (1)", "unknown"},
		{"NOT missing = 1", "unknown"},
		{"missing = 1 AND color = 'red'", "unknown"},
		{"color = 'red' AND missing = 1", "unknown"},
		{"missing = 1 AND color = 'blue'", "no"},
		{"color = 'blue' AND missing = 1", "no"},
		{"missing = 1 OR color = 'red'", "yes"},
		{"color = 'red' OR missing = 1", "yes"},
		{"missing = 1 OR color = 'blue'", "unknown"},
		{"color = 'blue' OR missing = 1", "unknown"},
		// IS NULL, EXISTS
		{"missing IS NULL", "yes"},
		{"missing IS NOT NULL", "no"},
		{"empty IS NULL", "yes"},
		{"color IS NOT NULL", "yes"},
		{"property('missing') IS NULL", "yes"},
		{"sys.PartitionKey IS NULL", "yes"},
		{"EXISTS(color)", "yes"},
		{"exists(empty)", "yes"},
		{"NOT EXISTS(missing)", "yes"},
		{"EXISTS(sys.Label) AND NOT EXISTS(sys.PartitionKey)", "yes"},
		// IN
		{"color IN ('blue', 'red')", "yes"},
		{"color NOT IN ('blue', 'green')", "yes"},
		{"color NOT IN ('red')", "no"},
		{"color IN (1, missing, 'red')", "yes"},
		{"count IN (1, 5.0)", "yes"},
		{"color IN (1, missing)", "no"},
		// LIKE
		{"color LIKE 'r%'", "yes"},
		{"color LIKE 'r_d'", "yes"},
		{"color LIKE 'r_'", "no"},
		{"color LIKE '%'", "yes"},
		{"color LIKE ''", "no"},
		{"color LIKE 'RED'", "no"},
		{"color NOT LIKE '%e%'", "no"},
		{"sys.Label LIKE '%bus%'", "yes"},
		{"sys.Label LIKE 'b%s%s%p'", "yes"},
		{"sys.Label LIKE 'b%s%s%o'", "no"},
		{"naïve LIKE '_'", "yes"},
		{`rate LIKE '50\%%' ESCAPE '\'`, "yes"},
		{`color LIKE 'r\%' ESCAPE '\'`, "no"},
		{"rate LIKE '50%!_ok' ESCAPE '!'", "yes"},
		{"color LIKE 'redX' ESCAPE 'X'", "ends with its escape character"},
		{"color LIKE 'r' ESCAPE 'ab'", "one character"},
		{"color LIKE 'r' ESCAPE 1", "one character"},
		{"count LIKE '5'", "LIKE needs two texts"},
		// arithmetic and precedence
		{"1 + 2 * 3 = 7", "yes"},
		{"(1 + 2) * 3 = 9", "yes"},
		{"10 - 3 - 2 = 5", "yes"},
		{"7 / 2 = 3", "yes"},
		{"7 / 2.0 = 3.5", "yes"},
		{"-7 % 3 = -1", "yes"},
		{"7.5 % 2 = 1.5", "yes"},
		{"- -count = +5", "yes"},
		{"2E3 = 2000 AND 0.5E-2 = 0.005 AND 1.5e+1 = 15", "yes"},
		{"1 / 0 = 1", "division by zero"},
		{"1 % 0 = 1", "division by zero"},
		{"1 / 0.0 > 1", "yes"},
		{"0.0 / 0 = 0.0 / 0", "no"},
		{"0.0 / 0 <> 0.0 / 0", "yes"},
		{"color + '!' = 'red!'", "yes"},
		{"color + count = 'red5'", "yes"},
		{"color * 2 = 1", "cannot calculate a text * an integer"},
		{"-color = 1", "a sign needs a number"},
		{"color = 'blue' AND 1/0 = 1", "no"},
		{"color = 'red' OR 1/0 = 1", "yes"},
		{"color = 'blue' AND count = 1 OR flag = TRUE", "yes"},
		{"color = 'blue' AND (count = 1 OR flag = TRUE)", "no"},
		{"NOT color = 'blue' AND count = 5", "yes"},
		{"NOT (color = 'red' AND count = 5)", "no"},
		{"NOT NOT color = 'red'", "yes"},
		// names
		{"[has space] = 'x'", "yes"},
		{`"has space" = 'x'`, "yes"},
		{"user.[a]]b] = 'y'", "yes"},
		{"naïve = 'z'", "yes"},
		{"property('col' + 'or') = 'red'", "yes"},
		{"p('has space') = 'x'", "yes"},
		{"property(count) = 1", "property needs a text"},
		{"property(missing) = 1", "unknown"},
		{"sys = 1", "unknown"},
		{"property = 1", "unknown"},
		// system properties
		{"sys.Label = 'bus stop' AND sys.subject = 'bus stop' AND sys.To = 'berlin'", "yes"},
		{"sys.MessageId = 'm-1' AND sys.CorrelationId LIKE '%-000000000007'", "yes"},
		{"sys.ContentType = 'text/plain' AND sys.SessionId = 's' AND sys.ReplyTo = 'r' AND sys.ReplyToSessionId = 'rs'",
			"yes"},
		{"sys.SequenceNumber = 42 AND sys.Size < 101 AND sys.DeliveryCount = 0", "yes"},
		{"sys.TimeToLive = @hour AND sys.EnqueuedTimeUtc = @noon AND sys.ExpiresAtUtc > @noon", "yes"},
		{"sys.ScheduledEnqueueTimeUtc IS NULL", "yes"},
		{"[sys].[Label] IS NULL", "scope"}, // a syntax error
		{"user.Label IS NULL", "yes"},
		// parameters
		{"color = @text AND flag = @bool", "yes"},
		{"'it''s' = 'it''s'", "yes"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			condition, err := parseFilter(c.sql, parameters)
			var got truth
			if err == nil {
				got, err = condition.test(sample())
			}
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got error %v, want %s", err, c.want)
				}
				return
			}
			if want := map[string]truth{"yes": yes, "no": no, "unknown": unknown}; c.want != "yes" && c.want != "no" &&
				c.want != "unknown" || got != want[c.want] {
				t.Errorf("got %d, want %s", got, c.want)
			}
		})
	}
}

func TestSyntaxErrorsHaveAPlace(t *testing.T) {
	for _, c := range []struct {
		sql    string
		column int
		reason string
	}{
		{"color", 1, "a condition expected"},
		{"(color)", 1, "a condition expected"},
		{"TRUE", 1, "a condition expected"},
		{"color =", 8, "a value expected, found the end"},
		{"color = 'red", 9, "the closing ' is missing"},
		{"color = red blue", 13, "the end expected"},
		{"a = 1 AND b", 11, "a condition expected"},
		{"a AND b = 1", 1, "a condition expected"},
		{"NOT a", 5, "a condition expected"},
		{"(a = 1) + 1 = 2", 1, "a value expected"},
		{"1 + (a = 1) = 2", 5, "a value expected"},
		{"(a = 1) = TRUE", 1, "a value expected"},
		{"a = (b = 1)", 5, "a value expected"},
		{"a IN 1", 6, "( expected"},
		{"a IN (1", 8, ") expected"},
		{"a IN ()", 7, "a value expected"},
		{"a NOT 1", 7, "IN or LIKE expected"},
		{"a IS 1", 6, "NULL expected"},
		{"1 IS NULL", 1, "only a property"},
		{"EXISTS(1)", 8, "a property expected"},
		{"EXISTS color", 8, "( expected"},
		{"a = @nope", 5, "there is no parameter @nope"},
		{"a = @", 5, "a parameter name is missing"},
		{"sys.Nope = 1", 5, `there is no system property "Nope"`},
		{"other.a = 1", 1, "the scope of a property must be sys or user"},
		{"f(1) = 1", 1, `there is no function "f"`},
		{"newid(1) = 1", 7, ") expected"},
		{"_a = 1", 1, "unexpected character '_'"},
		{"1a = 1", 2, "unexpected character 'a' in a number"},
		{"[] = 1", 1, "must not be empty"},
		{"é = 1 ? 2", 7, "unexpected character '?'"},
		{"a = 99999999999999999999", 5, "64 bits"},
		{"a = 1E999", 5, "out of range"},
		{strings.Repeat("(", 200) + "1=1", 102, "nest"},
		{strings.Repeat("NOT ", 200) + "1=1", 405, "nest"},
		{strings.Repeat("-", 200) + "1=1", 102, "nest"},
		{strings.Repeat("x", 1025), 1025, "at most 1024"},
		{"a = '\xff'", 1, "UTF-8"},
		{"a = 1;", 6, "the end expected"},
		{"AND = 1", 1, "a value expected"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			_, err := parseFilter(c.sql, parameters)
			syntax, ok := errors.AsType[*SyntaxError](err)
			if !ok || syntax.Column != c.column || !strings.Contains(syntax.Reason, c.reason) {
				t.Errorf("got %v, want column %d: ...%s...", err, c.column, c.reason)
			}
		})
	}
}

func TestActions(t *testing.T) {
	for _, c := range []struct {
		sql    string
		change func(*Message) // what the sample becomes
		err    string
	}{
		{sql: "SET color = 'blue'", change: func(m *Message) { m.Application[0].Value = "blue" }},
		{sql: "set COUNT = count + 1;", change: func(m *Message) { m.Application[1].Value = int32(6) }},
		{sql: "SET Count = 1.5", change: func(m *Message) { m.Application[1].Value = 1.5 }},
		{sql: "SET Count = 3000000000", change: func(m *Message) { m.Application[1].Value = int64(3000000000) }},
		{sql: "SET price = 3", change: func(m *Message) { m.Application[3].Value = float32(3) }},
		{sql: "SET big = 7", change: func(m *Message) { m.Application[2].Value = uint64(7) }},
		{sql: "SET color = NULL", change: func(m *Message) { m.Application[0].Value = nil }},
		{sql: "SET color = missing", change: func(m *Message) { m.Application[0].Value = nil }},
		{sql: "SET fresh = 1", change: func(m *Message) {
			m.Application = append(m.Application, amqp.Pair{Key: "fresh", Value: int64(1)})
		}},
		{sql: "SET [new one] = @noon", change: func(m *Message) {
			m.Application = append(m.Application, amqp.Pair{Key: "new one", Value: amqp.TimestampOf(noon)})
		}},
		{sql: "SET a = 1; SET b = a + 1", change: func(m *Message) {
			m.Application = append(m.Application, amqp.Pair{Key: "a", Value: int64(1)}, amqp.Pair{Key: "b", Value: int64(2)})
		}},
		{sql: "REMOVE color REMOVE missing", change: func(m *Message) { m.Application = m.Application[1:] }},
		{sql: "REMOVE user.[has space];", change: func(m *Message) {
			m.Application = append(m.Application[:7:7], m.Application[8:]...)
		}},
		{sql: "SET sys.Label = color + '!' SET sys.To = @null", change: func(m *Message) {
			m.Properties.Subject, m.Properties.To = new("red!"), nil
		}},
		{sql: "REMOVE sys.SessionId; REMOVE sys.CorrelationId", change: func(m *Message) {
			m.Properties.GroupID, m.Properties.CorrelationID = nil, nil
		}},
		{sql: "SET sys.MessageId = 7", change: func(m *Message) { m.Properties.MessageID = "7" }},
		{sql: "SET sys.TimeToLive = @hour", change: func(*Message) {}},
		{sql: "REMOVE sys.TimeToLive; SET sys.ScheduledEnqueueTimeUtc = @noon", change: func(m *Message) {
			m.TimeToLive, m.ScheduledEnqueueTime = 0, noon
		}},
		{sql: "SET sys.TimeToLive = 5", err: "sys.TimeToLive cannot be an integer"},
		{sql: "SET sys.Label = @noon", err: "sys.Label cannot be a time"},
		{sql: "SET color = 1/0", err: "division by zero"},
		{sql: "SET sys.SequenceNumber = 1", err: "column 5: the system property \"SequenceNumber\" cannot be changed"},
		{sql: "SET sys.Nope = 1", err: "column 9: there is no system property"},
		{sql: "SET color", err: "column 10: = expected"},
		{sql: "SET color = a = 1", err: "column 15: SET or REMOVE expected"},
		{sql: "SET color = (a = 1)", err: "column 13: a value expected"},
		{sql: ";", err: "column 1: SET or REMOVE expected"},
		{sql: "DELETE color", err: "column 1: SET or REMOVE expected"},
		{sql: "REMOVE 'x'", err: "column 8: a property expected"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			rule, err := Compile(entity.RuleDescription{Name: "r",
				Action: entity.SQLAction{Expression: c.sql, Parameters: parameters}})
			got, original := sample(), sample()
			changed := original.Clone()
			if err == nil {
				err = rule.Apply(changed)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, original); diff != "" {
				t.Errorf("the original changed with its clone:\n%s", diff)
			}
			c.change(got)
			if diff := cmp.Diff(got, changed); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewIDIsAVersion4GUIDEachTime(t *testing.T) {
	rule, err := Compile(entity.RuleDescription{Name: "r",
		Action: entity.SQLAction{Expression: "SET id = newid(); SET sys.MessageId = newid()"}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := &Message{}, &Message{}
	if err := errors.Join(rule.Apply(a), rule.Apply(b)); err != nil {
		t.Fatal(err)
	}
	x, y := a.Application[0].Value.(amqp.UUID), b.Application[0].Value.(amqp.UUID)
	if x == y || x[6]>>4 != 4 || x[8]>>6 != 2 {
		t.Errorf("got %v and %v", x, y)
	}
	if s, ok := a.Properties.MessageID.(string); !ok || len(s) != 36 {
		t.Errorf("message ID %v", a.Properties.MessageID)
	}
}

func TestCorrelation(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter entity.CorrelationFilter
		want   bool
	}{
		{"subject", entity.CorrelationFilter{Subject: new("bus stop")}, true},
		{"case matters", entity.CorrelationFilter{Subject: new("Bus stop")}, false},
		{"every system property", entity.CorrelationFilter{
			MessageID: new("m-1"), CorrelationID: new("00000000-0000-0000-0000-000000000007"), To: new("berlin"),
			ContentType: new("text/plain"), SessionID: new("s"), ReplyTo: new("r"), ReplyToSessionID: new("rs"),
		}, true},
		{"one differs", entity.CorrelationFilter{MessageID: new("m-1"), To: new("paris")}, false},
		{"application properties", entity.CorrelationFilter{Properties: map[string]any{"color": "red", "Count": int64(5),
			"price": 2.5, "flag": true, "when": noon}}, true},
		{"number against text", entity.CorrelationFilter{Properties: map[string]any{"color": int64(5)}}, false},
		{"missing property", entity.CorrelationFilter{Properties: map[string]any{"missing": "x"}}, false},
		{"null", entity.CorrelationFilter{Properties: map[string]any{"missing": nil, "empty": nil}}, true},
		{"null against a value", entity.CorrelationFilter{Properties: map[string]any{"color": nil}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule, err := Compile(entity.RuleDescription{Name: "r", Filter: c.filter})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := rule.Match(sample()); got != c.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestCompileRefusesWhatValidateRefuses(t *testing.T) {
	for _, d := range []entity.RuleDescription{
		{},
		{Name: "r", Filter: entity.CorrelationFilter{}},
		{Name: "r", Filter: entity.SQLFilter{}},
		{Name: "r", Action: entity.SQLAction{}},
	} {
		if _, err := Compile(d); len(entity.Problems(errors.Unwrap(err))) == 0 {
			t.Errorf("%+v: got %v", d, err)
		}
	}
}

func TestCopies(t *testing.T) {
	compile := func(name, sql, action string) *Rule {
		d := filter(sql)
		d.Name = name
		if action != "" {
			d.Action = entity.SQLAction{Expression: action}
		}
		r, err := Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	must := func(d entity.RuleDescription) *Rule {
		r, err := Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	everything := must(entity.RuleDescription{Name: "true"})
	for _, c := range []struct {
		name   string
		rules  []*Rule
		colors []any // of the copies
		fails  bool
	}{
		{"no rule", nil, nil, false},
		{"true", []*Rule{everything}, []any{"red"}, false},
		{"false", []*Rule{must(entity.RuleDescription{Name: "f", Filter: entity.FalseFilter{}})}, nil, false},
		{"unknown filter", []*Rule{must(entity.RuleDescription{Name: "u", Filter: entity.UnknownFilter{}})}, nil, false},
		{"two without action are one copy", []*Rule{everything, compile("a", "1=1", "")}, []any{"red"}, false},
		{"each action a copy", []*Rule{
			compile("a", "1=1", "SET color='a'"), everything, compile("b", "1=1", "SET color='b'"),
			compile("c", "1=0", "SET color='c'"),
		}, []any{"a", "red", "b"}, false},
		{"unknown action is a copy", []*Rule{must(entity.RuleDescription{Name: "u", Action: entity.UnknownAction{}})},
			[]any{"red"}, false},
		{"failed filter", []*Rule{compile("a", "1/0=1", ""), everything}, []any{"red"}, true},
		{"failed action", []*Rule{compile("a", "1=1", "SET color='x' SET color=1/0")}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			copies, err := Copies(c.rules, sample())
			var colors []any
			for _, m := range copies {
				colors = append(colors, m.Application[0].Value)
			}
			if diff := cmp.Diff(c.colors, colors); diff != "" || (err != nil) != c.fails {
				t.Errorf("error %v\n%s", err, diff)
			}
			if _, ok := errors.AsType[*EvaluationError](err); ok != c.fails {
				t.Errorf("the error of a failed rule is %v", err)
			}
		})
	}
}
