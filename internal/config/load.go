package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds what is read: a configuration of a thousand routes is a tenth of it.
const maxFile = 1 << 20

// Load reads the file and checks it. env looks up environment variables, as os.LookupEnv does; "-" as the path reads
// standard input. Its error is a Problems that holds everything that is wrong with the file, except when the file
// cannot be read at all. Paths in the file are relative to its folder and absolute or as reachable from the working
// directory in the result.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data, env)
}

func read(path string) ([]byte, error) {
	if path == "-" {
		return readAll(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return readAll(f)
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes, which no bridge.yaml is", maxFile)
	}
	return data, err
}

// Parse is Load for a file that was read already. path names it in problems; its folder is where relative paths start.
func Parse(path string, data []byte, env func(string) (string, bool)) (*Config, error) {
	d := &decoder{
		file: path, dir: filepath.Dir(path), env: env,
		anchors: map[string]ast.Node{}, pos: map[string]*token.Position{}, bad: map[string]bool{},
	}
	c := Default()
	c.File = path
	if root, ok := d.parse(data); ok {
		if root != nil {
			d.decode(root, reflect.ValueOf(c).Elem(), "", "")
		}
		d.check(c)
	}
	byPlace := func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) }
	slices.SortStableFunc(d.problems, byPlace)
	slices.SortStableFunc(d.warnings, byPlace)
	if len(d.problems) > 0 {
		return nil, Problems(d.problems)
	}
	c.Warnings = d.warnings
	return c, nil
}

// parse returns the root of the one document, nil for an empty file.
func (d *decoder) parse(data []byte) (ast.Node, bool) {
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var pos *token.Position
		what := err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			pos, what = e.GetToken().Position, e.GetMessage()
		}
		d.problem(pos, "", "correct this first: nothing behind it could be looked at", "not YAML: %s", what)
		return nil, false
	}
	docs := slices.DeleteFunc(f.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch len(docs) {
	case 0:
		return nil, true
	case 1:
	default:
		d.problem(start(docs[1].Body), "", "put everything into one document, without --- in between", "a second document")
	}
	ast.Walk(d, docs[0].Body)
	return docs[0].Body, true
}
