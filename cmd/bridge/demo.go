package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"fnobridge/internal/telemetry"
)

// demoPatience bounds a demo whose files do not end; they are then reported as lost or pending.
const demoPatience = 2 * time.Minute

// demoOptions are the flags of `bridge demo`.
type demoOptions struct {
	data string
	keep bool
	out  format
}

func newDemoCommand(a *app) *cobra.Command {
	var o demoOptions
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
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd, o) },
	}
	cmd.Flags().StringVar(&o.data, "data", "", "`DIR` with one folder per entity, instead of the samples")
	cmd.Flags().BoolVar(&o.keep, "keep", false, "stay up afterwards until interrupted")
	outputFlag(cmd, &o.out, formatTable, formatJSON)
	return cmd
}

func (a *app) demo(cmd *cobra.Command, o demoOptions) (err error) {
	live := a.interactive(a.stdout) && o.out == formatTable
	stderr := &shared{w: a.stderr}
	logs := io.Writer(stderr)
	if live {
		logs = io.Discard // the board shows what the log would say
	}
	level := slog.Leveler(slog.LevelWarn)
	if cmd.Flags().Changed("log-level") {
		if level, err = a.level(); err != nil {
			return err
		}
		logs = stderr
	}
	tel, err := telemetry.Start(cmd.Context(), telemetry.Options{Version: build().Version, Level: level, Format: a.logFormat, Stderr: logs})
	if err != nil {
		return exit(exitConfig, err)
	}
	defer func() { err = errors.Join(err, tel.Shutdown(cmd.Context())) }()

	script, err := loadScript(o.data)
	if err != nil {
		return err
	}
	st, err := raiseStage(script)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	l, stop := phases(cmd.Context(), signals, func() { signal.Stop(signals) }, st.cfg.Grace)
	defer stop()

	lines := a.stdout
	if o.out != formatTable {
		lines = stderr
	}
	sum, err := a.play(l, st, tel, live, lines)
	if err != nil {
		return err
	}
	if err := sum.write(a.stdout, o.out); err != nil {
		return err
	}
	if o.keep && l.intake.Err() == nil {
		if err := a.stayUp(l, st, tel, o.out); err != nil {
			return err
		}
	}
	if !sum.ok() {
		return exit(exitFailure, errReported)
	}
	return nil
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

// play runs the worker over the script and gives the checker's verdict.
// Events are written to lines unless the board shows them.
func (a *app) play(l life, st *stage, tel *telemetry.Telemetry, live bool, lines io.Writer) (*summary, error) {
	bd := newBoard(live && a.env.get("NO_COLOR") == "")
	for _, f := range st.script.files {
		bd.expect(f.session, f.pair)
	}
	aud, err := st.seat(func(line string) {
		if !live {
			_, _ = fmt.Fprintln(lines, line) // the summary tells whether anything is wrong
		}
	}, bd)
	if err != nil {
		return nil, err
	}
	defer aud.leave()
	b, err := assemble(st.cfg, tel, st.doors())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := st.send(l.intake, tel); err != nil {
		return nil, err
	}
	serving, endServing := context.WithCancel(l.intake)
	defer endServing()
	var running sync.WaitGroup
	var runErr error
	running.Go(func() { _, runErr = b.run(life{serving, l.work, l.hurry}) })

	watch, endWatch := context.WithTimeout(l.intake, demoPatience)
	defer endWatch()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	view := &screen{w: a.stdout}
	for watch.Err() == nil && !aud.satisfied() {
		select {
		case <-watch.Done():
		case <-aud.news:
		case <-ticker.C:
		}
		if live {
			view.draw(bd.lines(a.width(), b.desk.sessions()))
		}
	}
	took := time.Since(began)
	endServing()
	running.Wait()
	if runErr != nil {
		tel.Logger().DebugContext(l.work, "not everything closed in an orderly way", "error", runErr)
	}
	return st.judge(l.work, aud, took)
}

// width gives the columns of the terminal at stdout.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 100
}

// stayUp keeps the stage and a worker running for other commands.
func (a *app) stayUp(l life, st *stage, tel *telemetry.Telemetry, out format) error {
	b, err := assemble(st.cfg, tel, st.doors())
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
`, st.bus.ConnectionString(), st.fno.URL(), st.queue(), st.cfg.Status.Topic, spareSubscription)
	if err != nil {
		return written(err)
	}
	_, err = b.run(l)
	return err
}
