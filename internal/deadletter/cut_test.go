package deadletter

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fnobridge/emulator/servicebus"
)

// everyCut is how far apart the cuts of TestThousandCut are; 1 cuts at every call, which takes hours.
var everyCut = flag.Int("deadletter.every", 0,
	"cut a resubmit of 1,000 messages at every Nth call; 0 takes a few samples")

const (
	manySessions   = 20
	filesInSession = 50
)

// killMany dead-letters 1,000 files of 20 sessions.
func (w *world) killMany(t testing.TB, round string) (sessions []string) {
	var wg sync.WaitGroup
	for i := range manySessions {
		s := fmt.Sprintf("%s-%d-", round, i)
		sessions = append(sessions, s)
		wg.Go(func() {
			w.send(t, "q", s, 1, filesInSession)
			w.kill(t, "q", s, "Timeout")
		})
	}
	wg.Wait()
	return sessions
}

// A resubmit of 1,000 messages is cut at one call: the call is lost, or its answer; the connection breaks; either it
// can be made again at once, or not for the rest of the run. The command is repeated until it is complete. Nothing is
// lost, nothing is doubled, every session is in order.
func TestThousandCut(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds per cut")
	}
	w := start(t)
	sessions := w.killMany(t, "whole")
	all := w.Faults().Add(servicebus.Fault{Effect: servicebus.Pass, Times: -1})
	if rep, err := Resubmit(t.Context(), w.svc, Options{Source: q}); err != nil ||
		rep.Done != manySessions*filesInSession {
		t.Fatalf("%+v %v", rep, err)
	}
	calls := all.Count()
	w.Faults().Clear()
	w.inOrder(t, sessions)
	t.Logf("%d calls without a cut", calls)
	if calls < 2*manySessions*filesInSession {
		t.Fatalf("only %d calls", calls)
	}

	every, modes := *everyCut, 4
	if every == 0 {
		every, modes = calls/3, 1 // each sample in one of the modes, in turn
	}
	for n, at := 0, 0; at < calls; n, at = n+1, at+every {
		for m := range modes {
			mode := m
			if modes == 1 {
				mode = n % 4
			}
			effect := []servicebus.Effect{servicebus.Lose, servicebus.LoseReply}[mode%2]
			w.cutOnce(t, fmt.Sprintf("%d-%s-%v", at, effect, mode/2 == 1),
				servicebus.Fault{Skip: at, Effect: effect, Then: servicebus.CutAll}, mode/2 == 1)
		}
	}
}

func (w *world) cutOnce(t *testing.T, name string, f servicebus.Fault, stays bool) {
	t.Helper()
	w.fresh(t)
	sessions := w.killMany(t, name)
	cut := w.Faults().Add(f)
	over := make(chan struct{})
	var wg sync.WaitGroup
	if stays {
		wg.Go(func() {
			select {
			case <-cut.Struck():
				w.Faults().RefuseConnections(0)
			case <-over:
			}
		})
	}
	tries, begin := 0, time.Now()
	for {
		rep, err := Resubmit(t.Context(), w.svc, Options{Source: q})
		if tries++; tries == 1 {
			close(over)
			wg.Wait()
			w.Faults().Clear()
		}
		if err == nil && rep.Complete() {
			break
		}
		if tries == 5 {
			t.Fatalf("%s: not complete: %+v %v", name, rep, err)
		}
		w.Faults().ExpireLocks("q/$DeadLetterQueue") // as they do by themselves a minute later
	}
	w.inOrder(t, sessions)
	if left := w.Messages("q/$DeadLetterQueue"); len(left) != 0 {
		t.Fatalf("%s: %d left", name, len(left))
	}
	t.Logf("%s: complete after %d runs, %v", name, tries, time.Since(begin))
}

// inOrder checks that every session has each of its files once, in order.
func (w *world) inOrder(t *testing.T, sessions []string) {
	t.Helper()
	for _, s := range sessions {
		if d := cmp.Diff(names(s, filesInSession), w.waiting("q", s)); d != "" {
			t.Fatalf("session %s: %s", s, d)
		}
	}
}
