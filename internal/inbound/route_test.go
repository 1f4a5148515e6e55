package inbound

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
)

// message makes a received message.
func aMessage(session string, props map[string]any) *azservicebus.ReceivedMessage {
	seq := int64(7)
	return &azservicebus.ReceivedMessage{MessageID: "the key", SessionID: &session, SequenceNumber: &seq, ApplicationProperties: props}
}

func resolver(routes ...*Route) *Worker { return &Worker{o: Options{Routes: routes}} }

func TestTheSessionNamesEntityAndCompany(t *testing.T) {
	w := resolver(&Route{Name: "all"})
	for session, want := range map[string]contract.Pair{
		"Customer groups":                 {Entity: "Customer groups"},
		"usmf/Customer groups":            {Entity: "Customer groups", Company: "usmf"},
		"usmf/Terms / conditions":         {Entity: "Terms / conditions", Company: "usmf"},
		"Terms / conditions":              {Entity: "Terms / conditions"}, // "Terms " can be no company
		"Kunden & Lieferanten+Preise":     {Entity: "Kunden & Lieferanten+Preise"},
		"顧客グループ":                          {Entity: "顧客グループ"},
		"usmf/":                           {Entity: "usmf/"},
		"/Customers":                      {Entity: "/Customers"},
		"longer/Customers":                {Entity: "longer/Customers"},
		"D'Artagnan \"quoted\" 100%":      {Entity: "D'Artagnan \"quoted\" 100%"},
		strings.Repeat("x", 128):          {Entity: strings.Repeat("x", 128)},
		"ab-1/" + strings.Repeat("é", 61): {Entity: strings.Repeat("é", 61), Company: "ab-1"},
	} {
		p, _, err := w.routed("q", aMessage(session, nil))
		if err != nil || p.Entity != want.Entity || p.Company != want.Company {
			t.Errorf("%q: entity %q, company %q, %v", session, p.Entity, p.Company, err)
		}
	}
}

