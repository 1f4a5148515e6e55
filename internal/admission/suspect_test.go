package admission

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"
)

var errPage = &failure.Failure{Verdict: failure.Unknown, Reason: failure.BadAnswer, Status: 200, Detail: "a page"}

// enterSoon asks for a pass and returns the channel in which it comes.
func enterSoon(t *testing.T, g *Gate) <-chan *Pass {
	t.Helper()
	got := make(chan *Pass, 1)
	go func() {
		if p, err := g.AwaitPass(t.Context(), nil); err == nil {
			got <- p
		}
	}()
	synctest.Wait()
	return got
}

func nobody(t *testing.T, passes ...<-chan *Pass) {
	t.Helper()
	synctest.Wait()
	for _, c := range passes {
		select {
		case <-c:
			t.Fatal("somebody was let in")
		default:
		}
	}
}

// Of a new gate nobody knows anything: one finds out, and says nothing to the world.
func TestANewGateLetsOneFindOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(8)
		first := g.TryPass()
		if !g.State().Open() || first == nil || g.TryPass() != nil {
			t.Fatalf("%+v", g.State())
		}
		others := []<-chan *Pass{enterSoon(t, g), enterSoon(t, g)}
		nobody(t, others...)
		if !first.Probing() {
			t.Error("the first does not know that it finds out")
		}
		first.Answered()
		<-others[0]
		<-others[1]
		if g.State().Phase != GateOpen || first.Probing() {
			t.Errorf("%+v", g.State())
		}
		first.Leave(pauseFor(time.Second)) // its own call comes after
		if g.State().Phase != GateClosed {
			t.Errorf("%+v", g.State())
		}
	})
}

func TestADoubtHoldsAllOthersUntilItIsSettled(t *testing.T) {
	for end, want := range map[error]GatePhase{nil: GateOpen, pauseFor(time.Hour): GateClosed} {
		synctest.Test(t, func(t *testing.T) {
			g := openGate(8)
			var said []GatePhase
			g.OnChange(func(s GateState) { said = append(said, s.Phase) })
			a, b := enter(t, g), enter(t, g)
			a.Doubt()
			b.Doubt()
			next := enterSoon(t, g)
			nobody(t, next)
			b.Leave(nil)
			nobody(t, next) // the other one still asks
			a.Leave(end)
			synctest.Wait()
			if got := g.State().Phase; got != want || len(said) != 2 {
				t.Errorf("%s, after %v; want %s", got, said, want)
			}
			if want == GateOpen {
				<-next
			} else {
				nobody(t, next)
			}
		})
	}
}

// A doubt that its own call could not settle, because of a stop, is left to the next in line.
func TestADoubtThatIsNotSettledPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(8)
		p := enter(t, g)
		p.Doubt()
		next, last := enterSoon(t, g), enterSoon(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.Leave(failure.StoppedCall(ctx))
		finder := <-next
		nobody(t, last)
		if !finder.Probing() {
			t.Error("it does not know that it finds out")
		}
		finder.Leave(nil)
		<-last
	})
}

// One bad answer of a job may be that of one file; two in a row are the job's.
func TestTwoDoubtsInARowCloseAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewJobGate(8)
		enter(t, g).Leave(nil)
		enter(t, g).LeaveInDoubt(errPage)
		if s := g.State(); s.Phase != GateSuspect {
			t.Fatalf("%+v", s)
		}
		second := enter(t, g)
		third := enterSoon(t, g)
		nobody(t, third)
		second.LeaveInDoubt(errPage)
		if s := g.State(); s.Phase != GateClosed || s.Reason != failure.BadAnswer || s.Detail != "a page" {
			t.Fatalf("%+v", s)
		}
		(<-third).Leave(nil)
		if s := g.State(); s.Phase != GateOpen {
			t.Fatalf("%+v", s)
		}
		enter(t, g).LeaveInDoubt(errPage)
		enter(t, g).Leave(nil)
		if s := g.State(); s.Phase != GateOpen {
			t.Fatalf("%+v: a good answer settles it", s)
		}
	})
}
