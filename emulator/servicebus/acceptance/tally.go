package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// skip is a line of skips.txt.
type skip struct {
	pkg, name, reason string
	self              bool // the test skips itself
}

// pattern is the test's name for -skip.
func (s skip) pattern() string {
	parts := strings.Split(s.name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

func readSkips(text string) ([]skip, error) {
	var out []skip
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, "\t", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("skips.txt: %q: want package, name and reason, separated by tabs", line)
		}
		reason, self := strings.CutPrefix(f[2], "self: ")
		out = append(out, skip{pkg: f[0], name: f[1], reason: reason, self: self})
	}
	return out, nil
}

// event is a line of go test -json.
type event struct{ Action, Package, Test, Output string }

// tally counts test functions by package and outcome.
type tally struct {
	count   map[string]map[string]int // package, action
	skipped []string                  // package and name
	failed  []string
	output  map[string][]string // of tests and packages
	show    bool

	mu sync.Mutex // guards all
}

func newTally(show bool) *tally {
	return &tally{count: map[string]map[string]int{}, output: map[string][]string{}, show: show}
}

// read counts the events of one process.
func (t *tally) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			return fmt.Errorf("read the events of the tests: %w", err)
		}
		t.add(e)
	}
	return in.Err()
}

func (t *tally) add(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pkg := "." + strings.TrimPrefix(e.Package, sdk)
	key := pkg + "\t" + e.Test
	switch e.Action {
	case "output":
		if t.show {
			fmt.Print(e.Output)
		}
		t.output[key] = append(t.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Action == "fail" {
			t.failed = append(t.failed, key)
		} else if e.Test != "" {
			if e.Action == "skip" {
				t.skipped = append(t.skipped, key)
			}
			delete(t.output, key)
		}
		if e.Test == "" || strings.Contains(e.Test, "/") {
			return
		}
		if t.count[pkg] == nil {
			t.count[pkg] = map[string]int{}
		}
		t.count[pkg][e.Action]++
	}
}

// report prints the counts and returns an error for every failure, and for skips that are not listed.
func (t *tally) report(list []skip, partial bool) error {
	var errs []error
	for _, pkg := range []string{".", "./internal", "./admin"} {
		c := t.count[pkg]
		fmt.Printf("  %-11s %3d passed %3d failed %3d skipped themselves\n", pkg, c["pass"], c["fail"], c["skip"])
		if c["pass"] == 0 && !partial {
			errs = append(errs, fmt.Errorf("%s: no test passed: %s", pkg, strings.Join(t.output[pkg+"\t"], "")))
		}
	}
	for _, s := range list {
		fmt.Printf("  skipped: %s %s: %s\n", s.pkg, s.name, s.reason)
		if s.self && !partial && !slices.Contains(t.skipped, s.pkg+"\t"+s.name) {
			errs = append(errs, fmt.Errorf("%s %s is listed as skipping itself, and does not", s.pkg, s.name))
		}
	}
	for _, key := range t.skipped {
		pkg, name, _ := strings.Cut(key, "\t")
		if !slices.ContainsFunc(list, func(s skip) bool { return s.self && s.pkg == pkg && s.name == name }) {
			errs = append(errs, fmt.Errorf("%s %s skipped itself and is not listed", pkg, name))
		}
	}
	for _, key := range t.failed {
		errs = append(errs, fmt.Errorf("%s failed:\n%s", strings.Replace(key, "\t", " ", 1), strings.Join(t.output[key], "")))
	}
	return errors.Join(errs...)
}
