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

	"pgregory.net/rapid"

	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/ledger"
	"fnobridge/internal/payload"
)

// follows reports whether the phase of a file may change so between two writes: by one transition of the table. That a
// message left its queue unseen does not happen here.
func follows(from, to ledger.Phase) bool {
	return slices.ContainsFunc(ledger.Transitions(), func(t ledger.Transition) bool {
		return t.Name != "Gone" && slices.Contains(t.From, from) && slices.Contains(t.To, to)
	})
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
	last    *ledger.Ledger   // what the session state says
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
	m := &ledgerMachine{t: t, w: newWorld(t), last: &ledger.Ledger{Version: ledger.Version}, close: func() {}, doubt: map[int64]bool{}, excused: map[int64]string{}, refused: map[int64]*lane{}}
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
	p := m.w.b.process(m.t, fmt.Sprintf("process-%d", i))
	route := m.w.route
	route.into(m.w.environment("prod", p))
	w, err := New(Options{
		Sources: []Source{{Name: "files", Acceptor: fakeAcceptor{m.w.b, p}, Lock: m.w.b.lock}}, Routes: []*Route{&route},
		Payloads: fakePayloads{m.w.plan, m.w.b, payload.NewOpener(payload.Options{})}, Events: fakePublisher{m.w.topic, p},
		Sessions: 1, Accepts: 1, Idle: 200 * time.Millisecond, Refresh: time.Minute, At: m.at,
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
	next := goOn
	if err == nil {
		next, err = m.l.step()
	}
	if err != nil || next == release || !m.of.Alive() {
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
	intake, due := context.WithCancelCause(work)
	src := &r.w.o.Sources[0]
	r.w.slots.AwaitAccept(intake, src.Name)
	slot := r.w.slots.Take(src.Name)
	o := r.w.own(intake, work, src, watched{s, m})
	l := newLane(r.w, o, slot, newView(src.Name, o.ID()))
	m.mu.Lock()
	m.l, m.of, m.due = l, r, due
	m.mu.Unlock()
	for _, e := range m.last.Files {
		if e.Phase == ledger.Posting && e.By != r.w.instance {
			m.doubt[e.Seq] = true // whoever wrote it may have posted
		}
	}
	m.close = func() {
		o.release()
		due(nil)
		stop(nil)
		slot.GiveBack()
		_ = s.Close(context.Background())
	}
	_, err = l.begun()
	return err
}

// part ends a lane as its run does, with a checkpoint if it can.
func (m *ledgerMachine) part(err error) {
	l := m.l
	if m.of.Alive() && l.owned.Err() == nil {
		_ = l.checkpoint()
	}
	for _, f := range slices.Clone(l.imports) {
		l.letGo(f, err)
	}
	m.close()
	m.l = nil
	if !m.of.Alive() {
		m.of.Cut()
		m.procs[slices.Index(m.procs[:], m.of)] = nil
	}
}

// at is a point at which a crash leaves something different behind.
func (m *ledgerMachine) at(point string) {
	if point == "before-post" && m.of.Alive() {
		i := slices.IndexFunc(m.l.imports, func(f *fileImport) bool { return f.entry.Phase == ledger.Posting })
		m.mayPost(m.l.imports[i])
	}
	if m.dieAt--; m.dieAt == 0 {
		m.of.Kill()
	}
}

// mayPost checks that a post is announced, and that F&O does not have the file: unless its import failed, or the policy
// or an operator said so of an outcome that nobody knew.
func (m *ledgerMachine) mayPost(f *fileImport) {
	e := m.last.Find(f.msg.seq)
	switch {
	case e == nil || e.Phase != ledger.Posting || e.By != m.of.w.instance:
		m.fail("file %d is posted, and the ledger says %+v", f.msg.seq, e)
		return
	case !m.w.route.Overlap && m.queued(f.msg.seq-1):
		m.fail("file %d is posted while %d is in the queue", f.msg.seq, f.msg.seq-1)
	}
	m.refused[f.msg.seq] = m.l
	if m.w.plan.due("post") || m.says != nil && m.says.StatusCode == http.StatusGatewayTimeout {
		m.doubt[f.msg.seq] = true
		delete(m.refused, f.msg.seq)
	} else if m.says == nil {
		delete(m.refused, f.msg.seq)
	}
	if i, ok := m.taken(f.msg.Key); ok && !failedBy(i) && !e.Unknown && i.MessageID != m.excused[f.msg.seq] {
		m.fail("file %d is posted again, and F&O has it: %+v", f.msg.seq, i)
	}
}

// taken returns the last import of a file, as F&O knows it.
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
	return m.w.b.has(seq)
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
	next, err := ledger.Decode(state)
	if err != nil {
		m.fail("%v: %s", err, state)
		return
	}
	if again, err := next.Encode(); err != nil || !bytes.Equal(again, state) {
		m.fail("the ledger is read differently from what was written:\n%s\n%s, %v", state, again, err)
	}
	open := 0
	for _, e := range next.Files {
		if e.Phase != ledger.Settled {
			open++
		}
	}
	if len(state) > 2048 || open > m.w.route.Window+1 { // the window, and the one written ahead or cut short
		m.fail("%d bytes, %d open files for a window of %d", len(state), open, m.w.route.Window)
	}
	if next.Watermark < m.last.Watermark {
		m.fail("the watermark falls from %d to %d", m.last.Watermark, next.Watermark)
	}
	for _, sent := range m.w.sent {
		m.stepped(int64(sent.Index), sent.MessageID, next)
	}
	m.mu.Lock()
	m.raw, m.last = state, next
	m.mu.Unlock()
}

// stepped checks one file's part of a write.
func (m *ledgerMachine) stepped(seq int64, key string, next *ledger.Ledger) {
	from, to := phaseOf(m.last, seq), phaseOf(next, seq)
	if from != to && !follows(from, to) {
		m.fail("file %d goes from %q to %q", seq, from, to)
	}
	i, ok := m.taken(key)
	e := next.Find(seq)
	if was := m.last.Find(seq); was != nil && e != nil && e.Base > was.Base {
		m.excused[seq] = i.MessageID
	}
	refused := m.refused[seq] == m.l
	delete(m.refused, seq)
	switch {
	case to == ledger.Posting && refused:
		m.fail("F&O refused file %d, and the ledger still says %+v", seq, e)
	case to == ledger.Posting && from != ledger.Posting && !m.w.route.Overlap && m.queued(e.Seq-1):
		m.fail("file %d is announced while %d is in the queue: %+v", seq, seq-1, e)
	case e != nil && e.Reason == failure.UnknownOutcome && !m.doubt[seq]:
		m.fail("the ledger doubts where there is no doubt: %+v", e)
	case to == ledger.Settled && m.queued(seq):
		m.fail("file %d counts as settled, and is in the queue", seq)
	case to == ledger.InFno && (!ok || e.FnoID != i.MessageID):
		m.fail("file %d is noted as F&O's %s, which has %+v", seq, e.FnoID, i)
	case from == ledger.InFno && (to == ledger.Waiting || to == ledger.Held) && m.works(i):
		m.fail("file %d goes from %q to %q, and F&O has it: %+v", seq, from, to, i)
	case from == ledger.Posting && to == "" && (ok || triedBefore(m.last.Find(seq))):
		m.fail("more than an intent is forgotten: %+v; F&O has %+v", m.last.Find(seq), i)
	}
}

// works reports whether F&O works on an import and has time left for it.
func (m *ledgerMachine) works(i history.Recorded) bool {
	return !failedBy(i) && time.Since(i.Accepted) < m.w.route.Deadline
}

// triedBefore reports whether an entry knows more than the intent of a first attempt.
func triedBefore(e *ledger.Entry) bool { return e.Attempts > 1 || e.Unknown }

func phaseOf(l *ledger.Ledger, seq int64) ledger.Phase {
	if e := l.Find(seq); e != nil {
		return e.Phase
	}
	if seq <= l.Watermark {
		return ledger.Settled
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
			m.part(errDue)
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
			m.w.order(machineSession, ledger.Do(v.What))
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
			if len(m.last.Files) > 0 || m.last.Watermark != int64(len(m.w.sent)) {
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
			m.w.order(machineSession, ledger.Skip)
		}
		m.step(0)
	}
	if m.l != nil {
		m.part(nil)
	}
}

func (m *ledgerMachine) left() int {
	return m.w.b.left()
}
