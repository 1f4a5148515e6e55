package servicebus

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
)

// management is the $management node of an entity.
// Source: Microsoft Learn, service-bus-amqp-request-response.
type management struct {
	c       *conn
	m       *broker.Manager
	address string // of the entity
}

// allMessages is the last-updated-time that asks for sessions with messages or state: the largest time .NET knows, in
// milliseconds.
const allMessages = 253402300800000 - 1

func (g *management) request(r *request) {
	body, ok := r.body.(amqp.Map)
	if !ok {
		r.respond(400, "The body of a request must be a map.", amqp.InvalidField, nil)
		return
	}
	q := &query{r: r, body: body, owner: g.owner(r.properties.String("associated-link-name"))}
	op := operations[r.operation]
	if op.run == nil {
		r.respond(501, "Unknown operation '"+r.operation+"'.", amqp.NotImplemented, nil)
		return
	}
	// The token may be for the node alone: the JavaScript client puts one for the entity only when it opens a link to
	// it.
	if err := g.c.claims.check(g.address+"/$management", op.right); err != nil {
		r.fail(err)
		return
	}
	if g.c.s.o.IdleRules {
		// What a client does by request for one of its links keeps that link alive.
		if l, ok := g.link(r).(link); ok {
			l.base().touch()
		}
	}
	if g.c.s.faults.armed.Load() == 0 {
		op.run(g, q)
		return
	}
	session := ""
	if id := q.session(); id != nil {
		session = *id
	}
	name := op.op
	if name == OpAny { // a settlement
		name = verdictOps[q.verdict()]
	}
	g.c.perform(act{
		op: name, address: g.address, session: session, link: g.link(r), mute: func() { r.muted = true },
		run: func() *amqp.Error { op.run(g, q); return nil },
		answer: func(err *amqp.Error) {
			if err != nil {
				r.fail(err)
			}
		},
		expire: func() {
			if session != "" {
				g.c.s.broker.ExpireSession(g.address, session)
			}
			tokens, _ := q.uuids("lock-tokens")
			for _, t := range tokens {
				g.c.s.broker.ExpireLock(g.address, t)
			}
		},
	})
}

// link is the link a request names as its own, nil when there is none.
func (g *management) link(r *request) forcible {
	name := r.properties.String("associated-link-name")
	for _, l := range g.c.find(g.address, "") {
		if b, ok := l.(link); ok && b.base().name == name {
			return l
		}
	}
	return nil
}

// owner recognises consumers of this connection, and if the request names a link, that one only.
func (g *management) owner(name string) broker.Owner {
	return func(c *broker.Consumer) bool {
		l, ok := c.Sink().(*outLink)
		return ok && l.s.c == g.c && (name == "" || l.name == name)
	}
}

// fail answers with the status that belongs to a condition.
func (r *request) fail(err *amqp.Error) {
	status := int32(500)
	switch err.Condition {
	case amqp.MessageLockLost, amqp.SessionLockLost:
		status = 410
	case amqp.NotFound, amqp.MessageNotFound:
		status = 404
	case amqp.UnauthorizedAccess:
		status = 401
	case amqp.EntityDisabled, amqp.ResourceLimitExceeded:
		status = 403
	case amqp.ServerBusy:
		status = 503
	case amqp.Timeout:
		status = 408
	case amqp.EntityAlreadyExists:
		status = 409
	case amqp.NotAllowed, amqp.InvalidField, amqp.DecodeError, amqp.MessageSizeExceeded, amqp.ArgumentError:
		status = 400
	case amqp.NotImplemented:
		status = 501
	}
	r.respond(status, err.Description, err.Condition, nil)
}

type operation struct {
	op    Op // OpAny: one of the settlements
	right entity.Right
	run   func(*management, *query)
}

var operations = map[string]operation{
	"com.microsoft:peek-message":               {OpPeek, entity.Listen, (*management).peek},
	"com.microsoft:renew-lock":                 {OpRenew, entity.Listen, (*management).renewLock},
	"com.microsoft:renew-session-lock":         {OpRenew, entity.Listen, (*management).renewSession},
	"com.microsoft:get-session-state":          {OpGetState, entity.Listen, (*management).getState},
	"com.microsoft:set-session-state":          {OpSetState, entity.Listen, (*management).setState},
	"com.microsoft:get-message-sessions":       {OpListSessions, entity.Listen, (*management).listSessions},
	"com.microsoft:schedule-message":           {OpSchedule, entity.Send, (*management).schedule},
	"com.microsoft:cancel-scheduled-message":   {OpCancel, entity.Send, (*management).cancel},
	"com.microsoft:receive-by-sequence-number": {OpReceiveDeferred, entity.Listen, (*management).receiveDeferred},
	"com.microsoft:add-rule":                   {OpAddRule, entity.Listen, (*management).addRule},
	"com.microsoft:remove-rule":                {OpRemoveRule, entity.Listen, (*management).removeRule},
	"com.microsoft:enumerate-rules":            {OpListRules, entity.Listen, (*management).enumerateRules},
	"com.microsoft:update-disposition":         {OpAny, entity.Listen, (*management).updateDisposition},
}

