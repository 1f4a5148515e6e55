package servicebus

import (
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
)

// query reads the body of a management request.
type query struct {
	r     *request
	body  amqp.Map
	owner broker.Owner
}

func (q *query) ok(body amqp.Map) {
	q.r.respond(200, "OK", "", body)
}

func (q *query) bad(field string) {
	q.r.respond(400, "The field '"+field+"' is missing or has the wrong type.", amqp.InvalidField, nil)
}

func (q *query) integer(name string) (int64, bool) {
	v, _ := q.body.Get(name)
	return amqp.Integer(v)
}

// session is the session-id, nil when absent; "" is a session.
func (q *query) session() *string {
	v, _ := q.body.Get("session-id")
	if id, ok := v.(string); ok {
		return &id
	}
	return nil
}

// elements returns the values of an array or a list.
func (q *query) elements(name string) ([]any, bool) {
	v, _ := q.body.Get(name)
	switch v := v.(type) {
	case amqp.Array:
		return v.Values, true
	case amqp.List:
		return v, true
	}
	return nil, false
}

func (q *query) uuids(name string) ([]amqp.UUID, bool) {
	all, ok := q.elements(name)
	out := make([]amqp.UUID, 0, len(all))
	for _, v := range all {
		u, is := v.(amqp.UUID)
		ok = ok && is
		out = append(out, u)
	}
	return out, ok
}

func (q *query) longs(name string) ([]int64, bool) {
	all, ok := q.elements(name)
	out := make([]int64, 0, len(all))
	for _, v := range all {
		n, is := amqp.Integer(v)
		ok = ok && is
		out = append(out, n)
	}
	return out, ok
}
