// Package examples holds the sample files that `bridge demo` runs on, and what the demo's F&O does with them.
//
//	bridge.yaml     a commented configuration with a route for every folder of data
//	scenario.json   the F&O of the demo: its jobs, its entities with the rules for their fields, and what goes wrong
//	data/           one folder per data entity, its files in the order of their names
//	templates/      the data package that a route wraps raw files into
//	exports/        what the demo's F&O has ready to be dequeued
//	packages/       the sources of the data packages; see packages_test.go
//
// Everything in the files is invented. Promised: every file but one is imported without an error by the rules of
// scenario.json, and that one fails for a value that the error names. Not promised: that a real environment, with its
// own number sequences and reference data, takes the files.
package examples

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	"fnobridge/internal/contract"
)

// FS holds the files. The demo writes it to a folder first (os.CopyFS): a template is a file to the bridge.
//
//go:embed bridge.yaml scenario.json data templates exports
var FS embed.FS

// Names of single files in FS.
const (
	Config   = "bridge.yaml"
	Scenario = "scenario.json"
)

// A Lane is a folder of files that go through one session, in the order of their names.
type Lane struct {
	Folder  string // in data
	Entity  string // the label; a file name cannot hold every label
	Company string // empty: the route knows it
}

// Lanes are the folders in data.
func Lanes() []Lane {
	return []Lane{
		{Folder: "Customer groups", Entity: "Customer groups"},
		{Folder: "Fixed assets V2", Entity: "Fixed assets V2", Company: "usmf"},
		{Folder: "General journal", Entity: "General journal", Company: "usmf"},
		{Folder: "Released products V2", Entity: "Released products V2"},
		{Folder: "Sales order headers V2", Entity: "Sales order headers V2", Company: "usmf"},
		{Folder: "Sizes and colours", Entity: `Größen & "Farben" + Maße`, Company: "demf"},
		{Folder: "Vendors V2", Entity: "Vendors V2", Company: "usmf"},
		{Folder: "Warehouses", Entity: "Warehouses"},
	}
}

// Session returns the session ID of the lane's messages.
func (l Lane) Session() string { return contract.Pair{Entity: l.Entity, Company: l.Company}.Session() }

// A File is one sample file.
type File struct {
	Name string // without its folder
	Body []byte
}

// Files returns the lane's files in the order in which they are to be sent.
func (l Lane) Files() ([]File, error) {
	dir := path.Join("data", l.Folder)
	entries, err := fs.ReadDir(FS, dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("read the samples of %s: %w", l.Entity, err)
	}
	var files []File
	for _, e := range entries {
		body, err := fs.ReadFile(FS, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the samples of %s: %w", l.Entity, err)
		}
		files = append(files, File{e.Name(), body})
	}
	return files, nil
}
