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
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	fno "fnobridge/internal/emulator/dynamics"
	"fnobridge/internal/emulator/servicebus"
	"fnobridge/internal/emulator/servicebus/entity"
	"fnobridge/internal/emulator/servicebus/userconfig"
)

// What the emulators hold when no file says so.
const (
	emulatedQueue   = "fno-inbound"
	emulatedExports = "fno-exports"
	emulatedTopic   = "fno-status"
	emulatedJob     = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	emulatedPackage = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12"
	emulatedExport  = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c13"
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
	ns, jobs, faults, err := a.emulatedWorld()
	if err != nil {
		return err
	}
	f.faults = f.faults || faults
	bus, err := servicebus.Start(servicebus.Options{Addr: f.servicebus, Namespace: ns, Faults: f.faults, Logger: a.logger()})
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
		if err := os.WriteFile(f.caOut, slices.Concat(bus.CAPEM(), erp.CertificatePEM()), 0o644); err != nil { //nolint:gosec // certificates are public
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
		return fmt.Errorf("%q is not on this machine; the emulators have no protection and listen on 127.0.0.1 or [::1] only", address)
	}
	return nil
}

// startFno starts F&O as the scenario has it, or with the jobs of the configuration and any entity. It gives the jobs it
// has.
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

// emulatedWorld gives what exists in both, from the configuration file if there is one. A file in JSON is that of
// Microsoft's emulator, which knows no F&O and may ask for faults.
func (a *app) emulatedWorld() (ns entity.Namespace, jobs []fno.Job, faults bool, err error) {
	jobs = []fno.Job{{ID: emulatedJob}, {ID: emulatedPackage, Kind: fno.Package}, {ID: emulatedExport, Export: true}}
	path := a.configPath()
	if path == "" {
		ns.Queues = []entity.QueueDescription{lanes(emulatedQueue, 5*time.Minute), plainQueue(emulatedExports)}
		ns.Topics = []entity.TopicDescription{eventTopic(emulatedTopic)}
		return ns, jobs, false, nil
	}
	if strings.EqualFold(filepath.Ext(path), ".json") {
		c, err := userconfig.Load(path)
		if err != nil {
			return ns, nil, false, exit(exitConfig, err)
		}
		return c.Namespace, jobs, c.Faults, nil
	}
	cfg, err := config.Load(path, a.placeholders)
	if err != nil {
		return ns, nil, false, exit(exitConfig, err)
	}
	return namespaceOf(cfg), jobsOf(cfg), false, nil
}

// placeholders stands in for secrets that are not set: the emulators need none, and the connection string that a
// configuration wants from the environment is not known before they run.
func (a *app) placeholders(name string) (string, bool) {
	if v, ok := a.env.lookup(name); ok && strings.TrimSpace(v) != "" {
		return v, true
	}
	return "Endpoint=sb://emulator", true
}

// namespaceOf gives the namespace that a configuration expects.
func namespaceOf(cfg *config.Config) entity.Namespace {
	var ns entity.Namespace
	topics := map[string]int{}
	topic := func(name string) *entity.TopicDescription {
		i, ok := topics[entity.Key(name)]
		if !ok {
			i = len(ns.Topics)
			topics[entity.Key(name)] = i
			t := entity.NewTopic(name)
			t.RequiresDuplicateDetection = true
			ns.Topics = append(ns.Topics, t)
		}
		return &ns.Topics[i]
	}
	for _, s := range cfg.Sources {
		if s.Queue != "" {
			ns.Queues = append(ns.Queues, lanes(s.Queue, cfg.ServiceBus.Lock))
			continue
		}
		sub := entity.NewSubscription(s.Subscription)
		sub.RequiresSession, sub.LockDuration, sub.MaxDeliveryCount = true, cfg.ServiceBus.Lock, 100
		t := topic(s.Topic)
		t.Subscriptions = append(t.Subscriptions, sub)
	}
	if name := cfg.Status.Topic; name != "" {
		t := topic(name)
		t.Subscriptions = append(t.Subscriptions, entity.NewSubscription("watch"))
	}
	made := map[string]bool{}
	for _, q := range ns.Queues {
		made[entity.Key(q.Name)] = true
	}
	for _, e := range cfg.Exports {
		if _, isTopic := topics[entity.Key(e.Queue)]; !isTopic && !made[entity.Key(e.Queue)] {
			made[entity.Key(e.Queue)] = true
			ns.Queues = append(ns.Queues, plainQueue(e.Queue))
		}
	}
	return ns
}

// lanes gives a queue as infra/bicep creates the bridge's: sessions, duplicate detection, and a delivery count that the
// broker never uses up, because attempts are counted by the bridge.
func lanes(name string, lock time.Duration) entity.QueueDescription {
	q := plainQueue(name)
	q.RequiresSession, q.LockDuration, q.MaxDeliveryCount = true, lock, 100
	return q
}

func plainQueue(name string) entity.QueueDescription {
	q := entity.NewQueue(name)
	q.RequiresDuplicateDetection = true
	return q
}

func eventTopic(name string) entity.TopicDescription {
	t := entity.NewTopic(name)
	t.RequiresDuplicateDetection = true
	t.Subscriptions = []entity.SubscriptionDescription{entity.NewSubscription("watch")}
	return t
}

// jobsOf gives the recurring data jobs that a configuration names.
func jobsOf(cfg *config.Config) []fno.Job {
	var jobs []fno.Job
	add := func(j fno.Job) {
		j.ID = strings.ToLower(j.ID)
		if !slices.ContainsFunc(jobs, func(k fno.Job) bool { return k.ID == j.ID }) {
			jobs = append(jobs, j)
		}
	}
	for _, r := range cfg.Routes {
		j := fno.Job{ID: r.Activity, CompanyFromMessage: true, InOrder: r.Order == config.OrderEnqueued && r.Format == config.FormatFile}
		if r.Format == config.FormatPackage {
			j.Kind = fno.Package
		}
		add(j)
	}
	for _, e := range cfg.Exports {
		add(fno.Job{ID: e.Activity, Export: true})
	}
	return jobs
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
