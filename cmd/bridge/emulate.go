package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
)

// emulateFlags are the flags of `bridge emulate`.
type emulateFlags struct {
	servicebus, dynamics string
	scenario, caOut      string
	importTime           time.Duration
	faults               bool
	out                  format
}

// emulated is what `bridge emulate` prints once both emulators listen.
type emulated struct {
	ServiceBus struct {
		Address             string   `json:"address"`
		ConnectionString    string   `json:"connectionString"`
		TLSConnectionString string   `json:"tlsConnectionString"`
		Entities            []string `json:"entities"`
		Faults              string   `json:"faults,omitempty"`
	} `json:"serviceBus"`
	Dynamics struct {
		URL           string        `json:"url"`
		AuthorityHost string        `json:"authorityHost"`
		Jobs          []emulatedFno `json:"jobs"`
		Faults        string        `json:"faults,omitempty"`
	} `json:"dynamics"`
	CA string `json:"ca,omitempty"`
}

type emulatedFno struct {
	Activity string `json:"activity"`
	Kind     string `json:"kind"` // file, package or export
}

func newEmulateCommand(a *app) *cobra.Command {
	var f emulateFlags
	cmd := &cobra.Command{
		Use:   "emulate",
		Short: "Run the embedded Service Bus and the embedded F&O for any client",
		Long: `Run the embedded Service Bus and the embedded F&O on ports of this machine, for the
bridge, for your own code, for any client that speaks to Azure: the official SDKs
connect with the printed connection string. Nothing is kept when it stops.

What exists in them comes from --config: a bridge.yaml, whose queues, topics, and
data jobs are created as the bridge needs them (its secrets need not be set), or the
config.json of Microsoft's Service Bus emulator. Without one there are the queues
fno-inbound (with sessions) and fno-exports, and the topic fno-status with the
subscription watch. --scenario gives F&O jobs, entities with rules, exports and
faults (examples/scenario.json).

The TLS endpoints have certificates made at the start. --ca-out writes their
authorities as PEM, for SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, or authorityCA of an
identity in bridge.yaml. azidentity wants https for tokens: use the authority host.

--faults opens POST /faults on both: see docs. Both listen on this machine only.`,
		Example: `  bridge emulate
  bridge emulate -c bridge.yaml --servicebus 127.0.0.1:5672 --dynamics 127.0.0.1:8090 --ca-out ca.pem
  SERVICEBUS_CONNECTION_STRING="$(bridge emulate -o json | ...)" bridge send --queue fno-inbound ...`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.emulate(ctx, f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.servicebus, "servicebus", "127.0.0.1:5672", "`HOST:PORT` of the Service Bus; port 0 takes a free one")
	fl.StringVar(&f.dynamics, "dynamics", "127.0.0.1:8090", "`HOST:PORT` of F&O; port 0 takes a free one")
	fl.StringVar(&f.scenario, "scenario", "", "`FILE` with jobs, entities, exports and faults of F&O")
	fl.StringVar(&f.caOut, "ca-out", "", "write the certificate authorities to `FILE`")
	fl.DurationVar(&f.importTime, "import-time", 2*time.Second, "how long an import runs, where --scenario does not say")
	fl.BoolVar(&f.faults, "faults", false, "open the control endpoints that inject faults")
	outputFlag(cmd, &f.out, formatTable, formatJSON)
	return cmd
}

func (a *app) emulate(ctx context.Context, f emulateFlags) (err error) {
	for flag, address := range map[string]string{"servicebus": f.servicebus, "dynamics": f.dynamics} {
		if err := onLoopback(address); err != nil {
			return usagef("--%s: %w", flag, err)
		}
	}
	if f.caOut != "" { // a bridge.yaml that names it as authorityCA wants it to exist, and it is written only below
		ca, err := os.OpenFile(f.caOut, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // certificates are public
		if err != nil {
			return fmt.Errorf("write the certificate authorities: %w", err)
		}
		_ = ca.Close() // nothing was written
	}
	ns, jobs, faults, err := a.emulatedWorld()
	if err != nil {
		return err
	}
	f.faults = f.faults || faults
	bus, err := servicebus.Start(servicebus.Options{
		Addr: f.servicebus, Namespace: ns, Faults: f.faults, Logger: a.logger(),
	})
	if err != nil {
		return exit(exitFailure, fmt.Errorf("start the embedded Service Bus: %w", err))
	}
	defer func() { err = errors.Join(err, bus.Close()) }()
	erp, jobs, err := startFno(f, jobs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, erp.Close()) }()
	if f.caOut != "" {
		pem := slices.Concat(bus.CAPEM(), erp.CertificatePEM())
		if err := os.WriteFile(f.caOut, pem, 0o644); err != nil { //nolint:gosec // certificates are public
			return fmt.Errorf("write the certificate authorities: %w", err)
		}
	}
	if err := a.printEmulated(f, bus, erp, jobs); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// onLoopback refuses every other address: the emulators take any secret and answer anybody.
func onLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not on this machine; "+
			"the emulators have no protection and listen on 127.0.0.1 or [::1] only", address)
	}
	return nil
}

