package retry

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"fnobridge/internal/failure"
)

var ordinary = Backoff{Attempts: 8, First: time.Second, Max: time.Minute, Total: 30 * time.Minute, Multiplier: 2, Jitter: 0.5}

func TestBackoffWithoutJitterIsArithmetic(t *testing.T) {
	b := ordinary
	b.Jitter = 0
	for _, c := range []struct {
		name           string
		attempt        int
		elapsed, after time.Duration
		want           time.Duration
		ok             bool
	}{
		{"after the first failure", 1, 0, 0, time.Second, true},
		{"doubles", 2, 0, 0, 2 * time.Second, true},
		{"sixth", 6, 0, 0, 32 * time.Second, true},
		{"capped", 7, 0, 0, time.Minute, true},
		{"attempts used up", 8, 0, 0, 0, false},
		{"far beyond", 800, 0, 0, 0, false},
		{"no attempt counted yet is the first delay", 0, 0, 0, time.Second, true},
		{"retry-after wins when longer", 1, 0, 10 * time.Second, 10 * time.Second, true},
		{"retry-after loses when shorter", 4, 0, time.Second, 8 * time.Second, true},
		{"retry-after wins over the cap", 1, 0, 5 * time.Minute, 5 * time.Minute, true},
		{"retry-after does not win over the total", 1, 0, 31 * time.Minute, 0, false},
		{"time before a restart counts", 1, 30*time.Minute - time.Second, 0, time.Second, true},
		{"and ends it", 1, 30*time.Minute - time.Second + 1, 0, 0, false},
		{"a negative retry-after is none", 1, 0, -time.Hour, time.Second, true},
	} {
		if got, ok := b.Next(c.attempt, c.elapsed, c.after); got != c.want || ok != c.ok {
			t.Errorf("%s: Next(%d, %v, %v) = %v, %v; want %v, %v", c.name, c.attempt, c.elapsed, c.after, got, ok, c.want, c.ok)
		}
	}
}

func TestZeroBackoffTriesOnce(t *testing.T) {
	if d, ok := (Backoff{}).Next(1, 0, 0); ok {
		t.Fatalf("a zero policy waits %v", d)
	}
}

// The library caps before it draws the jitter; the promise is about what comes out.
func TestBackoffStaysInItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			Attempts: rapid.IntRange(1, 50).Draw(t, "attempts"), First: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first")),
			Multiplier: rapid.Float64Range(1, 1e6).Draw(t, "multiplier"), Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		b.Max = b.First + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "max"))
		b.Total = time.Duration(rapid.Int64Range(1, int64(100*time.Hour)).Draw(t, "total"))
		attempt := rapid.IntRange(1, 60).Draw(t, "attempt")
		elapsed := time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "elapsed"))
		after := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "after"))
		d, ok := b.Next(attempt, elapsed, after)
		switch {
		case ok && attempt >= b.Attempts:
			t.Fatal("more attempts than allowed")
		case ok && elapsed+d > b.Total:
			t.Fatalf("starts %v after the first attempt, beyond %v", elapsed+d, b.Total)
		case ok && d < after:
			t.Fatalf("%v is sooner than Retry-After %v", d, after)
		case ok && d > max(b.Max, after):
			t.Fatalf("%v is over the cap %v", d, b.Max)
		case d < 0:
			t.Fatalf("negative delay %v", d)
		}
	})
}

// A whole life of failures: each delay is what its place in the row says, within the jitter, and only what is used up
// ends it. (internal/inbound has the same with outages and restarts in between.)
func TestDelaysGrowThroughALifeOfFailures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			Attempts: rapid.IntRange(1, 30).Draw(t, "attempts"), First: time.Duration(rapid.Int64Range(1e6, 1e11).Draw(t, "first")),
			Multiplier: rapid.Float64Range(1, 10).Draw(t, "multiplier"), Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
			Total: time.Duration(rapid.Int64Range(1e9, 1e14).Draw(t, "total")),
		}
		b.Max = time.Duration(float64(b.First) * rapid.Float64Range(1, 100).Draw(t, "max"))
		elapsed, nominal := time.Duration(0), float64(b.First)
		for attempt := 1; ; attempt++ {
			elapsed += time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "attempt takes"))
			after := time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1e12)).Draw(t, "retry after"))
			least := max(min(time.Duration(nominal*(1-b.Jitter)*0.999), b.Max), after)
			most := max(min(time.Duration(nominal*(1+b.Jitter)*1.001)+1, b.Max), after)
			d, ok := b.Next(attempt, elapsed, after)
			switch {
			case !ok && attempt < b.Attempts && elapsed+most <= b.Total:
				t.Fatalf("ends after attempt %d of %d, %v of %v", attempt, b.Attempts, elapsed, b.Total)
			case ok && (attempt >= b.Attempts || elapsed+d > b.Total):
				t.Fatalf("goes on after attempt %d of %d, %v of %v", attempt, b.Attempts, elapsed+d, b.Total)
			case ok && (d < least || d > most):
				t.Fatalf("after attempt %d: %v, want %v to %v", attempt, d, least, most)
			case !ok:
				return
			}
			elapsed += d
			nominal = min(nominal*b.Multiplier, float64(b.Max))
		}
	})
}

func TestJitterSpreads(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 50 {
		d, _ := ordinary.Next(3, 0, 0)
		if d < 2*time.Second || d > 6*time.Second {
			t.Fatalf("%v is not within 50%% of 4s", d)
		}
		seen[d] = true
	}
	if len(seen) < 10 {
		t.Fatalf("only %d different delays of 50", len(seen))
	}
}

func TestPolicyPrefersTheReason(t *testing.T) {
	long := ordinary
	long.Attempts = 20
	p := Policy{Default: ordinary, ByReason: map[failure.Reason]Backoff{failure.ImportDeadlock: long}}
	if p.For(failure.ImportDeadlock).Attempts != 20 || p.For(failure.Timeout).Attempts != 8 {
		t.Fatal("the wrong backoff")
	}
}
