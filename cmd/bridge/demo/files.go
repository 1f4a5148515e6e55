package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/examples"
	"fnobridge/internal/config"
)

// A file is one that the demo sends.
type file struct {
	session, entity, company, name string
	body                           []byte
}

// hash returns the SHA-256 by which F&O's copy is recognised.
func (f file) hash() string {
	sum := sha256.Sum256(f.body)
	return hex.EncodeToString(sum[:])
}

// An input is what a demo starts from: files, the configuration of the bridge, and an F&O with what goes wrong in it.
type input struct {
	files      []file
	config     []byte
	configName string
	exports    int // files that F&O will export
	startFno   func(*config.Config) (*fno.Server, error)
	remove     func() error // what was unpacked
}

func read(folder string) (input, error) {
	if folder == "" {
		return samples()
	}
	return ownFiles(folder)
}

// samples reads the files that come with the bridge. They are unpacked first: the configuration names a template, and a
// template is a file to the bridge.
func samples() (in input, err error) {
	dir, err := os.MkdirTemp("", "fnobridge-demo-")
	if err != nil {
		return in, fmt.Errorf("unpack the samples: %w", err)
	}
	in.configName = filepath.Join(dir, examples.Config)
	in.remove = func() error { return os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			err = errors.Join(err, in.remove())
		}
	}()
	if err := os.CopyFS(dir, examples.FS); err != nil {
		return in, fmt.Errorf("unpack the samples: %w", err)
	}
	if in.config, err = examples.FS.ReadFile(examples.Config); err != nil {
		return in, fmt.Errorf("read the samples: %w", err)
	}
	for _, lane := range examples.Lanes() {
		files, err := lane.Files()
		if err != nil {
			return in, err
		}
		for _, f := range files {
			in.files = append(in.files, file{lane.Session(), lane.Entity, lane.Company, f.Name, f.Body})
		}
	}
	text, err := examples.FS.Open(examples.Scenario)
	if err != nil {
		return in, fmt.Errorf("read the samples: %w", err)
	}
	defer func() { _ = text.Close() }() // in memory
	scenario, err := fno.ReadScenario(text)
	if err != nil {
		return in, err
	}
	in.exports = len(scenario.Exports)
	in.startFno = func(*config.Config) (*fno.Server, error) {
		server, err := fno.Start(scenario.Options())
		if err != nil {
			return nil, err
		}
		if _, err := scenario.Play(server, examples.FS); err != nil {
			return nil, errors.Join(err, server.Close())
		}
		return server, nil
	}
	return in, nil
}