func (g *management) peek(q *query) {
	from, _ := q.integer("from-sequence-number")
	count, ok := q.integer("message-count")
	if !ok || count < 1 {
		q.bad("message-count")
		return
	}
	raws, err := g.m.Peek(from, int(min(count, 1000)), q.session())
	if err != nil {
		q.r.fail(err)
		return
	}
	if len(raws) == 0 {
		q.r.respond(204, "No messages.", "", nil)
		return
	}
	list := make(amqp.List, 0, len(raws))
	for _, raw := range raws {
		list = append(list, amqp.Map{{Key: "message", Value: raw}})
	}
	q.ok(amqp.Map{{Key: "messages", Value: list}})
}

func (g *management) renewLock(q *query) {
	tokens, ok := q.uuids("lock-tokens")
	if !ok {
		q.bad("lock-tokens")
		return
	}
	until, err := g.m.RenewLocks(tokens)
	if err != nil {
		q.r.fail(err)
		return
	}
	stamps := make([]amqp.Timestamp, 0, len(until))
	for _, t := range until {
		stamps = append(stamps, amqp.TimestampOf(t))
	}
	q.ok(amqp.Map{{Key: "expirations", Value: stamps}})
}

func (g *management) renewSession(q *query) {
	id := q.session()
	if id == nil {
		q.bad("session-id")
		return
	}
	until, err := g.m.RenewSession(*id, q.owner)
	if err != nil {
		q.r.fail(err)
		return
	}
	q.ok(amqp.Map{{Key: "expiration", Value: amqp.TimestampOf(until)}})
}

func (g *management) getState(q *query) {
	id := q.session()
	if id == nil {
		q.bad("session-id")
		return
	}
	state, err := g.m.SessionState(*id, q.owner)
	if err != nil {
		q.r.fail(err)
		return
	}
	var v any
	if state != nil {
		v = state
	}
	q.ok(amqp.Map{{Key: "session-state", Value: v}})
}

func (g *management) setState(q *query) {
	id := q.session()
	if id == nil {
		q.bad("session-id")
		return
	}
	v, _ := q.body.Get("session-state")
	state, ok := v.([]byte)
	if v != nil && !ok {
		q.bad("session-state")
		return
	}
	q.done(g.m.SetSessionState(*id, state, q.owner))
}

func (g *management) listSessions(q *query) {
	skip, _ := q.integer("skip")
	top, ok := q.integer("top")
	if !ok {
		q.bad("top")
		return
	}
	var since *time.Time
	if ms, ok := q.integer("last-updated-time"); ok && ms < allMessages {
		t := time.UnixMilli(ms)
		since = &t
	}
	ids, err := g.m.Sessions(since, int(skip), int(top))
	if err != nil {
		q.r.fail(err)
		return
	}
	if len(ids) == 0 {
		q.r.respond(204, "No sessions.", "", nil)
		return
	}
	q.ok(amqp.Map{{Key: "skip", Value: int32(int(skip) + len(ids))}, {Key: "sessions-ids", Value: ids}})
}

func (g *management) schedule(q *query) {
	v, _ := q.body.Get("messages")
	list, ok := v.(amqp.List)
	if !ok {
		q.bad("messages")
		return
	}
	raws := make([][]byte, 0, len(list))
	for _, e := range list {
		m, _ := e.(amqp.Map)
		v, _ := m.Get("message")
		raw, ok := v.([]byte)
		if !ok {
			q.bad("message")
			return
		}
		raws = append(raws, raw)
	}
	numbers, err := g.m.Schedule(raws)
	if err != nil {
		q.r.fail(err)
		return
	}
	q.ok(amqp.Map{{Key: "sequence-numbers", Value: numbers}})
}

func (g *management) cancel(q *query) {
	numbers, ok := q.longs("sequence-numbers")
	if !ok {
		q.bad("sequence-numbers")
		return
	}
	q.done(g.m.Cancel(numbers))
}

func (g *management) receiveDeferred(q *query) {
	numbers, ok := q.longs("sequence-numbers")
	if !ok {
		q.bad("sequence-numbers")
		return
	}
	mode, _ := q.integer("receiver-settle-mode")
	found, err := g.m.ReceiveDeferred(numbers, mode == 0, q.session(), q.owner)
	if err != nil {
		q.r.fail(err)
		return
	}
	list := make(amqp.List, 0, len(found))
	for _, f := range found {
		list = append(list, amqp.Map{{Key: "message", Value: f.Raw}, {Key: "lock-token", Value: f.Token}})
	}
	q.ok(amqp.Map{{Key: "messages", Value: list}})
}

func (g *management) updateDisposition(q *query) {
	tokens, ok := q.uuids("lock-tokens")
	if !ok {
		q.bad("lock-tokens")
		return
	}
	props, _ := q.body.Get("properties-to-modify")
	o := broker.Outcome{Reason: q.body.String("deadletter-reason"), Description: q.body.String("deadletter-description")}
	o.Properties, _ = props.(amqp.Map)
	verdict, ok := dispositions[q.body.String("disposition-status")]
	if !ok {
		q.bad("disposition-status")
		return
	}
	o.Verdict = verdict
	q.done(g.m.Settle(tokens, o))
}

// dispositions are the verdicts by name; "defered" is the protocol's spelling.
var dispositions = map[string]broker.Verdict{
	"completed": broker.Complete, "abandoned": broker.Abandon, "suspended": broker.DeadLetter, "defered": broker.Defer,
	"deferred": broker.Defer,
}

func (q *query) verdict() broker.Verdict { return dispositions[q.body.String("disposition-status")] }
