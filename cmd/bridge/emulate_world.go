package main

import (
	"path/filepath"
	"strings"
	"time"

	"fnobridge/cmd/bridge/embedded"
	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/userconfig"
	"fnobridge/internal/config"
)

// What the emulators hold when no file says so.
const (
	emulatedQueue   = "fno-inbound"
	emulatedExports = "fno-exports"
	emulatedTopic   = "fno-status"
	emulatedReader  = "watch" // subscribes to the status topic
	emulatedJob     = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	emulatedPackage = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12"
	emulatedExport  = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c13"
)

// emulatedWorld returns what exists in both emulators, from the configuration file if there is one. A file in JSON is
// that of Microsoft's emulator, which knows no F&O and may ask for faults.
func (a *app) emulatedWorld() (ns entity.Namespace, jobs []fno.Job, faults bool, err error) {
	jobs = []fno.Job{{ID: emulatedJob}, {ID: emulatedPackage, Kind: fno.Package}, {ID: emulatedExport, Export: true}}
	path := a.configPath()
	if path == "" {
		cfg := &config.Config{
			ServiceBus: config.ServiceBus{Lock: 5 * time.Minute}, Status: config.Status{Topic: emulatedTopic},
			Sources: []config.Source{{Queue: emulatedQueue}}, Exports: []config.Export{{Queue: emulatedExports}},
		}
		return embedded.Namespace(cfg, emulatedReader), jobs, false, nil
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
	return embedded.Namespace(cfg, emulatedReader), embedded.Jobs(cfg), false, nil
}

// placeholders returns something for secrets that are not set: the emulators need none, and the connection string that
// a configuration wants from the environment is not known before they run.
func (a *app) placeholders(name string) (string, bool) {
	if v, ok := a.env.lookup(name); ok && strings.TrimSpace(v) != "" {
		return v, true
	}
	return "Endpoint=sb://emulator", true
}
