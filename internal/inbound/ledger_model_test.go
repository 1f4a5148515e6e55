package inbound

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/lease"
	"fnobridge/internal/payload"
)

// steps is the diagram of Phase, with every way in which one write of the ledger may differ from the one before. "" is
// a file without an entry that is not settled.
var steps = map[Phase][]Phase{
	"":        {Posting, Waiting, Dead},
	Posting:   {InFno, Waiting, Dead, ""},
	InFno:     {Waiting, HeldBack, Dead, SettledIn},
	Waiting:   {Posting, HeldBack, Dead},
	HeldBack:  {Waiting},
	Dead:      {SettledIn},
	SettledIn: {},
}

// A ledgerMachine drives lanes of one session step by step, through hand-overs, crashes and whatever F&O answers, and
// holds every write of the ledger against the diagram and against what F&O and the queue really did.
type ledgerMachine struct {
	mu      sync.Mutex // for timers, which read of, last and due; all else is one goroutine's
	t       *testing.T
	w       *world
	procs   [2]*replica
	of      *replica // who has the session
	l       *lane    // nil while nobody has it
	close   func()
	due     context.CancelCauseFunc // ends the lane's waiting
	raw     []byte
	last    *Ledger          // what the session state says
	dieAt   int              // crash at this one of the points to come; 0: at none
	says    *http.Response   // what F&O says to the next call; nil for an answer of its own
	broken  string           // the first promise that was
	doubt   map[int64]bool   // files of which nobody can know whether F&O has them
	excused map[int64]string // the import that an operator knew of, or could have, when he released a file
	refused map[int64]*lane  // files that F&O just refused, by the lane that heard it
}

type replica struct {
	*process
	w *Worker
}

const machineSession = "Entity 0"

func newLedgerMachine(t *testing.T, r Route) *ledgerMachine {
	m := &ledgerMachine{t: t, w: newWorld(t), last: &Ledger{Version: LedgerVersion}, close: func() {}, doubt: map[int64]bool{}, excused: map[int64]string{}, refused: map[int64]*lane{}}
	m.w.route.OnFailure, m.w.route.ResendUnknown, m.w.route.Deadline = r.OnFailure, r.ResendUnknown, 2*time.Minute
	if r.Overlap {
		m.w.route.Overlap, m.w.route.Window, m.w.fno.parallel = true, 3, true
	}
	m.w.fno.outage = func(_, _ string) *http.Response {
		r := m.says
		m.says = nil
		return r
	}
	return m
}

