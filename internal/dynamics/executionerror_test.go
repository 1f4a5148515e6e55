package dynamics

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"fnobridge/internal/failure"

	"pgregory.net/rapid"
)

func TestDescribe(t *testing.T) {
	errs := []ExecutionError{
		{"479625", "CUSTGROUP", "The value '10'\r\nis not found"},
		{"", "", "The file is empty"},
		{"7", "", ""},
		{"", "NAME", "see https://x/y?sig=1"},
	}
	want := "record 479625, field CUSTGROUP: The value '10' is not found\nThe file is empty\nrecord 7: no message\nfield NAME: see https://x/y"
	if got := Describe(errs); got != want {
		t.Errorf("%q", got)
	}
	if got := DescribeWithin(errs, 85); got != "record 479625, field CUSTGROUP: The value '10' is not found\n… and 3 more" {
		t.Errorf("%q", got)
	}
	if Describe(nil) != "" || DescribeWithin(nil, 0) != "" {
		t.Error("words about no errors")
	}
}

func TestDescribeWithinKeepsItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var errs []ExecutionError
		for i := range rapid.IntRange(0, 20).Draw(t, "n") {
			errs = append(errs, ExecutionError{strconv.Itoa(i), rapid.StringN(0, 10, -1).Draw(t, "field"), rapid.StringN(0, 80, -1).Draw(t, "message")})
		}
		limit := rapid.IntRange(0, 600).Draw(t, "limit")
		got := DescribeWithin(errs, limit)
		full := Describe(errs)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%d bytes of %d: %q", len(got), limit, got)
		}
		if len(full) <= limit && got != full {
			t.Fatalf("cut without need: %q", got)
		}
		if len(full) > limit && limit >= 100 && len(errs) > 1 && !strings.Contains(got, "…") {
			t.Fatalf("cut without saying so: %q", got)
		}
	})
}

func TestImportFailureSaysWhatFnOSaid(t *testing.T) {
	f := ImportFailure(ParseStatus("PreProcessError"), nil, false)
	if f.Reason != failure.PreProcessingError || !strings.Contains(f.Detail, "PreProcessError") {
		t.Errorf("%v", f)
	}
	many := make([]ExecutionError, 10_000)
	for i := range many {
		many[i] = ExecutionError{strconv.Itoa(i), "F", strings.Repeat("x", 100)}
	}
	f = ImportFailure(ParseStatus("ProcessedWithErrors"), many, false)
	if len(f.Detail) > maxDescribed+200 || !strings.Contains(f.Detail, "record 0, field F") || !strings.Contains(f.Detail, "more") {
		t.Errorf("%d bytes: %.200s", len(f.Detail), f.Detail)
	}
}
