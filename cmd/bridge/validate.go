package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	"fnobridge/internal/payload"
)

// A validation is what `bridge validate -o json` prints.
type validation struct {
	File     string     `json:"file"`
	Valid    bool       `json:"valid"`
	Problems []finding  `json:"problems"`
	Warnings []finding  `json:"warnings"`
	Routes   []routeRow `json:"routes,omitempty"`
	Checks   []check    `json:"checks,omitempty"` // with --online
}

// finding is a problem or a warning of the file.
type finding struct {
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"`
}

// routeRow is a route with everything that defaults and other parts of the file decide about it.
type routeRow struct {
	Name           string `json:"name"`
	Match          string `json:"match"`
	Environment    string `json:"environment"`
	URL            string `json:"url"`
	Entity         string `json:"entity,omitempty"`
	Company        string `json:"company,omitempty"`
	Activity       string `json:"activity"`
	Format         string `json:"format"`
	Order          string `json:"order"`
	UnknownOutcome string `json:"unknownOutcome"`
	OnFailure      string `json:"onFailure"`
	Timeout        string `json:"timeout"`
	Deadline       string `json:"deadline"`
	Attempts       int    `json:"attempts"`
	RetryTotal     string `json:"retryTotal"`
	MaxSize        string `json:"maxSize"`
}

func newValidateCommand(a *app) *cobra.Command {
	var out format
	var online bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration, and with --online what it names",
		Long: `Check the configuration: every problem at once, each with file:line:column, what is
wrong and what to write instead (exit code 3). Then show what it means: the routes
in the order they are tried, with the times that are in effect.

With --online look at what it names as well, without changing anything and without
administrator rights: a token for each environment, one status call to each F&O, and
for each Service Bus entity a link of the kind the bridge will use. That shows that
the entity exists, that the identity may use it, whether sources are session-enabled
and how long their lock really is. It does not show duplicate detection, recurring
data jobs (F&O tells nothing about one before a file goes in), or blob containers;
those lines say so.`,
		Example: `  bridge validate -c bridge.yaml
  bridge validate -c bridge.yaml --online
  bridge validate -o json | jq .warnings`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			c, err := a.load()
			if err != nil {
				return a.invalid(err, out)
			}
			v := validation{
				File: c.File, Valid: true, Problems: []finding{}, Warnings: findings(c.Warnings), Routes: routeRows(c),
			}
			if err := errors.Join(identitiesUsable(c), templatesUsable(c)); err != nil {
				return exit(exitConfig, err)
			}
			if online {
				v.Checks = a.look(ctx, c)
			}
			if out == formatJSON {
				err = writeJSON(a.stdout, v)
			} else {
				err = a.printValidation(c, v)
			}
			return errors.Join(err, failedChecks(v.Checks))
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "also look at the environments and the Service Bus entities")
	outputFlag(cmd, &out, formatTable, formatJSON)
	return cmd
}

// invalid reports the problems of the file: as JSON on stdout when that was asked for, else as any error.
func (a *app) invalid(err error, out format) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok || out != formatJSON {
		return err
	}
	v := validation{File: a.configPath(), Problems: findings(problems), Warnings: []finding{}}
	if err := writeJSON(a.stdout, v); err != nil {
		return err
	}
	return exit(exitConfig, errReported)
}

// identitiesUsable makes every credential: that reads certificates and token files, which a wrong password or format
// fails, and calls nobody.
func identitiesUsable(c *config.Config) error {
	var errs []error
	for _, e := range c.Environments {
		if _, err := newCredential(e.Identity); err != nil {
			errs = append(errs, fmt.Errorf("environment %q: %w", e.Name, err))
		}
	}
	if c.ServiceBus.Identity != nil {
		if _, err := newCredential(*c.ServiceBus.Identity); err != nil {
			errs = append(errs, fmt.Errorf("serviceBus: %w", err))
		}
	}
	return errors.Join(errs...)
}