// says checks what a message was read as, and the name of its route.
func says(t *testing.T, got contract.Message, route *Route, err error, name string, want contract.Message) {
	t.Helper()
	if err != nil || route.Name != name {
		t.Errorf("route %+v, %v", route, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPropertiesWinOverTheSessionAndTheRouteOverBoth(t *testing.T) {
	w := resolver(&Route{Name: "fixed", Match: contract.Pair{Entity: "vendors"}, Fixed: contract.Pair{Entity: "Vendors V2", Company: "dat"}}, &Route{Name: "all"})
	p, route, err := w.routed("q", aMessage("usmf/Customers", map[string]any{
		contract.PropEntity: "Items", contract.PropCompany: "demf", contract.PropDataRef: "https://x/y", contract.PropFileName: "a.csv", contract.PropSHA256: "ff", contract.PropKey: "the first key", "other": 42,
	}))
	says(t, p, route, err, "all", contract.Message{
		Pair: contract.Pair{Entity: "Items", Company: "demf"}, Key: "the first key", File: "a.csv", DataRef: "https://x/y", SHA256: "ff",
	})
	p, route, err = w.routed("q", aMessage("VENDORS", nil))
	says(t, p, route, err, "fixed", contract.Message{Pair: contract.Pair{Entity: "Vendors V2", Company: "dat"}, Key: "the key"})
	p, _, err = w.routed("q", aMessage("Items", map[string]any{contract.PropEntity: "", contract.PropCompany: nil}))
	if err != nil || p.Entity != "Items" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTheFirstMatchingRouteWins(t *testing.T) {
	w := resolver(
		&Route{Name: "one source", Source: "topic/Subscriptions/fno", Match: contract.Pair{Entity: "Customers"}},
		&Route{Name: "one company", Match: contract.Pair{Entity: "Customers", Company: "usmf"}},
		&Route{Name: "one entity", Match: contract.Pair{Entity: "Customers"}},
	)
	for _, x := range []struct{ source, session, want string }{
		{"topic/Subscriptions/fno", "usmf/Customers", "one source"},
		{"queue", "USMF/customers", "one company"},
		{"queue", "demf/Customers", "one entity"},
		{"queue", "Customers", "one entity"},
		{"queue", "Vendors", ""},
	} {
		_, route, err := w.routed(x.source, aMessage(x.session, nil))
		got := ""
		if route != nil {
			got = route.Name
		}
		if got != x.want || (err != nil) != (x.want == "") {
			t.Errorf("%+v: %q, %v", x, got, err)
		}
	}
}

var aName = regexp.MustCompile(`^[\p{L}\p{Nd}_-]{1,4}$`) // of a company

// Whatever the routes and the message: the first route that matches gets it, by what the properties say, else the session.
func TestRoutesFollowTheirModel(t *testing.T) {
	entities, companies := []string{"Customers", "customers", "Vendors", "VENDORS", "a/b"}, []string{"usmf", "USMF", "demf", "ü-1"}
	or := func(list []string, more ...string) *rapid.Generator[string] {
		return rapid.SampledFrom(append(more, list...))
	}
	aRoute := rapid.Custom(func(t *rapid.T) *Route {
		return &Route{
			Source: rapid.SampledFrom([]string{"", "", "q", "topic/Subscriptions/fno"}).Draw(t, "source"),
			Match:  contract.Pair{Entity: or(entities, "", "").Draw(t, "entity"), Company: or(companies, "", "", "").Draw(t, "company")},
			Fixed:  contract.Pair{Entity: or(nil, "", "", "Fixed").Draw(t, "fixed entity"), Company: or(nil, "", "", "dat").Draw(t, "fixed company")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		routes := rapid.SliceOfN(aRoute, 0, 6).Draw(t, "routes")
		source := rapid.SampledFrom([]string{"q", "topic/Subscriptions/fno"}).Draw(t, "source")
		session := or(companies, "", "longer", "us mf").Draw(t, "before the slash") + rapid.SampledFrom([]string{"", "/"}).Draw(t, "slash") + or(entities, "").Draw(t, "after it")
		props := map[string]any{}
		draw := func(name string, values []string) {
			switch v := or(values, "", "(nil)", "(none)", "(none)", "(none)").Draw(t, name); v {
			case "(none)":
			case "(nil)":
				props[name] = nil
			default:
				props[name] = v
			}
		}
		draw(contract.PropEntity, entities)
		draw(contract.PropCompany, append(companies, "contoso"))

		want := contract.Pair{Entity: session}
		if parts := strings.SplitN(session, "/", 2); len(parts) == 2 && aName.MatchString(parts[0]) && parts[1] != "" {
			want = contract.Pair{Company: parts[0], Entity: parts[1]}
		}
		if s, _ := props[contract.PropEntity].(string); s != "" {
			want.Entity = s
		}
		if s, _ := props[contract.PropCompany].(string); s != "" {
			want.Company = s
		}
		var matches []*Route
		for _, r := range routes {
			fits := r.Source == "" || r.Source == source
			if r.Match.Entity != "" && strings.ToLower(r.Match.Entity) != strings.ToLower(want.Entity) { //nolint:staticcheck // SA6005: naive on purpose
				fits = false
			}
			if r.Match.Company != "" && strings.ToLower(r.Match.Company) != strings.ToLower(want.Company) { //nolint:staticcheck // SA6005: naive on purpose
				fits = false
			}
			if fits {
				matches = append(matches, r)
			}
		}

		p, route, err := resolver(routes...).routed(source, aMessage(session, props))
		if len(matches) == 0 {
			if f := failure.Of(err); f == nil || f.Verdict != failure.Reject || f.Reason != failure.NoRoute || route != nil {
				t.Fatalf("%+v of session %q: route %+v, %v, want none", want, session, route, err)
			}
			if p.Entity != want.Entity || p.Company != want.Company {
				t.Fatalf("entity %q, company %q are told of, want %+v", p.Entity, p.Company, want)
			}
			return
		}
		first := matches[0]
		if first.Fixed.Entity != "" {
			want.Entity = first.Fixed.Entity
		}
		if first.Fixed.Company != "" {
			want.Company = first.Fixed.Company
		}
		if route != first || p.Entity != want.Entity || p.Company != want.Company {
			t.Fatalf("session %q, %v: %+v, want %+v by %+v", session, props, p, want, first)
		}
		bad := want.Entity == "" || want.Company != "" && !aName.MatchString(want.Company)
		if f := failure.Of(err); bad != (err != nil) || err != nil && f.Reason != failure.BadMessage {
			t.Fatalf("%+v: %v", want, err)
		}
	})
}

func TestWrongContractsAreRejected(t *testing.T) {
	w := resolver(&Route{Name: "all"})
	for name, m := range map[string]*azservicebus.ReceivedMessage{
		"entity is a number":   aMessage("x", map[string]any{contract.PropEntity: int64(1)}),
		"company is bytes":     aMessage("x", map[string]any{contract.PropCompany: []byte("usmf")}),
		"dataref is a bool":    aMessage("x", map[string]any{contract.PropDataRef: true}),
		"filename is a list":   aMessage("x", map[string]any{contract.PropFileName: []any{"a"}}),
		"company too long":     aMessage("x", map[string]any{contract.PropCompany: "contoso"}),
		"company with a slash": aMessage("x", map[string]any{contract.PropCompany: "a/b"}),
		"no entity":            aMessage("", nil),
		"blank entity":         aMessage("   ", nil),
		"control character":    aMessage("a\nb", nil),
		"not UTF-8":            aMessage("a\xffb", nil),
		"entity too long":      aMessage("x", map[string]any{contract.PropEntity: strings.Repeat("x", 513)}),
	} {
		_, _, err := w.routed("q", m)
		if f := failure.Of(err); f == nil || f.Verdict != failure.Reject || f.Reason != failure.BadMessage || f.Detail == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := aMessage("x", nil)
	m.MessageID, m.SessionID = "", nil
	p, _, err := w.routed("q", m)
	if err == nil || p.Key != "q#7" {
		t.Errorf("a message without session or ID: key %q, %v", p.Key, err)
	}
}

// Whatever a message holds, resolving it neither panics nor gives a place that F&O's URL could not hold.
func TestEveryMessageIsResolvedOrRejected(t *testing.T) {
	w := resolver(&Route{Name: "all"})
	rapid.Check(t, func(t *rapid.T) {
		props := rapid.MapOf(
			rapid.SampledFrom([]string{contract.PropEntity, contract.PropCompany, contract.PropDataRef, contract.PropFileName, contract.PropSHA256, contract.PropKey, "x"}),
			rapid.OneOf(rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil)),
		).Draw(t, "properties")
		p, route, err := w.routed("q", aMessage(rapid.String().Draw(t, "session"), props))
		if err != nil {
			if failure.Of(err).Verdict != failure.Reject {
				t.Fatalf("not a rejection: %v", err)
			}
			return
		}
		if route == nil || strings.TrimSpace(p.Entity) == "" || len([]rune(p.Company)) > 4 || p.Key == "" {
			t.Fatalf("%+v", p)
		}
	})
}

func TestPollsGrowWithTheTimeAnImportTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Poll{
			First:    time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "first")),
			Fraction: rapid.Float64Range(0, 2).Draw(t, "fraction"),
			Max:      time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "max")),
		}
		for elapsed := time.Duration(0); elapsed < 6*time.Hour; {
			d := p.next(elapsed)
			if d <= 0 || d > max(p.Max, p.First, minPoll) {
				t.Fatalf("%+v after %s: %s", p, elapsed, d)
			}
			if elapsed == 0 && p.First > 0 && d != p.First {
				t.Fatalf("the first question comes after %s, want %s", d, p.First)
			}
			elapsed += max(d, time.Second)
		}
	})
	p := Poll{First: 2 * time.Second, Fraction: 0.35, Max: 2 * time.Minute} // the defaults
	calls := 0
	for elapsed := time.Duration(0); elapsed < 10*time.Minute; calls++ {
		elapsed += p.next(elapsed)
	}
	if calls > 20 {
		t.Errorf("%d status calls for an import of 10 minutes", calls)
	}
	for elapsed, want := range map[time.Duration]time.Duration{
		0: 2 * time.Second, time.Second: time.Second, 10 * time.Second: 3500 * time.Millisecond, time.Minute: 21 * time.Second, time.Hour: 2 * time.Minute,
	} {
		if got := p.next(elapsed); got != want {
			t.Errorf("after %s: %s, want %s", elapsed, got, want)
		}
	}
}

func TestFlightsAreFoundUntilTheyAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights()
		k := flightKey{"q", "s", 1}
		if f.await(t.Context(), k) != nil {
			t.Error("found a flight that never began")
		}
		fl := f.begin(k)
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if f.await(gone, k) != nil {
			t.Error("found a flight that has not landed")
		}
		time.AfterFunc(time.Minute, func() { fl.land("an id", nil) })
		if got := f.await(t.Context(), k); got == nil || got.id != "an id" {
			t.Errorf("%+v", got)
		}
		other := flightKey{"q", "another", 1}
		f.begin(other).land("", errKilled)
		f.sweep("q", "s", func(seq int64) bool { return seq == 1 })
		if f.await(t.Context(), k) == nil {
			t.Error("swept a flight that was to be kept")
		}
		f.sweep("q", "s", func(int64) bool { return false })
		if f.await(t.Context(), k) != nil || f.await(t.Context(), other) == nil {
			t.Error("swept the wrong flight")
		}
		f.sweep("q", "another", func(int64) bool { return false })
		if len(f.open) != 0 {
			t.Errorf("%d flights are remembered for nothing", len(f.open))
		}
	})
}

func TestAWorkerIsNotMadeOfNonsense(t *testing.T) {
	src := []Source{{Name: "a"}, {Name: "b"}}
	for name, o := range map[string]Options{
		"no source":          {Sessions: 1},
		"too few sessions":   {Sources: src, Sessions: 1},
		"no payloads":        {Sources: src, Sessions: 2},
		"a route to nowhere": {Sources: src, Sessions: 2, Payloads: fakePayloads{}, Events: fakePublisher{}, Routes: []*Route{{Name: "x"}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
