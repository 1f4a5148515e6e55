package demo

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// A Terminal is where the lanes are shown while the demo runs.
type Terminal struct {
	W     io.Writer
	Width func() int // columns; asked for each time, because windows change
	Color bool
}

// A Lane is what a lane of the bridge says of itself. It is ahead of the events, which are published after the fact.
type Lane struct {
	Session string
	File    string // the oldest in hand; empty for none
	Status  status.Status
	Waiting string // what for
	Until   time.Time
}

// A liveView redraws one row per lane in place, from the status events as a subscriber gets them and from what the
// lanes say they wait for. The events and the drawing come from different goroutines.
type liveView struct {
	to    *Terminal // nil shows nothing
	began time.Time
	drawn int // lines

	mu      sync.Mutex
	rows    map[string]*row // by session
	total   int
	ended   int
	dead    int
	exports int
	paused  map[string]failure.Reason // by environment
}

// A row is one lane.
type row struct {
	entity, company, file string
	status                status.Status
	reason                failure.Reason
	total, done, dead     int
}

// newLiveView returns a view that expects the files.
func newLiveView(to *Terminal, began time.Time, files []file) *liveView {
	v := &liveView{to: to, began: began, rows: map[string]*row{}, total: len(files), paused: map[string]failure.Reason{}}
	for _, f := range files {
		if v.rows[f.session] == nil {
			v.rows[f.session] = &row{entity: cmp.Or(f.entity, f.session), company: f.company}
		}
		v.rows[f.session].total++
	}
	return v
}

// see takes an event in.
func (v *liveView) see(e status.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Status {
	case status.Paused:
		v.paused[e.Environment] = e.Reason
		return
	case status.Resumed:
		delete(v.paused, e.Environment)
		return
	case status.Exported, status.ExportEmpty:
		v.exports++
		return
	}
	r := v.rows[e.Session]
	if r == nil {
		r = &row{entity: e.Entity, company: e.Company}
		v.rows[e.Session] = r
	}
	r.file, r.status, r.reason = cmp.Or(e.FileName, e.MessageID), e.Status, e.Reason
	switch {
	case e.Status == status.DeadLettered:
		r.dead++
		v.dead++
		v.ended++
	case e.Status.Ends():
		r.done++
		v.ended++
	}
}

// draw shows the lanes in place of what it showed before.
func (v *liveView) draw(lanes []Lane) {
	if v.to == nil {
		return
	}
	lines := v.lines(v.to.Width(), lanes)
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	for _, l := range lines {
		b.WriteString("\x1b[2K" + l + "\n")
	}
	b.WriteString("\x1b[J")
	v.drawn = len(lines)
	_, _ = io.WriteString(v.to.W, b.String()) // a terminal that went away: the demo goes on and says so at the end
}

// lines returns the view for a terminal of that width.
func (v *liveView) lines(width int, lanes []Lane) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	bySession := make(map[string]Lane, len(lanes))
	for _, l := range lanes {
		bySession[l.Session] = l
	}
	out := []string{v.head(width), ""}
	names := slices.SortedFunc(maps.Keys(v.rows), func(x, y string) int {
		return strings.Compare(v.rows[x].entity, v.rows[y].entity)
	})
	for _, name := range names {
		r := v.rows[name]
		file, now, note := r.file, r.status, string(r.reason)
		if l := bySession[name]; l.File != "" { // the lane is ahead of what it has published
			file, now, note = l.File, l.Status, l.Waiting
			if left := time.Until(l.Until); left > 0 {
				note += fmt.Sprintf(", %.1f s", left.Seconds())
			}
		}
		out = append(out, clip(fmt.Sprintf("%s %s %s %3d/%-3d %s", pad(r.entity, 24), pad(file, 28),
			v.paint(now, pad(string(now), 20)), r.done+r.dead, r.total, note), width))
	}
	for env, why := range v.paused {
		out = append(out, clip(fmt.Sprintf("environment %s is paused: %s", env, why), width))
	}
	return out
}

// head is the line with the progress bar.
func (v *liveView) head(width int) string {
	const bar = 30
	full := 0
	if v.total > 0 {
		full = bar * v.ended / v.total
	}
	return clip(fmt.Sprintf("%5.1f s  [%s%s] %d/%d files, %d dead-lettered, %d exports", time.Since(v.began).Seconds(),
		strings.Repeat("#", full), strings.Repeat("-", bar-full), v.ended, v.total, v.dead, v.exports), width)
}

// paint colours a text by status.
func (v *liveView) paint(s status.Status, text string) string {
	if !v.to.Color {
		return text
	}
	if c := colors[s.Tone()]; c != "" {
		return c + text + "\x1b[0m"
	}
	return text
}

// colors are the terminal's, by tone: green, yellow, red.
var colors = map[status.Tone]string{status.Good: "\x1b[32m", status.Uneasy: "\x1b[33m", status.Bad: "\x1b[31m"}

// pad returns s in exactly n columns, as far as runes are columns.
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
