package broker

import "time"

// history remembers message IDs for duplicate detection. Forgetting happens when the next message comes: IDs are kept
// in the order they came, so the old ones are at the front.
type history struct {
	until map[string]time.Time
	order []sighting
}

type sighting struct {
	id  string
	end time.Time
}

// repeated reports whether id was seen within the window, and remembers it if not.
func (h *history) repeated(id string, now time.Time, window time.Duration) bool {
	for len(h.order) > 0 && !h.order[0].end.After(now) {
		delete(h.until, h.order[0].id)
		h.order = h.order[1:]
	}
	if h.until == nil {
		h.until = map[string]time.Time{}
	}
	if _, ok := h.until[id]; ok {
		return true
	}
	end := now.Add(window)
	h.until[id] = end
	h.order = append(h.order, sighting{id, end})
	return false
}