func (m *ledgerMachine) replica(i int) *replica {
	if m.procs[i] != nil {
		return m.procs[i]
	}
	p := &process{name: fmt.Sprintf("process-%d", i)}
	route := m.w.route
	route.Environment = m.w.environment("prod", p)
	w, err := New(Options{
		Sources: []Source{{Name: "files", Acceptor: fakeAcceptor{m.w.b, p}, Lock: m.w.b.lock}}, Routes: []*Route{&route},
		Payloads: fakePayloads{m.w.plan, m.w.b, payload.NewOpener(payload.Options{})}, Events: fakePublisher{m.w.topic, p},
		Sessions: 1, Accepts: 1, Idle: 200 * time.Millisecond, At: m.at,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.procs[i] = &replica{p, w}
	return m.procs[i]
}

// step lets replica i go one step with the session, if nobody else has it.
func (m *ledgerMachine) step(i int) {
	var err error
	if m.l == nil {
		err = m.accept(m.replica(i))
	}
	if err == nil {
		err = m.l.step()
	}
	if err != nil || !m.of.alive() {
		m.part(err)
	}
}

// accept begins a lane as its run does.
func (m *ledgerMachine) accept(r *replica) error {
	s, err := fakeAcceptor{m.w.b, r.process}.AcceptByID(m.t.Context(), machineSession)
	if err != nil {
		m.t.Fatal(err)
	}
	work, stop := context.WithCancelCause(context.Background())
	l := newLane(r.w, &r.w.o.Sources[0], watched{s, m})
	l.intake, l.work = work, work
	l.lease = lease.Start(work, l.s, m.w.b.lock, nil)
	l.held = l.lease.Context()
	waiting, due := context.WithCancelCause(l.held)
	t := time.AfterFunc(time.Minute, func() { due(errAgain) })
	m.mu.Lock()
	l.waiting, m.l, m.of, m.due = waiting, l, r, due
	m.mu.Unlock()
	for _, e := range m.last.Files {
		if e.Phase == Posting && e.By != r.w.instance && !m.queued(e.After) {
			m.doubt[e.Seq] = true // whoever wrote it may have posted
		}
	}
	m.close = func() {
		t.Stop()
		due(nil)
		stop(nil)
		l.lease.Stop()
		_ = s.Close(context.Background())
	}
	return l.load()
}

// part ends a lane as its run does, with a checkpoint if it can.
func (m *ledgerMachine) part(err error) {
	l := m.l
	l.leave(errNotMade)
	if m.of.alive() && l.held.Err() == nil {
		_ = l.checkpoint()
	}
	l.closeFiles(err)
	m.close()
	m.l = nil
	if !m.of.alive() {
		m.w.b.cut(m.of.process)
		m.procs[slices.Index(m.procs[:], m.of)] = nil
	}
}

// at is a point at which a crash leaves something different behind.
func (m *ledgerMachine) at(point string) {
	if point == "before-post" && m.of.alive() {
		m.mayPost(m.l.cur)
	}
	if m.dieAt--; m.dieAt == 0 {
		m.of.kill()
	}
}

// mayPost checks that a post is announced, and that F&O does not have the file: unless its import failed, or the policy
// or an operator said so of an outcome that nobody knew.
func (m *ledgerMachine) mayPost(f *file) {
	e := m.last.find(f.seq)
	switch {
	case e == nil || e.Phase != Posting || e.By != m.of.w.instance:
		m.fail("file %d is posted, and the ledger says %+v", f.seq, e)
		return
	case e.After != 0 && m.queued(e.After):
		m.fail("file %d is posted while %d, after which it was to come, is in the queue", f.seq, e.After)
	}
	m.refused[f.seq] = m.l
	if m.w.plan.due("post") || m.says != nil && m.says.StatusCode == http.StatusGatewayTimeout {
		m.doubt[f.seq] = true
		delete(m.refused, f.seq)
	} else if m.says == nil {
		delete(m.refused, f.seq)
	}
	if i, ok := m.taken(f.key); ok && !failedBy(i) && !e.Unknown && i.MessageID != m.excused[f.seq] {
		m.fail("file %d is posted again, and F&O has it: %+v", f.seq, i)
	}
}

// taken gives the last import of a file, as F&O knows it.
func (m *ledgerMachine) taken(key string) (last history.Recorded, ok bool) {
	for _, r := range m.w.fno.recorded() {
		if r.ExternalID == key {
			last, ok = r, true
		}
	}
	return last, ok
}

func failedBy(i history.Recorded) bool {
	return i.Status != "Processed" && !i.Ended.IsZero() && !i.Ended.After(time.Now())
}

func (m *ledgerMachine) queued(seq int64) bool {
	m.w.b.mu.Lock()
	defer m.w.b.mu.Unlock()
	return slices.ContainsFunc(m.w.b.session(machineSession).messages, func(f *fakeMessage) bool { return f.seq == seq })
}

// A watched session has every write of its state looked at.
type watched struct {
	Session
	m *ledgerMachine
}

func (s watched) SetState(ctx context.Context, state []byte) error {
	err := s.Session.SetState(ctx, state)
	if bytes.Equal(s.m.w.b.stateOf(machineSession), state) { // whatever was heard of it
		s.m.wrote(state)
	}
	return err
}

// wrote checks what was written against what was there before.
func (m *ledgerMachine) wrote(state []byte) {
	next, err := DecodeLedger(state)
	if err != nil {
		m.fail("%v: %s", err, state)
		return
	}
	if diff := cmp.Diff(m.l.ledger, next, cmpopts.EquateEmpty()); diff != "" && state != nil {
		m.fail("the ledger is read differently from what was written:\n%s", diff)
	}
	open := 0
	for _, e := range next.Files {
		if e.Phase != SettledIn {
			open++
		}
	}
	if len(state) > 2048 || open > m.w.route.Window+1 { // the window, and the one written ahead or cut short
		m.fail("%d bytes, %d open files for a window of %d", len(state), open, m.w.route.Window)
	}
	if next.Settled < m.last.Settled {
		m.fail("the watermark falls from %d to %d", m.last.Settled, next.Settled)
	}
	for _, sent := range m.w.sent {
		m.stepped(int64(sent.Index), sent.MessageID, next)
	}
	m.mu.Lock()
	m.raw, m.last = state, next
	m.mu.Unlock()
}

// stepped checks one file's part of a write.
func (m *ledgerMachine) stepped(seq int64, key string, next *Ledger) {
	from, to := phaseOf(m.last, seq), phaseOf(next, seq)
	if from != to && !slices.Contains(steps[from], to) {
		m.fail("file %d goes from %q to %q", seq, from, to)
	}
	i, ok := m.taken(key)
	e := next.find(seq)
	if was := m.last.find(seq); was != nil && e != nil && e.Base > was.Base {
		m.excused[seq] = i.MessageID
	}
	refused := m.refused[seq] == m.l
	delete(m.refused, seq)
	switch {
	case to == Posting && refused:
		m.fail("F&O refused file %d, and the ledger still says %+v", seq, e)
	case to == Posting && from != Posting && !m.w.route.Overlap && m.queued(e.Seq-1) && e.After != e.Seq-1:
		m.fail("file %d is to follow %d, and the intent says %+v", seq, seq-1, e)
	case e != nil && e.Reason == failure.UnknownOutcome && !m.doubt[seq]:
		m.fail("the ledger doubts where there is no doubt: %+v", e)
	case to == SettledIn && m.queued(seq):
		m.fail("file %d counts as settled, and is in the queue", seq)
	case to == InFno && (!ok || e.FnoID != i.MessageID):
		m.fail("file %d is noted as F&O's %s, which has %+v", seq, e.FnoID, i)
	case from == InFno && (to == Waiting || to == HeldBack) && !failedBy(i) && time.Since(i.Accepted) < m.w.route.Deadline:
		m.fail("file %d goes from %q to %q, and F&O has it: %+v", seq, from, to, i)
	case from == Posting && to == "" && (ok || m.last.find(seq).Attempts > 1 || m.last.find(seq).Unknown):
		m.fail("more than an intent is forgotten: %+v; F&O has %+v", m.last.find(seq), i)
	}
}

func phaseOf(l *Ledger, seq int64) Phase {
	if e := l.find(seq); e != nil {
		return e.Phase
	}
	if l.settled(seq) {
		return SettledIn
	}
	return ""
}

// A move is one thing that happens to the session.
type move struct {
	What string
	N    int       // the replica that steps, and how far; the point at which it dies; the calls before the fault
	Text string    // of a file; what F&O says
	Op   string    // whose next call goes wrong
	Kind faultKind // and how
}

var aMove = rapid.Custom(func(t *rapid.T) move {
	v := move{What: rapid.SampledFrom([]string{
		"send", "send", "send", "look in", "look in", "step", "step", "steps", "steps", "die", "die", "hand over", "lose the lock",
		"fault", "fault", "fault", "refuse", "refuse", "release", "skip",
	}).Draw(t, "what")}
	switch v.What {
	case "send":
		v.Text = rapid.SampledFrom([]string{"good", "good", "good", "bad", "deadlock", "bad mended", "never"}).Draw(t, "text")
	case "look in", "step", "steps", "die":
		v.N = rapid.IntRange(0, 15).Draw(t, "n")
	case "fault":
		v.Op = rapid.SampledFrom([]string{"post", "post", "post", "post", "GetMessageStatus", "set state", "complete", "dead-letter", "publish", "open payload"}).Draw(t, "operation")
		v.Kind, v.N = rapid.SampledFrom(faultKinds).Draw(t, "fault"), rapid.IntRange(0, 2).Draw(t, "calls before")
	case "refuse":
		v.Text = rapid.SampledFrom([]string{"a retry", "a pause", "a rejection", "no answer"}).Draw(t, "how")
	}
	return v
})

func (m *ledgerMachine) do(v move) {
	switch v.What {
	case "send":
		m.send(v.Text)
	case "look in":
		if m.l == nil {
			i := max(0, slices.Index(m.procs[:], m.of)) // who had it last may know an answer
			m.part(m.accept(m.replica(i)))
		}
	case "step":
		m.step(v.N % 2)
	case "steps":
		for n := range v.N {
			m.step(n % 2) // who comes first after a hand-over takes it
		}
	case "die":
		m.dieAt = v.N/2 + 1
		m.step(v.N % 2)
		m.dieAt = 0
	case "hand over":
		if m.l != nil {
			m.part(errAgain)
		}
	case "lose the lock":
		m.w.b.steal(machineSession)
	case "fault":
		m.w.plan.add(v.Op, m.w.plan.calls(v.Op)+1+v.N, v.Kind)
	case "refuse":
		m.says = map[string]*http.Response{
			"a retry":     reply(http.StatusInternalServerError, "a bad moment"),
			"a pause":     reply(http.StatusServiceUnavailable, "", "Retry-After", "20"),
			"a rejection": reply(http.StatusRequestEntityTooLarge, ""),
			"no answer":   reply(http.StatusGatewayTimeout, ""),
		}[v.Text]
	case "release", "skip":
		if m.last.Park != nil {
			m.w.order(machineSession, Do(v.What))
		}
	}
}

func (m *ledgerMachine) send(text string) {
	n := len(m.w.sent) + 1
	m.w.send(machineSession, fmt.Sprintf("f%d", n), fmt.Sprintf("%s file %d", text, n))
}

// fail notes the first promise that was broken: rapid can then look for a shorter way to it.
func (m *ledgerMachine) fail(format string, args ...any) {
	if m.broken == "" {
		m.broken = fmt.Sprintf(format, args...)
	}
}

func TestEveryWriteOfTheLedgerFollowsItsDiagram(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		route := Route{
			OnFailure:     rapid.SampledFrom([]OnFailure{OnFailureSkip, OnFailureHold, OnFailureDrain}).Draw(rt, "on failure"),
			ResendUnknown: rapid.Bool().Draw(rt, "resend"), Overlap: rapid.Bool().Draw(rt, "overlap"),
		}
		moves := rapid.SliceOfN(aMove, 1, 60).Draw(rt, "moves")
		broken := ""
		synctest.Test(t, func(t *testing.T) {
			m := newLedgerMachine(t, route)
			for _, v := range moves {
				if m.do(v); m.broken != "" {
					break
				}
			}
			m.settle()
			m.send("good: what it meets, it must find in order")
			m.settle()
			if len(m.last.Files) > 0 || m.last.Settled != int64(len(m.w.sent)) {
				m.fail("all is settled, and the ledger says %s", m.raw)
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

// due reports whether the next call of an operation goes wrong.
func (p *faultPlan) due(op string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.armed, func(a *armed) bool { return a.op == op && a.nth == p.count[op]+1 })
}

// settle calms the world down and goes on until the queue is empty, and then releases the session.
func (m *ledgerMachine) settle() {
	m.says = nil
	m.w.plan.mu.Lock() // renewals ask it, too
	m.w.plan.armed = nil
	m.w.plan.mu.Unlock()
	for n := 0; m.left() > 0; n++ {
		if n > 5000 {
			m.fail("no end: %s", m.raw)
			break
		}
		if m.last.Park != nil {
			m.w.order(machineSession, Skip)
		}
		m.step(0)
	}
	if m.l != nil {
		m.part(errRelease)
	}
}

func (m *ledgerMachine) left() int {
	m.w.b.mu.Lock()
	defer m.w.b.mu.Unlock()
	return m.w.b.left()
}
