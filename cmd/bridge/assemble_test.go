package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/config"
	"fnobridge/internal/failure"
)

// The words of the configuration are those of package failure, which config may not import.
func TestRetryForNamesReasonsThatExist(t *testing.T) {
	field, _ := reflect.TypeFor[config.RetryFor]().FieldByName("Reason")
	for word := range strings.SplitSeq(field.Tag.Get("enum"), "|") {
		if !slices.Contains(failure.Reasons(), failure.Reason(word)) {
			t.Errorf("retryFor takes %q, which no file ever fails for", word)
		}
	}
}

func TestRetriesOfAReasonWinOverThoseOfTheRoute(t *testing.T) {
	p := retries(config.Route{
		Retry:    config.Retry{Attempts: 3, First: time.Second, Max: time.Minute, Multiplier: 2, Total: time.Hour},
		RetryFor: []config.RetryFor{{Reason: "ImportDeadlock", Retry: config.Retry{Attempts: 20, First: time.Minute, Max: time.Minute, Multiplier: 1, Total: time.Hour}}},
	})
	if n := p.For(failure.ServerError).Attempts; n != 3 {
		t.Errorf("%d attempts for another reason", n)
	}
	if b := p.For(failure.ImportDeadlock); b.Attempts != 20 || b.First != time.Minute {
		t.Errorf("a deadlock has %+v", b)
	}
}
