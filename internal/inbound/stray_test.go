package inbound

import (
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/ledger"
	"fnobridge/internal/status"
)

// sendExpiring sends a file whose message lives for a while only.
func (w *world) sendExpiring(session, id, body string, ttl time.Duration) {
	w.t.Helper()
	m := &azservicebus.Message{MessageID: &id, SessionID: &session, Body: []byte(body), TimeToLive: &ttl}
	if err := w.b.Put(theQueue, m); err != nil {
		w.t.Fatal(err)
	}
	w.b.mu.Lock()
	w.b.sent++
	w.b.mu.Unlock()
}

// The broker expires a message while its session is free for a moment, because the receiver is refreshed.
func TestAMessageThatExpiresWhileFnoHasItsFile(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		next bool // another file stands behind it
		want status.Status
	}{
		"processed, with a file behind it": {"good", true, status.Processed},
		"processed, the last one":          {"good", false, status.Processed},
		"failed, with a file behind it":    {"bad", true, status.ProcessedWithErrors},
		"failed, the last one":             {"bad", false, status.ProcessedWithErrors},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.b.lock = 5 * time.Minute
				w.fno.takes = 20 * time.Minute
				w.sendExpiring("Entity 0", "expires", c.body, time.Minute)
				if c.next {
					w.send("Entity 0", "next", "good")
				}
				w.start()
				w.waitFor("the event of its end", func() bool { return slices.Contains(w.topic.of("expires"), c.want) })
				w.drained()
				pass(time.Minute)
				if n := w.posts("expires"); n != 1 {
					t.Errorf("posted %d times", n)
				}
				l, err := ledger.Decode(w.b.stateOf("Entity 0"))
				if err != nil || len(l.Busy()) > 0 {
					t.Errorf("the ledger still says that F&O has it: %v, %v", l.Busy(), err)
				}
				if imports := w.fno.recorded(); c.next && imports[1].Accepted.Before(imports[0].Ended) {
					t.Errorf("the next file was posted %s before the import of the expired one ended", imports[0].Ended.Sub(imports[1].Accepted))
				}
				if c.next && !slices.Contains(w.topic.of("next"), status.Processed) {
					t.Errorf("the next file: %v", w.topic.of("next"))
				}
				w.end()
			})
		})
	}
}

// Nobody knows whether F&O took the file, and its message is gone: said, and not held against the next one.
func TestAMessageThatExpiresWithItsOutcomeUnknown(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.sendExpiring("Entity 0", "expired", "good", time.Second)
		w.send("Entity 0", "next", "good")
		pass(time.Minute)
		l := &ledger.Ledger{}
		e, _ := l.Admit(1, "expired")
		e.Intended("a process that is no more", time.Now())
		state, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.b.setState("Entity 0", state)
		w.start()
		w.drained()
		if got := w.topic.of("expired"); !slices.Contains(got, status.UnknownOutcome) {
			t.Errorf("events of the expired file: %v", got)
		}
		if w.posts("expired") > 0 {
			t.Error("posted again")
		}
		w.end()
	})
}
