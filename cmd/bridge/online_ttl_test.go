package main

import (
	"math"
	"testing"
	"time"
)

func TestDurationsOfServiceBusAreRead(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"P14D": 14 * 24 * time.Hour, "PT1H": time.Hour, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"P10675199DT2H48M5.4775807S": math.MaxInt64, "PT0S": 0,
	} {
		if got, err := isoDuration(&text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1h", "P1Y"} {
		if got, err := isoDuration(&text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
