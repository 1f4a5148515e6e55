package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"28MB": 28_000_000, "200KB": 200_000, "1GiB": 1 << 30, "10 MiB": 10 << 20, "0": 0, "17": 17, "1.5KB": 1500, "12b": 12, "3mb": 3_000_000,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "1.5B", "28 Mega", "1e3", "0x10", "1_000", "NaN", "Inf", "9223372036854775807KB", "1MBB", "1 K B", "+1"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64Range(0, 1<<62).Draw(t, "size"))
		unit := rapid.SampledFrom([]Size{Byte, KB, MB, KiB, MiB, GiB}).Draw(t, "unit")
		want = want / unit * unit
		if got, err := ParseSize(want.String()); err != nil || got != want {
			t.Fatalf("%d as %s: %d, %v", want, want, got, err)
		}
	})
}

func TestDurationRoundTrip(t *testing.T) {
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s", 200 * time.Millisecond: "200ms", 0: "0s", 30 * time.Second: "30s", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 20 * time.Hour: "20h"} {
		if got := duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, "unit")
		want := time.Duration(rapid.Int64().Draw(t, "duration")) / unit * unit
		if got, err := time.ParseDuration(duration(want)); err != nil || got != want {
			t.Fatalf("%d as %s: %d, %v", want, duration(want), got, err)
		}
	})
}
