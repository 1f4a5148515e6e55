package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/contract"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/inbound"
	"fnobridge/internal/ledger"
)

// sessionRow is one session as `bridge sessions` shows it.
type sessionRow struct {
	Source   string             `json:"source"`
	Session  string             `json:"session"`
	Owner    string             `json:"owner"` // free, locked (by somebody), or worker (the one that was asked)
	Messages *int               `json:"messages,omitempty"`
	Oldest   time.Time          `json:"oldest,omitzero"`
	Parked   ledger.ParkMode    `json:"parked,omitempty"`
	Reason   string             `json:"reason,omitempty"`
	Detail   string             `json:"detail,omitempty"`
	Since    time.Time          `json:"since,omitzero"` // held, draining or owned since then
	Waiting  string             `json:"waiting,omitempty"`
	Files    []inbound.FileView `json:"files,omitempty"` // in flight
	Problem  string             `json:"problem,omitempty"`
}

func newSessionsCommand(a *app) *cobra.Command {
	var entity, worker string
	var out format
	cmd := &cobra.Command{
		Use:   "sessions [SOURCE...]",
		Short: "Show every session with work or state: its owner, file in flight, hold or drain",
		Long: `Show every session that has messages or state. A free session is locked for the moment
it takes to read its ledger. What is in a locked one only its worker knows: name the
worker's listen address with --worker to ask it.`,
		Example: `  bridge sessions
  bridge sessions --entity "Customer groups" --worker http://127.0.0.1:8080
  bridge sessions release "usmf/Customer groups"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onDeadLetters(cmd, nil, (*deadLetters).several, args, func(ctx context.Context, d *deadLetters) error {
				rows := []sessionRow{}
				for _, e := range d.entities {
					of, err := d.sessionRows(ctx, e, worker)
					if err != nil {
						return d.fail(err, e, "listen")
					}
					rows = append(rows, of...)
				}
				if entity != "" {
					rows = slices.DeleteFunc(rows, func(r sessionRow) bool { return !r.of(entity) })
				}
				return writeRows(a.stdout, out, rows, func() error { return a.printSessions(rows, time.Now()) })
			})
		},
	}
	cmd.Flags().StringVar(&entity, "entity", "", "sessions of this data `ENTITY` only")
	cmd.Flags().StringVar(&worker, "worker", "", "`URL` of a running worker's listen address, as in http://127.0.0.1:8080")
	outputFlag(cmd, &out, formatTable, formatJSON, formatJSONL)
	cmd.AddCommand(newSessionsOrderCommand(a, ledger.Release), newSessionsOrderCommand(a, ledger.Skip))
	return cmd
}

// of reports whether the session belongs to a data entity: by a file of it, else by the convention for session IDs.
func (r sessionRow) of(entity string) bool {
	for _, f := range r.Files {
		if f.Entity != "" {
			return strings.EqualFold(f.Entity, entity)
		}
	}
	return strings.EqualFold(r.Session[strings.LastIndexByte(r.Session, '/')+1:], entity)
}

// controlSession reports whether a session is the bridge's own: it carries orders for another session, or what did not
// fit into the state of one. It is not shown.
func controlSession(id string) bool {
	prefix := strings.TrimRight(ledger.ControlSession(""), "0123456789abcdef")
	return strings.HasPrefix(id, prefix)
}

// sessionRows returns the sessions of one source that have messages or state, and those that the worker has besides.
// Three answers are put together: what the broker counts, what the worker says, and for a free session its ledger.
func (d *deadLetters) sessionRows(ctx context.Context, e contract.Source, worker string) ([]sessionRow, error) {
	views := map[string]inbound.SessionView{}
	if worker != "" {
		var err error
		if views, err = workerSessions(ctx, worker, e); err != nil {
			return nil, err
		}
	}
	infos, err := deadletter.LookAtSessions(ctx, d.Service, e, controlSession)
	if err != nil {
		return nil, err
	}
	rows := make([]sessionRow, 0, len(infos))
	for _, i := range infos {
		r := sessionRow{Source: e.String(), Session: i.ID, Owner: "free", Oldest: i.Oldest}
		if i.Counted {
			r.Messages = &i.Messages
		}
		v, known := views[i.ID]
		switch {
		case known:
			r.Owner, r.Parked, r.Reason = "worker", v.Parked, string(v.Reason)
			r.Since, r.Waiting, r.Files = v.Since, v.Waiting, v.InHand
		case i.Locked:
			r.Owner = "locked"
		default:
			r.read(i.State)
		}
		delete(views, i.ID)
		rows = append(rows, r)
	}
	for _, v := range views { // a lane in its idle time: neither messages nor state
		rows = append(rows, sessionRow{
			Source: e.String(), Session: v.Session, Owner: "worker", Since: v.Since, Waiting: v.Waiting, Files: v.InHand,
		})
	}
	slices.SortFunc(rows, func(a, b sessionRow) int { return cmp.Compare(a.Session, b.Session) })
	return rows, nil
}

// read fills in what the ledger of a free session says.
func (r *sessionRow) read(state []byte) {
	l, err := ledger.Decode(state)
	if err != nil {
		r.Problem = err.Error()
		return
	}
	if p := l.Park; p != nil {
		r.Parked, r.Reason, r.Detail, r.Since = p.Mode, string(p.Reason), p.Detail, p.Since
	}
	for _, f := range l.Files {
		if f.Phase == ledger.Settled {
			continue
		}
		r.Files = append(r.Files, inbound.FileView{
			Sequence: f.Seq, MessageID: f.Key, Phase: f.Phase, Status: string(f.Published),
			Attempts: f.Attempts, First: f.First, FnoID: f.FnoID,
		})
	}
}

func (a *app) printSessions(rows []sessionRow, now time.Time) error {
	if len(rows) == 0 {
		a.note("no sessions with messages or state")
		return nil
	}
	t := newTable(a.stdout,
		"SOURCE", "SESSION", "OWNER", "MESSAGES", "OLDEST", "PARKED", "FILE", "STATUS", "ATTEMPTS", "AGE")
	for _, r := range rows {
		t.row(r.cells(now)...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if slices.ContainsFunc(rows, func(r sessionRow) bool { return r.Owner == "locked" }) {
		a.note("What locked sessions do, their worker knows: --worker http://HOST:PORT, its listen address.")
	}
	return nil
}

// cells returns the row as the table shows it: with the first of its files, and how many more there are.
func (r sessionRow) cells(now time.Time) []string {
	messages, parked, file, status, attempts, age := "-", "-", "-", "-", "-", "-"
	if r.Messages != nil {
		messages = strconv.Itoa(*r.Messages)
	}
	if r.Parked != "" {
		parked = string(r.Parked) + " (" + r.Reason + ")"
		age = since(r.Since, now)
	}
	if r.Problem != "" {
		parked = "unreadable"
	}
	if len(r.Files) > 0 {
		f := r.Files[0]
		file = cmp.Or(f.FileName, f.MessageID, strconv.FormatInt(f.Sequence, 10))
		status, attempts = cmp.Or(f.Status, string(f.Phase)), strconv.Itoa(f.Attempts)
		if r.Parked == "" {
			age = since(f.First, now)
		}
		if n := len(r.Files) - 1; n > 0 {
			file += fmt.Sprintf(" +%d", n)
		}
	}
	return []string{
		r.Source, sessionText(&r.Session), r.Owner, messages, since(r.Oldest, now), parked, file, status, attempts, age,
	}
}

func since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return now.Sub(t).Truncate(time.Second).String()
}
