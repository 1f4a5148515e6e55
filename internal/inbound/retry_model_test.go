package inbound

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
)

// A refusal is what F&O says to one post, and what happens to the process that waits because of it.
type refusal struct {
	Outage bool
	After  int // Retry-After in seconds; 0 for none
	Dies   int // so many milliseconds later, if the file waits then; 0: lives
}

var aRefusal = rapid.Custom(func(t *rapid.T) refusal {
	r := refusal{Outage: rapid.Bool().Draw(t, "outage")}
	r.After = rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 30)).Draw(t, "retry after")
	r.Dies = rapid.OneOf(rapid.Just(0), rapid.Just(0), rapid.IntRange(50, 40_000)).Draw(t, "dies")
	return r
})

// A life is one file that F&O refuses, as F&O and a clock on the wall see it.
type life struct {
	m        *ledgerMachine
	b        retry.Backoff
	refusals []refusal

	counted  int           // attempts that F&O refused, or took and failed
	spent    time.Duration // between attempts, outages and imports not counted
	last     refusal       // what F&O said to the last post
	at       time.Time     // when it was made; zero: the next one follows on an import
	restarts int           // since then
	lost     time.Duration // what is neither one nor the other for sure, because a lane or a process ended in it
}

// post is what F&O sees of one post: its time, and the ledger it was announced in.
func (f *life) post() *http.Response {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	e := f.m.last.Find(1)
	if e == nil || e.Attempts != f.counted+1 || f.counted >= f.b.Attempts {
		f.m.fail("%d attempts were made, of at most %d, and the next is announced as %+v", f.counted, f.b.Attempts, e)
	}
	if !f.at.IsZero() && !f.last.Outage {
		f.waited(time.Since(f.at))
	}
	f.at, f.last, f.restarts = time.Now(), refusal{}, 0
	if len(f.refusals) == 0 {
		f.counted++ // taken; it counts if the import fails
		f.at = time.Time{}
		return nil
	}
	r := f.refusals[0]
	f.refusals, f.last = f.refusals[1:], r
	of := f.m.of
	if r.Dies > 0 {
		time.AfterFunc(time.Duration(r.Dies)*time.Millisecond, func() {
			f.m.mu.Lock()
			defer f.m.mu.Unlock()
			if e := f.m.last.Find(1); f.m.of == of && e != nil && e.Phase == ledger.Waiting {
				if of.Kill(); f.last.Outage {
					f.lost += time.Since(f.at)
				}
				f.m.due(errKilled)
			}
		})
	}
	var header []string
	if r.After > 0 {
		header = []string{"Retry-After", strconv.Itoa(r.After)}
	}
	if r.Outage {
		return reply(http.StatusServiceUnavailable, "maintenance", header...)
	}
	f.counted++
	return reply(http.StatusInternalServerError, "a bad moment", header...)
}

// calls is more than the calls of one life take: posts, the ledger, lanes that take over.
const calls = 10 * time.Second

// waited checks how long the file waited after an attempt that counted.
func (f *life) waited(d time.Duration) {
	nominal := float64(f.b.First)
	for range f.counted - 1 {
		nominal = min(nominal*f.b.Multiplier, float64(f.b.Max))
	}
	least := min(time.Duration(nominal*(1-f.b.Jitter)), f.b.Max) - 10*time.Millisecond // from the intent, just before the post
	most := min(time.Duration(nominal*(1+f.b.Jitter)), f.b.Max)
	after := time.Duration(f.last.After) * time.Second
	if f.restarts == 0 { // the ledger keeps the attempts, not what F&O asked for
		least = max(least, after)
	}
	if f.restarts > 0 { // the lane that goes on may find its own gate closed
		f.lost += max(0, d-max(most, after))
		f.spent += min(d, max(most, after))
	} else {
		f.spent += d
	}
	switch {
	case d < least:
		f.m.fail("attempt %d came after %s, at least %s was due (Retry-After %s)", f.counted+1, d, least, after)
	case d > max(most, after)+calls && f.restarts == 0:
		f.m.fail("attempt %d came after %s, at most %s was due (Retry-After %s)", f.counted+1, d, most, after)
	case f.spent > f.b.Total+calls:
		f.m.fail("attempt %d came after %s of %s", f.counted+1, f.spent, f.b.Total)
	}
}

// A file's attempts are bounded in number and time, through outages, which do not count, and through restarts, which
// neither forget nor add one.
func TestAFilesAttemptsFollowTheirModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := retry.Backoff{
			Attempts: rapid.IntRange(1, 8).Draw(rt, "attempts"), First: time.Duration(rapid.IntRange(500, 20_000).Draw(rt, "first")) * time.Millisecond,
			Multiplier: rapid.Float64Range(1, 3).Draw(rt, "multiplier"), Jitter: rapid.SampledFrom([]float64{0, 0.2, 0.5}).Draw(rt, "jitter"),
		}
		b.Max = b.First * time.Duration(rapid.IntRange(1, 8).Draw(rt, "max"))
		b.Total = time.Duration(rapid.IntRange(20, 600).Draw(rt, "total")) * time.Second
		refusals := rapid.SliceOfN(aRefusal, 0, 14).Draw(rt, "refusals")
		text := rapid.SampledFrom([]string{"good", "deadlock"}).Draw(rt, "text")
		broken := ""
		synctest.Test(t, func(t *testing.T) {
			m := newLedgerMachine(t, Route{OnFailure: OnFailureSkip})
			m.w.route.Retry = retry.Policy{Default: b}
			f := &life{m: m, b: b, refusals: refusals}
			m.w.fno.outage = func(_, op string) *http.Response {
				if op != "post" {
					return nil
				}
				return f.post()
			}
			m.send(text)
			for n := 0; m.left() > 0 && m.broken == ""; n++ {
				if m.l == nil {
					if f.restarts++; f.last.Outage { // a backoff before it asks anew
						f.lost += b.Max
					}
				}
				if m.step(n % 2); n > 1000 {
					m.fail("no end: %s", m.raw)
				}
			}
			if m.l != nil {
				m.part(nil)
			}
			d, dead := m.w.letter("f1")
			m.mu.Lock()
			defer m.mu.Unlock()
			most := max(b.Max, time.Duration(f.last.After)*time.Second)
			switch {
			case dead && d.reason == string(failure.UnknownOutcome): // it died in the moment of the intent
			case dead && f.counted < b.Attempts && f.spent+f.lost+most+calls < b.Total:
				m.fail("given up after %d of %d attempts and %s of %s: %s", f.counted, b.Attempts, f.spent, b.Total, d.detail)
			case !dead && len(f.refusals) > 0:
				m.fail("processed, and F&O would have refused %+v", f.refusals)
			}
			if broken = m.broken; broken == "" {
				m.w.check()
			}
		})
		if broken != "" {
			rt.Fatal(broken)
		}
	})
}
