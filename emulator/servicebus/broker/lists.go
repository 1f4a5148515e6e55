package broker

import (
	"slices"
	"sort"
)

// messageList is an intrusive list in order of sequence numbers. A message is in at most one: the ready list of its
// queue or session, or the list of those its session has locked.
type messageList struct {
	head, tail *message
	n          int
}

func (l *messageList) pushBack(m *message) { l.insertAfter(l.tail, m) }

// insertAfter puts m behind at; nil means in front.
func (l *messageList) insertAfter(at, m *message) {
	if m.list != nil {
		panic("broker: message is in a list already")
	}
	m.list, m.prev = l, at
	if at == nil {
		m.next, l.head = l.head, m
	} else {
		m.next, at.next = at.next, m
	}
	if m.next == nil {
		l.tail = m
	} else {
		m.next.prev = m
	}
	l.n++
}

// insert puts m where its sequence number belongs. Returned messages belong near the front, new ones at the very end,
// so both ends are tried.
func (l *messageList) insert(m *message) {
	if l.tail == nil || l.tail.seq < m.seq {
		l.pushBack(m)
		return
	}
	back, front := l.tail, l.head
	for {
		if front.seq > m.seq {
			l.insertAfter(front.prev, m)
			return
		}
		if back.seq < m.seq {
			l.insertAfter(back, m)
			return
		}
		front, back = front.next, back.prev
	}
}

func (l *messageList) remove(m *message) {
	if m.list != l {
		return
	}
	if m.prev == nil {
		l.head = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		l.tail = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.prev, m.next, m.list = nil, nil, nil
	l.n--
}

// index holds every message of a queue in order of sequence numbers. Removed ones stay as tombstones until they are the
// majority.
type index struct {
	all  []*message
	gone int
}

func (x *index) add(m *message) {
	n := len(x.all)
	if n == 0 || x.all[n-1].seq < m.seq {
		x.all = append(x.all, m)
		return
	}
	x.all = slices.Insert(x.all, x.from(m.seq), m)
}

// from returns the position of the first message with at least that number.
func (x *index) from(seq int64) int {
	return sort.Search(len(x.all), func(i int) bool { return x.all[i].seq >= seq })
}

// get returns the message with that number, nil when there is none.
func (x *index) get(seq int64) *message {
	for i := x.from(seq); i < len(x.all) && x.all[i].seq == seq; i++ {
		if x.all[i].state != gone {
			return x.all[i]
		}
	}
	return nil
}

// removed notes that one message of the index is gone.
func (x *index) removed() {
	x.gone++
	if x.gone < 64 || x.gone < len(x.all)/2 {
		return
	}
	x.all = slices.DeleteFunc(x.all, func(m *message) bool { return m.state == gone })
	x.gone = 0
}

func (x *index) len() int { return len(x.all) - x.gone }

// ring is an intrusive first-in, first-out list of consumers or sessions.
type ring[T any] struct {
	head, tail *link[T]
	n          int
}

type link[T any] struct {
	prev, next *link[T]
	in         bool
	v          T
}

func (r *ring[T]) push(l *link[T]) {
	if l.in {
		return
	}
	l.in, l.prev, l.next = true, r.tail, nil
	if r.tail == nil {
		r.head = l
	} else {
		r.tail.next = l
	}
	r.tail = l
	r.n++
}

func (r *ring[T]) remove(l *link[T]) {
	if !l.in {
		return
	}
	if l.prev == nil {
		r.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		r.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.in, l.prev, l.next = false, nil, nil
	r.n--
}
