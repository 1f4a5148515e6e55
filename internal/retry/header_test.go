package retry

import (
	"testing"
	"time"
)

func TestWhatTheOtherSideAskedFor(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	rows := map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"-5":                            0,
		"17":                            17 * time.Second,
		" 17 ":                          17 * time.Second,
		"99999999999999":                maxAsked,
		"-9223372036854775808":          0,
		"1.5":                           0,
		"soon":                          0,
		"Sat, 21 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Sat, 21 Nov 2026 11:00:00 GMT": 0,
		"Sun, 21 Nov 2027 12:00:00 GMT": maxAsked,
	}
	for in, want := range rows {
		if got := Asked(in, now); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}
