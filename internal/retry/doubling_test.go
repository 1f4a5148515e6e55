package retry

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDoublingIsFirstTwiceThatAndSoOnUpToMax(t *testing.T) {
	d := Doubling{First: 50 * time.Millisecond, Max: 10 * time.Second}
	for n, want := range map[int]time.Duration{
		-1: 50 * time.Millisecond, 0: 50 * time.Millisecond, 1: 50 * time.Millisecond, 2: 100 * time.Millisecond,
		8: 6400 * time.Millisecond, 9: 10 * time.Second, 10: 10 * time.Second, math.MaxInt: 10 * time.Second,
	} {
		if got := d.After(n); got != want {
			t.Errorf("after %d: %v, want %v", n, got, want)
		}
	}
}

func TestDoublingGrowsAndKeepsItsCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Doubling{First: time.Duration(rapid.Int64Min(1).Draw(t, "first")), Max: time.Duration(rapid.Int64Min(1).Draw(t, "max"))}
		n := rapid.IntRange(1, 100).Draw(t, "n")
		before, after := d.After(n), d.After(n+1)
		if before < 1 || after > d.Max {
			t.Fatalf("%v, then %v, of %+v", before, after, d)
		}
		if after != d.Max && after != 2*before {
			t.Fatalf("%v, then %v, of %+v", before, after, d)
		}
	})
}