// templatesUsable makes a package of every template.
func templatesUsable(c *config.Config) error {
	var errs []error
	for _, r := range c.Routes {
		if r.Template == "" {
			continue
		}
		if err := payload.CheckTemplate(r.Template, cmp.Or(r.Entity, unstar(r.Match.Entity))); err != nil {
			errs = append(errs, fmt.Errorf("route %q: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}

func findings(problems []config.Problem) []finding {
	list := make([]finding, len(problems))
	for i, p := range problems {
		list[i] = finding{p.Line, p.Column, p.Path, p.What, p.Fix}
	}
	return list
}

func routeRows(c *config.Config) []routeRow {
	rows := make([]routeRow, len(c.Routes))
	for i, r := range c.Routes {
		e := c.Environment(r.Environment)
		rows[i] = routeRow{
			Name: r.Name, Match: r.Match.String(), Environment: r.Environment, URL: e.URL, Entity: r.Entity, Company: r.Company,
			Activity: r.Activity, Format: string(r.Format), Order: string(r.Order),
			UnknownOutcome: string(r.UnknownOutcome), OnFailure: string(r.OnFailure), Timeout: config.FormatDuration(e.Timeout),
			Deadline: config.FormatDuration(r.Deadline), Attempts: r.Retry.Attempts,
			RetryTotal: config.FormatDuration(r.Retry.Total), MaxSize: r.MaxSize.String(),
		}
		if r.Window > 1 {
			rows[i].Order = fmt.Sprintf("%s, %d in flight", r.Order, r.Window)
		}
	}
	return rows
}

func (a *app) printValidation(c *config.Config, v validation) error {
	p := &printer{w: a.stdout}
	p.line("%s is valid.", v.File)
	t := newTable(a.stdout)
	t.row("Service Bus", busSummary(c.ServiceBus))
	for i, s := range c.Sources {
		t.row(first(i, "reads"), s.Name())
	}
	if c.Status.Topic != "" {
		t.row("events to", c.Status.Topic)
	}
	lock := c.ServiceBus.Lock
	t.row("lock", fmt.Sprintf("%s, renewed at half of it; over for the bridge %s before its end",
		config.FormatDuration(lock), config.FormatDuration(config.Margin(lock))))
	t.row("lanes", fmt.Sprintf("%d sessions at work and %d owned at most, %d waiting accepts, released after %s without a message",
		c.Sessions, c.Locks, c.Accepts, config.FormatDuration(c.Idle)))
	t.row("polling", fmt.Sprintf("first after %s, then at %g of the time since the post, at most every %s",
		config.FormatDuration(c.Poll.First), c.Poll.Fraction, config.FormatDuration(c.Poll.Max)))
	t.row("stop", fmt.Sprintf("%s to finish what is in hand", config.FormatDuration(c.Grace)))
	p.keep(t.flush())
	if len(c.Environments) > 0 {
		p.line("")
		t = newTable(a.stdout, "ENVIRONMENT", "URL", "IDENTITY", "REQUESTS", "STATUS CALLS", "TIMEOUT")
		for _, e := range c.Environments {
			t.row(e.Name, e.URL, string(e.Identity.Kind), fmt.Sprint(e.Requests), fmt.Sprintf("%g/s", e.StatusCalls),
				config.FormatDuration(e.Timeout))
		}
		p.keep(t.flush())
	}
	if len(v.Routes) > 0 {
		p.line("")
		t = newTable(a.stdout, "ROUTE", "MATCHES", "TO", "AS", "ORDER", "DEADLINE", "RETRY", "ON FAILURE", "UNKNOWN OUTCOME")
		for _, r := range v.Routes {
			t.row(r.Name, r.Match, r.Environment, importedAs(r)+", "+r.Format, r.Order, r.Deadline,
				fmt.Sprintf("%d in %s", r.Attempts, r.RetryTotal), r.OnFailure, r.UnknownOutcome)
		}
		p.keep(t.flush())
	}
	if len(c.Exports) > 0 {
		p.line("")
		t = newTable(a.stdout, "EXPORT", "FROM", "TO", "EVERY", "LARGER THAN", "GOES TO")
		for _, e := range c.Exports {
			t.row(e.Name, e.Environment, e.Queue, config.FormatDuration(e.Poll), e.MaxInline.String(),
				cmp.Or(e.ClaimCheck, "nowhere: reported"))
		}
		p.keep(t.flush())
	}
	for _, w := range c.Warnings {
		p.line("\nwarning: %s", w)
	}
	if len(v.Checks) > 0 {
		p.line("")
		p.keep(printChecks(a.stdout, v.Checks))
	}
	return p.err
}

// importedAs says what the route decides about entity and company, and what it leaves to the message.
func importedAs(r routeRow) string {
	var parts []string
	if r.Entity != "" {
		parts = append(parts, r.Entity)
	}
	if r.Company != "" {
		parts = append(parts, "company "+r.Company)
	}
	return cmp.Or(strings.Join(parts, " in "), "as the message says")
}

func busSummary(sb config.ServiceBus) string {
	if sb.ConnectionString != nil {
		return fmt.Sprintf("%s by connection string", cmp.Or(hostOf(sb.ConnectionString.Value()), "?"))
	}
	kind := config.IdentityDefault
	if sb.Identity != nil {
		kind = sb.Identity.Kind
	}
	return fmt.Sprintf("%s as %s", sb.Namespace, kind)
}
