package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/inbound"
	"fnobridge/internal/status"
)

// A board is what the demo shows while it runs: one row per lane, fed by the status events as a subscriber gets them
// and by the lanes' own view of what they wait for. Events and the drawing come from different goroutines.
type board struct {
	began time.Time
	color bool

	mu      sync.Mutex
	rows    map[string]*row
	total   int
	ended   int
	dead    int
	exports int
	paused  map[string]failure.Reason // environments
}

// row is one lane.
type row struct {
	entity, company, file string
	status                status.Status
	reason                failure.Reason
	total, done, dead     int
}

func newBoard(color bool) *board {
	return &board{began: time.Now(), color: color, rows: map[string]*row{}, paused: map[string]failure.Reason{}}
}

// expect notes a file that will be sent.
func (b *board) expect(session string, p contract.Pair) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rows[session]
	if r == nil {
		r = &row{entity: cmp.Or(p.Entity, session), company: p.Company}
		b.rows[session] = r
	}
	r.total++
	b.total++
}

// see takes an event in.
func (b *board) see(e status.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e.Status {
	case status.Paused:
		b.paused[e.Environment] = e.Reason
		return
	case status.Resumed:
		delete(b.paused, e.Environment)
		return
	case status.Exported, status.ExportEmpty:
		b.exports++
		return
	}
	r := b.rows[e.Session]
	if r == nil {
		r = &row{entity: e.Entity, company: e.Company}
		b.rows[e.Session] = r
	}
	r.file, r.status, r.reason = cmp.Or(e.FileName, e.MessageID), e.Status, e.Reason
	switch {
	case e.Status == status.DeadLettered:
		r.dead++
		b.dead++
		b.ended++
	case e.Status.Ends():
		r.done++
		b.ended++
	}
}

// lines draws the board for a terminal of that width.
func (b *board) lines(width int, lanes []inbound.SessionView) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	waits := make(map[string]inbound.SessionView, len(lanes))
	for _, v := range lanes {
		waits[v.Session] = v
	}
	out := []string{b.head(width), ""}
	names := make([]string, 0, len(b.rows))
	for name := range b.rows {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return strings.Compare(b.rows[x].entity, b.rows[y].entity) })
	for _, name := range names {
		r := b.rows[name]
		file, now, note := r.file, r.status, string(r.reason)
		if v := waits[name]; len(v.InHand) > 0 { // the lane is ahead of what it has published
			f := v.InHand[0]
			file, now, note = cmp.Or(f.FileName, f.MessageID), status.Status(cmp.Or(f.Status, string(f.Phase))), v.Waiting
			if left := time.Until(v.Until); left > 0 {
				note += fmt.Sprintf(", %.1f s", left.Seconds())
			}
		}
		out = append(out, clip(fmt.Sprintf("%s %s %s %3d/%-3d %s", pad(r.entity, 24), pad(file, 28),
			b.paint(now, pad(string(now), 20)), r.done+r.dead, r.total, note), width))
	}
	for env, why := range b.paused {
		out = append(out, clip(fmt.Sprintf("environment %s is paused: %s", env, why), width))
	}
	return out
}

// head is the line with the progress bar.
func (b *board) head(width int) string {
	const bar = 30
	full := 0
	if b.total > 0 {
		full = bar * b.ended / b.total
	}
	return clip(fmt.Sprintf("%5.1f s  [%s%s] %d/%d files, %d dead-lettered, %d exports", time.Since(b.began).Seconds(),
		strings.Repeat("#", full), strings.Repeat("-", bar-full), b.ended, b.total, b.dead, b.exports), width)
}

// paint colours a text by status.
func (b *board) paint(s status.Status, text string) string {
	if !b.color {
		return text
	}
	switch s {
	case status.Processed:
		return "\x1b[32m" + text + "\x1b[0m"
	case status.DeadLettered, status.ProcessedWithErrors, status.PreProcessingError, status.PostProcessingFailed:
		return "\x1b[31m" + text + "\x1b[0m"
	case status.UnknownOutcome, status.Retrying, status.Held:
		return "\x1b[33m" + text + "\x1b[0m"
	}
	return text
}

// pad gives s in exactly n columns, as far as runes are columns.
func pad(s string, n int) string {
	if c := utf8.RuneCountInString(s); c <= n {
		return s + strings.Repeat(" ", n-c)
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// clip keeps a line from wrapping, which would break the redrawing. Escape sequences take no columns.
func clip(s string, width int) string {
	if width <= 0 {
		return s
	}
	var b strings.Builder
	columns, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case columns == width-1:
			continue
		default:
			columns++
		}
		b.WriteRune(r)
	}
	return b.String()
}

// A screen redraws the same lines in place.
type screen struct {
	w     io.Writer
	drawn int
}

func (s *screen) draw(lines []string) {
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, l := range lines {
		b.WriteString("\x1b[2K" + l + "\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, _ = io.WriteString(s.w, b.String()) // a terminal that went away: the demo goes on and says so at the end
}
