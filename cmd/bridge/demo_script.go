package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/examples"
	"fnobridge/internal/contract"
)

// A script is what a demo plays: files, the configuration of the bridge, and an F&O with what goes wrong in it.
type script struct {
	files      []sample
	config     []byte
	configName string
	exports    int // files that F&O will export
	startFno   func() (*fno.Server, error)
	cleanUp    func() error
}

// A sample is one file of a script.
type sample struct {
	session string
	pair    contract.Pair
	name    string
	body    []byte
}

// env answers for the secrets that a demo's configuration refers to: nothing in a demo is secret, and the stage opens
// its own doors.
func (s *script) env(string) (string, bool) {
	return "Endpoint=sb://localhost;SharedAccessKeyName=demo;SharedAccessKey=demo", true
}

func loadScript(dir string) (*script, error) {
	if dir == "" {
		return exampleScript()
	}
	return folderScript(dir)
}

// exampleScript makes the script of the samples that come with the bridge. They are unpacked first: the configuration
// names a template, and a template is a file to the bridge.
func exampleScript() (_ *script, err error) {
	dir, err := os.MkdirTemp("", "fnobridge-demo-")
	if err != nil {
		return nil, fmt.Errorf("unpack the samples: %w", err)
	}
	s := &script{configName: filepath.Join(dir, examples.Config), cleanUp: func() error { return os.RemoveAll(dir) }}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.cleanUp())
		}
	}()
	if err := os.CopyFS(dir, examples.FS); err != nil {
		return nil, fmt.Errorf("unpack the samples: %w", err)
	}
	if s.config, err = examples.FS.ReadFile(examples.Config); err != nil {
		return nil, fmt.Errorf("read the samples: %w", err)
	}
	for _, lane := range examples.Lanes() {
		files, err := lane.Files()
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			s.files = append(s.files, sample{
				session: lane.Session(), pair: contract.Pair{Entity: lane.Entity, Company: lane.Company}, name: f.Name, body: f.Body,
			})
		}
	}
	text, err := examples.FS.Open(examples.Scenario)
	if err != nil {
		return nil, fmt.Errorf("read the samples: %w", err)
	}
	defer func() { _ = text.Close() }() // in memory
	play, err := fno.ReadScenario(text)
	if err != nil {
		return nil, err
	}
	s.exports = len(play.Exports)
	s.startFno = func() (*fno.Server, error) {
		server, err := fno.Start(play.Options())
		if err != nil {
			return nil, err
		}
		if _, err := play.Play(server, examples.FS); err != nil {
			return nil, errors.Join(err, server.Close())
		}
		return server, nil
	}
	return s, nil
}

// The recurring data jobs of a demo with own files.
const (
	ownFilesJob    = "6d2f7f0c-3c5e-4a39-9b43-0f3b6f6f1f01"
	ownPackagesJob = "6d2f7f0c-3c5e-4a39-9b43-0f3b6f6f1f02"
)

// folderScript makes a script of a folder with one folder per entity, files in name order.
func folderScript(dir string) (*script, error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, exit(exitNotFound, fmt.Errorf("--data: %w", err))
	}
	s := &script{configName: "bridge.yaml of the demo", cleanUp: func() error { return nil }}
	packages := map[string]bool{}
	for _, folder := range folders {
		if !folder.IsDir() || strings.HasPrefix(folder.Name(), ".") {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, folder.Name()))
		if err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
		zips, others := 0, 0
		for _, f := range files { // os.ReadDir sorts by name
			if f.IsDir() || strings.HasPrefix(f.Name(), ".") {
				continue
			}
			body, err := os.ReadFile(filepath.Join(dir, folder.Name(), f.Name()))
			if err != nil {
				return nil, fmt.Errorf("--data: %w", err)
			}
			if strings.EqualFold(filepath.Ext(f.Name()), ".zip") {
				zips++
			} else {
				others++
			}
			s.files = append(s.files, sample{session: folder.Name(), pair: contract.Pair{Entity: folder.Name()}, name: f.Name(), body: body})
		}
		if zips > 0 && others > 0 {
			return nil, usagef("--data: %s holds data packages (.zip) and other files; F&O takes one or the other per job: use two folders", folder.Name())
		}
		packages[folder.Name()] = zips > 0
	}
	if len(s.files) == 0 {
		return nil, usagef("--data: %s holds no folder with files; make one folder per entity, as in %s", dir, filepath.Join(dir, "Customer groups", "01.csv"))
	}
	if s.config, err = folderConfig(packages); err != nil {
		return nil, err
	}
	s.startFno = func() (*fno.Server, error) {
		return fno.Start(fno.Options{
			AnyEntity: true, PickUp: 50 * time.Millisecond, ImportTime: 150 * time.Millisecond,
			Jobs: []fno.Job{{ID: ownFilesJob, CompanyFromMessage: true}, {ID: ownPackagesJob, Kind: fno.Package, CompanyFromMessage: true}},
		})
	}
	return s, nil
}

// folderConfig writes the configuration that such a folder needs: one route per entity.
func folderConfig(packages map[string]bool) ([]byte, error) {
	type m = map[string]any
	var routes []m
	for entity, isPackage := range packages {
		r := m{"match": m{"entity": entity}, "environment": "demo", "activity": ownFilesJob, "deadline": "1m"}
		if isPackage {
			r["activity"], r["format"] = ownPackagesJob, "package"
		}
		routes = append(routes, r)
	}
	slices.SortFunc(routes, func(a, b m) int {
		return cmp.Compare(fmt.Sprint(a["match"]), fmt.Sprint(b["match"]))
	})
	for i, r := range routes {
		r["name"] = fmt.Sprintf("entity-%d", i+1)
	}
	var buf bytes.Buffer
	err := yaml.NewEncoder(&buf).Encode(m{
		"serviceBus":   m{"connectionString": m{"env": "DEMO"}, "lock": "1m"},
		"sources":      []m{{"queue": "fno-inbound"}},
		"status":       m{"topic": "fno-status"},
		"environments": []m{{"name": "demo", "url": "http://127.0.0.1:1", "timeout": "10s", "requests": 32, "statusCalls": 500}},
		"routes":       routes,
		"poll":         m{"first": "20ms", "max": "200ms"},
		"listen":       "",
	})
	if err != nil {
		return nil, errors.Join(errors.New("write the demo's configuration"), err)
	}
	return buf.Bytes(), nil
}
