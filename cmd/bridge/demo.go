package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"fnobridge/cmd/bridge/demo"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// demoFlags are the flags of `bridge demo`.
type demoFlags struct {
	data string
	keep bool
	out  format
}

func newDemoCommand(a *app) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work, with everything on this machine",
		Long: `Start an embedded Service Bus and an embedded F&O on loopback, send sample files,
and run the same worker as 'bridge run' on them. Some things go wrong on purpose:
a broken file, an entity that answers 500, one that is throttled with Retry-After,
a connection that breaks before F&O took the file and one that breaks after it did.

On a terminal the lanes are shown live, elsewhere one line per status event. At the
end a checker compares what was sent with what F&O recorded and what the status
topic received. Exit code 1 when anything was lost, doubled or out of order.

--data takes your own files instead: one folder per entity, files in name order.
--keep stays up afterwards, for the other commands and for other clients.`,
		Example: `  bridge demo
  bridge demo -o json
  bridge demo --data ./my-files
  bridge demo --keep`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd, f) },
	}
	cmd.Flags().StringVar(&f.data, "data", "", "`DIR` with one folder per entity, instead of the samples")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "stay up afterwards until interrupted")
	outputFlag(cmd, &f.out, formatTable, formatJSON)
	return cmd
}

func (a *app) demo(cmd *cobra.Command, f demoFlags) (err error) {
	live := a.interactive(a.stdout) && f.out == formatTable
	stderr := &shared{w: a.stderr}
	tel, err := a.demoTelemetry(cmd, stderr, live)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tel.Shutdown(cmd.Context())) }()
	d, err := demo.Open(f.data)
	if err != nil {
		return demoError(err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()

	l, stop := untilSignalled(cmd.Context(), d.Config.Grace)
	defer stop()
	b, err := assemble(d.Config, tel, accessTo(d))
	if err != nil {
		return err
	}
	o := demo.Options{Bridge: demoBridge{b, l}, Telemetry: tel, Event: func(status.Event, error) {}}
	switch {
	case live:
		o.Terminal = &demo.Terminal{W: a.stdout, Width: a.width, Color: a.env.get("NO_COLOR") == ""}
	case f.out == formatTable:
		o.Event = eventLines(a.stdout)
	default:
		o.Event = eventLines(stderr)
	}
	sum, err := d.Run(l.intake, l.work, o)
	if err != nil {
		return err
	}
	if err := a.printSummary(sum, f.out); err != nil {
		return err
	}
	if f.keep && l.intake.Err() == nil {
		if err := a.keepUp(l, d, tel, f.out); err != nil {
			return err
		}
	}
	if !sum.OK() {
		return exit(exitFailure, errReported)
	}
	return nil
}

// demoTelemetry starts the telemetry of a demo. Its log shows what goes wrong on purpose, unless the live view does, or
// what --log-level asks for.
func (a *app) demoTelemetry(cmd *cobra.Command, stderr io.Writer, live bool) (*telemetry.Telemetry, error) {
	switch {
	case cmd.Flags().Changed("log-level"):
		return a.telemetry(cmd.Context(), a.level(), stderr)
	case live:
		stderr = io.Discard
	}
	return a.telemetry(cmd.Context(), slog.LevelWarn, stderr)
}

// demoError returns an error of Open with its exit code: what is wrong with the folder is the user's to mend.
func demoError(err error) error {
	f, ok := errors.AsType[*demo.FolderError](err)
	switch {
	case !ok:
		return err
	case f.Missing:
		return exit(exitNotFound, fmt.Errorf("--data: %w", err))
	}
	return usagef("--data: %w", err)
}

func accessTo(d *demo.Demo) access {
	return access{connect: d.Connect, server: d.Bus.Addr(), credential: d.Credential}
}

// A demoBridge is the bridge that a demo shows.
type demoBridge struct {
	bridge *bridge
	life   life
}

func (b demoBridge) Run(intake context.Context) error {
	_, err := b.bridge.run(life{intake, b.life.work, b.life.hurry})
	return err
}

func (b demoBridge) Lanes() []demo.Lane {
	var lanes []demo.Lane
	for _, v := range b.bridge.endpoints.sessions() {
		l := demo.Lane{Session: v.Session, Waiting: v.Waiting, Until: v.Until}
		if len(v.InHand) > 0 {
			f := v.InHand[0]
			l.File, l.Status = cmp.Or(f.FileName, f.MessageID), status.Status(cmp.Or(f.Status, string(f.Phase)))
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// shared lets the log and the event lines write to one stream, a line at a time.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// eventLines returns a function that writes a line per event.
func eventLines(w io.Writer) func(status.Event, error) {
	return func(e status.Event, err error) {
		line := eventLine(e)
		if err != nil {
			line = "unreadable event: " + err.Error()
		}
		_, _ = fmt.Fprintln(w, line) // the summary tells whether anything is wrong
	}
}

// width returns the columns of the terminal at stdout.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 100
}

func (a *app) printSummary(s *demo.Summary, f format) error {
	if f == formatJSON {
		return writeJSON(a.stdout, s)
	}
	p := &printer{w: a.stdout}
	p.line("")
	t := newTable(a.stdout, "ENTITY", "COMPANY", "SENT", "PROCESSED", "DEAD-LETTERED", "RETRIED", "REASONS")
	for _, e := range s.Entities {
		var reasons []string
		for r, n := range e.Reasons {
			reasons = append(reasons, fmt.Sprintf("%s: %d", r, n))
		}
		slices.Sort(reasons)
		t.row(e.Entity, e.Company, strconv.Itoa(e.Sent), strconv.Itoa(e.Processed), strconv.Itoa(e.DeadLettered),
			strconv.Itoa(e.Retried), strings.Join(reasons, ", "))
	}
	p.keep(t.flush())
	for _, e := range s.Entities {
		for _, d := range e.Dead {
			description := strings.ReplaceAll(strings.TrimSpace(d.Description), "\n", "\n  ")
			p.line("\ndead letter %s, %s\n  %s", e.Entity, d.File, description)
		}
	}
	p.line("\n%d files in %.1f s: %d processed, %d dead-lettered (%d with an unknown outcome, named as such), "+
		"%d exports, %d status events", s.Files, s.Seconds, s.Processed, s.DeadLettered, s.Unknown, s.Exports, s.Events)
	p.line("checker: %d lost, %d duplicated, %d out of order", s.Lost, s.Duplicated, s.OutOfOrder)
	for _, f := range s.Findings {
		p.line("  %s", f)
	}
	return p.err
}

// keepUp keeps the emulators and a worker running for other commands.
func (a *app) keepUp(l life, d *demo.Demo, tel *telemetry.Telemetry, out format) error {
	b, err := assemble(d.Config, tel, accessTo(d))
	if err != nil {
		return err
	}
	w := a.stdout
	if out != formatTable {
		w = a.stderr
	}
	_, err = fmt.Fprintf(w, `
Still up, with a worker, until interrupted:
  SERVICEBUS_CONNECTION_STRING='%s'
  F&O: %s

  export SERVICEBUS_CONNECTION_STRING='%[1]s'
  bridge send --queue %[3]s --entity "Customer groups" FILE
  bridge watch --topic %[4]s --subscription %[5]s
`, d.Bus.ConnectionString(), d.Fno.URL(), d.Queue(), d.Config.Status.Topic, demo.SpareSubscription)
	if err != nil {
		return written(err)
	}
	_, err = b.run(l)
	return err
}
