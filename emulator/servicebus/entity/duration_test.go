package entity

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		back string // how it is written again; "" when the same
	}{
		{"PT45S", 45 * time.Second, ""},
		{"PT1M", time.Minute, ""},
		{"PT60M", time.Hour, "PT1H"},
		{"PT1M30S", 90 * time.Second, ""},
		{"P7D", 7 * 24 * time.Hour, ""},
		{"P1DT2H", 26 * time.Hour, ""},
		{"PT24H", 24 * time.Hour, "P1D"},
		{"PT0.25S", 250 * time.Millisecond, ""},
		{"PT10.0000001S", 10*time.Second + 100, ""},
		{"PT1H0M20S", time.Hour + 20*time.Second, "PT1H20S"},
		{"P1Y2M", 425 * 24 * time.Hour, "P425D"},
		{"PT0S", 0, ""},
		{"P0D", 0, "PT0S"},
		{"P10675199DT2H48M5.4775807S", Forever, ""},
		{"PT256204778H48M5.4775807S", Forever, "P10675199DT2H48M5.4775807S"},
		{"P999999999999999999Y", Forever, "P10675199DT2H48M5.4775807S"},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := ParseDuration(c.text)
			if err != nil || got != c.want {
				t.Fatalf("got %v, %v, want %v", got, err, c.want)
			}
			back := c.back
			if back == "" {
				back = c.text
			}
			if s := FormatDuration(got); s != back {
				t.Errorf("written again: %s, want %s", s, back)
			}
		})
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for _, s := range []string{"", "P", "PT", "P1DT", "1H", "PT1X", "-PT1H", "PT1.5H", "00:01:00", "PT1S ",
		"PT99999999999999999999999999999999999999999S"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q is %v", s, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add("PT1M")
	f.Add("P1Y2M3DT4H5M6.7S")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		again, err := ParseDuration(FormatDuration(d))
		if err != nil || again != d {
			t.Errorf("%q is %v, and %q is %v, %v", s, d, FormatDuration(d), again, err)
		}
	})
}
