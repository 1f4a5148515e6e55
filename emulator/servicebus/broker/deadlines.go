package broker

import "time"

// deadline is one entry of the broker's deadline heap; the zero value is not set. All deadlines share one clock timer.
type deadline struct {
	at  time.Time
	pos int // index in the heap plus one; 0 = not set
	run func()
}

// deadlines is a binary heap ordered by time that knows where each entry is, so that a lock that was settled leaves
// nothing behind.
type deadlines []*deadline

func (h *deadlines) set(d *deadline, at time.Time) {
	d.at = at
	if d.pos == 0 {
		*h = append(*h, d)
		d.pos = len(*h)
		h.up(d.pos - 1)
		return
	}
	i := d.pos - 1
	h.up(i)
	h.down(d.pos - 1)
}

func (h *deadlines) clear(d *deadline) {
	if d.pos == 0 {
		return
	}
	i, last := d.pos-1, len(*h)-1
	d.pos = 0
	if i != last {
		(*h)[i] = (*h)[last]
		(*h)[i].pos = i + 1
	}
	(*h)[last] = nil
	*h = (*h)[:last]
	if i != last {
		moved := (*h)[i]
		h.up(i)
		h.down(moved.pos - 1)
	}
}

func (h deadlines) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].at.Before(h[parent].at) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h deadlines) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].at.Before(h[child].at) {
			child++
		}
		if !h[child].at.Before(h[i].at) {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h deadlines) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}
