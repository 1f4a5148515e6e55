package demo

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"fnobridge/cmd/bridge/embedded"
	fno "fnobridge/emulator/dynamics"
	"fnobridge/internal/config"
)

// The recurring data jobs of a demo with own files.
const (
	filesJob    = "6d2f7f0c-3c5e-4a39-9b43-0f3b6f6f1f01"
	packagesJob = "6d2f7f0c-3c5e-4a39-9b43-0f3b6f6f1f02"
)

// A FolderError says what is wrong with a folder of own files.
type FolderError struct {
	Missing bool // it cannot be read at all; else its layout is not what the demo takes
	Err     error
}

func (e *FolderError) Error() string { return e.Err.Error() }
func (e *FolderError) Unwrap() error { return e.Err }

func layout(format string, args ...any) error { return &FolderError{Err: fmt.Errorf(format, args...)} }

// ownFiles reads a folder with one folder per entity, files in name order.
func ownFiles(dir string) (in input, err error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return in, &FolderError{Missing: true, Err: err}
	}
	packages := map[string]bool{} // by entity
	for _, folder := range folders {
		if !folder.IsDir() || strings.HasPrefix(folder.Name(), ".") {
			continue
		}
		files, isPackage, err := entityFolder(dir, folder.Name())
		if err != nil {
			return in, err
		}
		in.files = append(in.files, files...)
		packages[folder.Name()] = isPackage
	}
	if len(in.files) == 0 {
		return in, layout("%s holds no folder with files; make one folder per entity, as in %s",
			dir, filepath.Join(dir, "Customer groups", "01.csv"))
	}
	in.configName = "bridge.yaml of the demo"
	in.remove = func() error { return nil }
	in.startFno = func(cfg *config.Config) (*fno.Server, error) {
		return fno.Start(fno.Options{
			AnyEntity: true, PickUp: 50 * time.Millisecond, ImportTime: 150 * time.Millisecond, Jobs: embedded.Jobs(cfg),
		})
	}
	in.config, err = folderConfig(packages)
	return in, err
}

// entityFolder reads the files of one entity. F&O takes data packages or other files per job, so a folder has one kind.
func entityFolder(dir, entity string) (files []file, isPackage bool, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, entity)) // sorted by name
	if err != nil {
		return nil, false, fmt.Errorf("read the files of %s: %w", entity, err)
	}
	packages := 0
	for _, f := range entries {
		if f.IsDir() || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, entity, f.Name()))
		if err != nil {
			return nil, false, fmt.Errorf("read the files of %s: %w", entity, err)
		}
		if strings.EqualFold(filepath.Ext(f.Name()), ".zip") {
			packages++
		}
		files = append(files, file{session: entity, entity: entity, name: f.Name(), body: body})
	}
	if packages > 0 && packages < len(files) {
		return nil, false, layout("%s holds data packages (.zip) and other files; "+
			"F&O takes one or the other per job: use two folders", entity)
	}
	return files, packages > 0, nil
}

// folderConfig writes the configuration that such a folder needs: one route per entity.
func folderConfig(packages map[string]bool) ([]byte, error) {
	type m = map[string]any
	var routes []m
	for i, entity := range slices.Sorted(maps.Keys(packages)) {
		r := m{
			"name": fmt.Sprintf("entity-%d", i+1), "match": m{"entity": entity},
			"environment": "demo", "activity": filesJob, "deadline": "1m",
		}
		if packages[entity] {
			r["activity"], r["format"] = packagesJob, "package"
		}
		routes = append(routes, r)
	}
	fno := m{"name": "demo", "url": "http://127.0.0.1:1", "timeout": "10s", "requests": 32, "statusCalls": 500}
	var buf bytes.Buffer
	err := yaml.NewEncoder(&buf).Encode(m{
		"serviceBus":   m{"connectionString": m{"env": "DEMO"}, "lock": "1m"},
		"sources":      []m{{"queue": "fno-inbound"}},
		"status":       m{"topic": "fno-status"},
		"environments": []m{fno},
		"routes":       routes,
		"poll":         m{"first": "20ms", "max": "200ms"},
		"listen":       "",
	})
	if err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	return buf.Bytes(), nil
}
