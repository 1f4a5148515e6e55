package contract

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fnobridge/internal/failure"
)

func TestTheSessionNamesAPair(t *testing.T) {
	for session, want := range map[string]Pair{
		"":                        {},
		"Customer groups":         {Entity: "Customer groups"},
		"usmf/Customer groups":    {Entity: "Customer groups", Company: "usmf"},
		"usmf/Terms / conditions": {Entity: "Terms / conditions", Company: "usmf"},
		"Terms / conditions":      {Entity: "Terms / conditions"}, // "Terms " can be no company
		"longer/Customers":        {Entity: "longer/Customers"},
		"us f/Customers":          {Entity: "us f/Customers"},
		"usmf/":                   {Entity: "usmf/"},
		"/Customers":              {Entity: "/Customers"},
		"ab-1/顧客":                 {Entity: "顧客", Company: "ab-1"},
	} {
		if got := PairOfSession(session); got != want {
			t.Errorf("%q: %+v, want %+v", session, got, want)
		}
	}
}

// A pair that may be sent comes back from its session, unless its entity looks like a company and another entity.
func TestTheSessionOfAPairNamesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pair{
			Entity:  rapid.StringMatching(`[\p{L} /&+]{1,20}`).Draw(t, "entity"),
			Company: rapid.StringMatching(`[\p{L}0-9_-]{0,4}`).Draw(t, "company"),
		}
		if p.Check() != nil || p.Company == "" && PairOfSession(p.Entity).Company != "" {
			t.Skip("no pair, or not this one")
		}
		if got := PairOfSession(p.Session()); got != p {
			t.Fatalf("session %q of %+v names %+v", p.Session(), p, got)
		}
	})
}

func TestWhatIsOpenIsTakenFromTheOther(t *testing.T) {
	for _, c := range []struct{ p, q, want Pair }{
		{Pair{}, Pair{"Customers", "usmf"}, Pair{"Customers", "usmf"}},
		{Pair{Entity: "Vendors"}, Pair{"Customers", "usmf"}, Pair{"Vendors", "usmf"}},
		{Pair{Company: "dat"}, Pair{"Customers", "usmf"}, Pair{"Customers", "dat"}},
		{Pair{"Vendors", "dat"}, Pair{"Customers", "usmf"}, Pair{"Vendors", "dat"}},
	} {
		if got := c.p.Or(c.q); got != c.want {
			t.Errorf("%+v or %+v: %+v", c.p, c.q, got)
		}
	}
}

func TestWhatIsNoPairIsRejected(t *testing.T) {
	for _, p := range []Pair{
		{}, {Entity: "  "}, {Entity: "a\nb"}, {Entity: "a\xffb"}, {Entity: strings.Repeat("x", 513)},
		{"Customers", "usmfx"}, {"Customers", "a/b"}, {"Customers", "a b"}, {"Customers", "a.b"}, {"Customers", "\xff"},
	} {
		f := failure.Of(p.Check())
		if f == nil || f.Verdict != failure.Reject || f.Reason != failure.BadMessage {
			t.Errorf("%+v: %v", p, f)
		}
	}
	for _, p := range []Pair{
		{Entity: "Customers"}, {`Größen & "Farben" + Maße`, "demf"}, {strings.Repeat("x", 512), "ü-1_"}, {"Terms / conditions", ""},
	} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
