package inbound

import (
	"net/http"
	"testing"
	"time"
)

// F&O names a time that is longer than a receiver lives: the wait is taken up by one lane after the other.
func TestAnOutageThatOutlastsReceiversIsNotHeldAgainstAFile(t *testing.T) {
	for what, op := range map[string]string{"before a post": "post", "while it is followed": "GetMessageStatus"} {
		t.Run(what, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.fno.takes = time.Minute
				began := time.Now()
				asked := 0
				w.fno.outage = func(_, what string) *http.Response {
					if what != op {
						return nil
					}
					asked++
					switch {
					case time.Since(began) > 4*time.Hour && op == "post" && asked < 100:
						asked = 100
						return reply(http.StatusInternalServerError, "one more bad moment")
					case time.Since(began) > 4*time.Hour && asked < 100: // back, and it has not gone on meanwhile
						asked = 100
						w.fno.imports[0].ends = time.Now().Add(time.Minute)
						return nil
					case asked == 1 && op == "post":
						return reply(http.StatusInternalServerError, "a bad moment")
					case time.Since(began) < 4*time.Hour:
						return reply(http.StatusServiceUnavailable, "maintenance", "Retry-After", "3000")
					}
					return nil
				}
				w.fill(1, 1, nil)
				w.start()
				w.drained()
				if r := w.check(); r.Processed != 1 || r.DeadLettered != 0 {
					t.Errorf("%v after %s", w.topic.of("s0-f0"), time.Since(began))
				}
			})
		})
	}
}

// Between two receivers a file waits out the rest of its backoff. A try that met the outage was none, so nothing is left to
// wait out after it, and nothing is held against the file, however many receivers the outage outlasts.
func TestProbingAnOutageIsNotHeldAgainstTheFile(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		failures, began := 0, time.Now()
		w.route.Retry.Default.Jitter, w.route.Retry.Default.Total = 0, 5*time.Minute
		w.fno.outage = func(_, op string) *http.Response {
			switch {
			case op != "post":
				return nil
			case failures < 6: // the seventh try would come after more than half a minute
				failures++
				return reply(http.StatusInternalServerError, "a bad moment")
			case time.Since(began) < 20*time.Hour:
				return reply(http.StatusServiceUnavailable, "maintenance")
			}
			return nil
		}
		w.fill(1, 1, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 1 {
			l, _ := w.letter("s0-f0")
			t.Errorf("%+v: %s", r, l.detail)
		}
	})
}
