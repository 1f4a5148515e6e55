package dynamics

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What F&O is known to send: quotation marks and line breaks of a message as they are.
const brokenList = `[{"RecordId":"479625","Field":"CUSTGROUP","ErrorMessage":"The value "10" in field "Customer group"
is not found in the related table "Customer groups".\r\n"},{"RecordId":479626,"Field":"","ErrorMessage":"Results. C:\Temp\x {a}, [b]"}]`

func TestABrokenListOfErrorsIsRead(t *testing.T) {
	want := []ExecutionError{
		{"479625", "CUSTGROUP", "The value \"10\" in field \"Customer group\"\nis not found in the related table \"Customer groups\"."},
		{"479626", "", `Results. C:\Temp\x {a}, [b]`},
	}
	if json.Valid([]byte(brokenList)) {
		t.Fatal("this list is not broken")
	}
	if got := parseExecutionErrors(brokenList); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestWhatIsNoListIsOneErrorInItsOwnWords(t *testing.T) {
	for raw, want := range map[string][]ExecutionError{
		"": nil, "[]": nil, " null ": nil,
		"Transaction was deadlocked on lock resources": {{"", "", "Transaction was deadlocked on lock resources"}},
		`[{"RecordId":"7"`:             {{"7", "", ""}},
		`[{"RecordId":"7","Field":"NA`: {{"7", `"NA`, ""}},
	} {
		if got := parseExecutionErrors(raw); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// However a message is broken, its record is found, and the records beside it are whole.
func TestNoMessageHidesARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "records")
		broken := rapid.IntRange(0, n-1).Draw(t, "broken")
		text := rapid.StringOf(rapid.SampledFrom([]rune(`ab"\{}[],:`+"\r\n"))).Draw(t, "message")
		var parts []string
		for i := range n {
			message := fmt.Sprintf("record %d is bad", i)
			if i == broken {
				message = "it's " + text + ` "so"`
			}
			parts = append(parts, fmt.Sprintf(`{"RecordId":"%d","Field":"NAME","ErrorMessage":"%s"}`, i, message))
		}
		got := parseExecutionErrors("[" + strings.Join(parts, ",") + "]")
		if len(got) != n {
			t.Fatalf("%d records of %d", len(got), n)
		}
		for i, e := range got {
			want := fmt.Sprintf("record %d is bad", i)
			if e.RecordID != fmt.Sprint(i) || e.Field != "NAME" || i != broken && e.Message != want {
				t.Fatalf("record %d: %+v", i, e)
			}
		}
	})
}

func TestErrorsAreBounded(t *testing.T) {
	row := `{"RecordId":"1","Field":"","ErrorMessage":"a "bad" value"}`
	if got := parseExecutionErrors("[" + strings.Repeat(row+",", 3505) + row + "]"); len(got) != 3506 {
		t.Errorf("%d of 3506", len(got))
	}
	if got := parseExecutionErrors("[" + strings.Repeat(row+",", maxErrors+5) + row + "]"); len(got) != maxErrors {
		t.Errorf("%d, want %d", len(got), maxErrors)
	}
	if got := parseExecutionErrors(strings.Repeat("ä", maxMessage)); len(got) != 1 || len(got[0].Message) > maxMessage+len("…") {
		t.Errorf("a message of %d bytes", len(got[0].Message))
	}
}
