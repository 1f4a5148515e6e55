package inbound

import (
	"testing"
	"time"
)

// A session can go to another worker long before its lock would have ended: when its link breaks, or when the broker
// moves it. Whoever had it must not say anything from then on, however long it took to get a link to the topic.
func TestWhoLostTheSessionDoesNotSpeak(t *testing.T) {
	for name, happens := range map[string]func(w *world, p *process, session string){
		"its connection broke": func(_ *world, p *process, _ string) {
			p.Cut()
			pass(20 * time.Millisecond) // the next owner has it, and the lane knows nothing yet
		},
		"the broker moved it, and nobody noticed": func(w *world, _ *process, session string) {
			w.b.steal(session)
			pass(time.Second)
		},
	} {
		for _, nth := range []int{1, 2, 5} {
			t.Run(name, func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					made := 0
					w.topic.connecting = func(p *process, session string) {
						if made++; made == nth {
							happens(w, p, session)
						}
					}
					w.fill(1, 4, nil)
					w.start()
					w.start()
					w.drained()
					if r := w.check(); r.Processed != 4 || made < nth {
						t.Errorf("%+v, %d links", r, made)
					}
				})
			})
		}
	}
}

// A publish that failed may have failed for what took the session, too: it is not repeated on the old proof.
func TestAPublishThatFailedIsRepeatedByTheOwnerOnly(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		made := 0
		w.plan.add("publish", 2, failsBefore)
		w.topic.connecting = func(p *process, session string) {
			if made++; made == 3 { // the second try of the second one
				w.b.steal(session)
				pass(10 * time.Millisecond)
			}
		}
		w.fill(1, 4, nil)
		w.start()
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 4 || made < 3 {
			t.Errorf("%+v, %d links", r, made)
		}
	})
}
