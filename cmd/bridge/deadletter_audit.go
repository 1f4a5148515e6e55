package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"fnobridge/internal/deadletter"
)

// auditTrail makes a run write one line per message, to a file or the log, and show its progress on a terminal. done
// ends both. The bar is cleared before every other line: both go to the same terminal.
func (a *app) auditTrail(o *deadletter.Options, file string) (done func() error, err error) {
	if u, err := user.Current(); err == nil {
		o.By = u.Username
	}
	bar := &progressBar{a: a, on: a.interactive(a.stderr)}
	o.Progress = bar.draw
	o.Waiting = func(n int) {
		bar.clear()
		a.logger().Info("waiting for locks that somebody else holds", "groups", n, "atMost", o.Wait)
	}
	if file == "" {
		log := a.logger()
		o.Audit = func(r deadletter.Record) error {
			bar.clear()
			logRecord(log, r)
			return nil
		}
		return func() error { bar.clear(); return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	o.Audit = func(r deadletter.Record) error { return enc.Encode(r) }
	return func() error {
		bar.clear()
		if err := f.Close(); err != nil {
			return fmt.Errorf("audit trail: %w", err)
		}
		return nil
	}, nil
}

// logRecord is the audit line as a log line: the same names, without what is empty.
func logRecord(log *slog.Logger, r deadletter.Record) {
	level := slog.LevelInfo
	switch r.Outcome {
	case deadletter.OutcomeFailed, deadletter.OutcomeBlocked, deadletter.OutcomeLocked, deadletter.OutcomeDoubt:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("action", r.Action), slog.String("outcome", r.Outcome), slog.String("source", r.Source),
	}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	if r.SequenceNumber > 0 {
		attrs = append(attrs, slog.Int64("sequenceNumber", r.SequenceNumber))
	}
	if r.Session != nil {
		attrs = append(attrs, slog.String("session", *r.Session))
	}
	add("messageId", r.MessageID)
	add("copyId", r.CopyID)
	add("target", r.Target)
	add("reason", r.Reason)
	if r.Edited {
		attrs = append(attrs, slog.Bool("edited", true))
	}
	add("by", r.By)
	add("error", r.Error)
	log.LogAttrs(context.Background(), level, "audit", attrs...)
}

// A progressBar is one line on a terminal that is drawn over itself. It is drawn from one goroutine at a time.
type progressBar struct {
	a    *app
	on   bool
	last time.Time
	up   bool
}

// barWidth and barEvery keep the bar narrow and the terminal calm.
const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

func (b *progressBar) draw(done, all int) {
	if !b.on || all == 0 || (done < all && time.Since(b.last) < barEvery) {
		return
	}
	b.last, b.up = time.Now(), true
	n := min(barWidth*done/all, barWidth)
	bar := strings.Repeat("=", n) + strings.Repeat(" ", barWidth-n)
	_, _ = fmt.Fprintf(b.a.stderr, "\r\033[K[%s] %d of %d", bar, done, all)
}

func (b *progressBar) clear() {
	if b.up {
		_, _ = fmt.Fprint(b.a.stderr, "\r\033[K")
		b.up = false
	}
}
