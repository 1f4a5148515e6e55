package dynamicstest

import "fnobridge/emulator/dynamics"

// An Option says what the server of a test is like. Any function on dynamics.Options is one:
//
//	fno := dynamicstest.New(t, func(o *dynamics.Options) { o.ImportTime = time.Second })
type Option func(*dynamics.Options)

// Job creates a recurring data job that imports files.
func Job(activity string) Option { return add(dynamics.Job{ID: activity}) }

// PackageJob creates a recurring data job that imports data packages.
func PackageJob(activity string) Option {
	return add(dynamics.Job{ID: activity, Kind: dynamics.Package})
}

// ExportJob creates a recurring data job that exports.
func ExportJob(activity string) Option { return add(dynamics.Job{ID: activity, Export: true}) }

func add(j dynamics.Job) Option { return func(o *dynamics.Options) { o.Jobs = append(o.Jobs, j) } }