// startFno starts F&O as the scenario has it, or with the jobs of the configuration and any entity. It returns the jobs
// that F&O has.
func startFno(f emulateFlags, jobs []fno.Job) (*fno.Server, []fno.Job, error) {
	o := fno.Options{Jobs: jobs, AnyEntity: true, ImportTime: f.importTime}
	var scenario fno.Scenario
	if f.scenario != "" {
		data, err := os.ReadFile(f.scenario)
		if err != nil {
			return nil, nil, exit(exitConfig, err)
		}
		if scenario, err = fno.ReadScenario(bytes.NewReader(data)); err != nil {
			return nil, nil, exit(exitConfig, fmt.Errorf("%s: %w", f.scenario, err))
		}
		o = scenario.Options()
		o.AnyEntity = len(o.Entities) == 0
		o.ImportTime = cmp.Or(o.ImportTime, f.importTime)
		if len(o.Jobs) == 0 {
			o.Jobs = jobs
		}
	}
	o.Addr, o.Faults = f.dynamics, f.faults
	s, err := fno.Start(o)
	if err != nil {
		return nil, nil, err
	}
	if _, err := scenario.Play(s, os.DirFS(filepath.Dir(f.scenario))); err != nil {
		return nil, nil, errors.Join(exit(exitConfig, err), s.Close())
	}
	return s, o.Jobs, nil
}

func (a *app) printEmulated(f emulateFlags, bus *servicebus.Server, erp *fno.Server, jobs []fno.Job) error {
	var e emulated
	e.ServiceBus.Address = bus.Addr()
	e.ServiceBus.ConnectionString = bus.ConnectionString()
	e.ServiceBus.TLSConnectionString = bus.TLSConnectionString()
	e.ServiceBus.Entities = bus.Entities()
	e.Dynamics.URL, e.Dynamics.AuthorityHost, e.CA = erp.URL(), erp.AuthorityHost(), f.caOut
	for _, j := range jobs {
		kind := "file"
		switch {
		case j.Export:
			kind = "export"
		case j.Kind == fno.Package:
			kind = "package"
		}
		e.Dynamics.Jobs = append(e.Dynamics.Jobs, emulatedFno{j.ID, kind})
	}
	if f.faults {
		e.ServiceBus.Faults, e.Dynamics.Faults = "http://"+bus.Addr()+"/faults", erp.URL()+"/faults"
	}
	if f.out == formatJSON {
		return writeJSON(a.stdout, e)
	}
	t := newTable(a.stdout)
	t.row("Service Bus", e.ServiceBus.Address)
	t.row("  connection string", e.ServiceBus.ConnectionString)
	t.row("  over TLS", e.ServiceBus.TLSConnectionString)
	for i, name := range e.ServiceBus.Entities {
		t.row(first(i, "  entities"), name)
	}
	t.row("F&O", e.Dynamics.URL)
	t.row("  authority host", e.Dynamics.AuthorityHost)
	for i, j := range e.Dynamics.Jobs {
		t.row(first(i, "  jobs"), j.Activity+" "+j.Kind)
	}
	if f.faults {
		t.row("faults", e.ServiceBus.Faults)
		t.row(" ", e.Dynamics.Faults)
	}
	t.row("authorities", cmp.Or(e.CA, "not written; --ca-out FILE for TLS and tokens"))
	if err := t.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.stdout, "Ready. Ctrl-C stops.")
	return written(err)
}
