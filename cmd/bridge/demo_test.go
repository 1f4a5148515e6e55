package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fnobridge/cmd/bridge/demo"
	"fnobridge/internal/failure"
)

// runDemo runs `bridge demo` with args as a user would and returns what it printed.
func runDemo(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"bridge", "demo"}, args...), nil, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestDemoShowsTheMainJobAndTheCheckerFindsNothing(t *testing.T) {
	code, out, errs := runDemo(t, "-o", "json")
	if code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
	}
	var s demo.Summary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("stdout is not one object: %v\n%s", err, out)
	}
	if s.Lost != 0 || s.Duplicated != 0 || s.OutOfOrder != 0 || len(s.Findings) != 0 {
		t.Errorf("the checker found something: %s", out)
	}
	if s.Files < 40 || s.Exports != 2 || len(s.Entities) < 6 || s.Events < 2*s.Processed {
		t.Errorf("want some forty files of six entities, two exports and events for all, got %s", out)
	}
	if s.Processed+s.DeadLettered != s.Files {
		t.Errorf("%d processed and %d dead-lettered are not %d files", s.Processed, s.DeadLettered, s.Files)
	}
	reasons := map[failure.Reason]int{}
	retried := 0
	for _, e := range s.Entities {
		for r, n := range e.Reasons {
			reasons[r] += n
		}
		retried += e.Retried
	}
	// One broken file, refused by F&O for a value; one post that F&O took and never answered. The connection that broke
	// before F&O took the file, the 500s and the 429 cost nothing but attempts.
	if s.DeadLettered != 2 || reasons[failure.ProcessedWithErrors] != 1 || reasons[failure.UnknownOutcome] != 1 || s.Unknown != 1 {
		t.Errorf("want one file dead-lettered by F&O's word and one for an unknown outcome, got %v, %d unknown", reasons, s.Unknown)
	}
	if retried == 0 {
		t.Error("no file was tried again, so the faults did not happen")
	}
	broken := slices.IndexFunc(s.Entities, func(e demo.Entity) bool { return e.Entity == "Warehouses" })
	if d := s.Entities[broken].Dead; len(d) != 1 || !strings.Contains(d[0].Description, "OPERATIONALSITEID") {
		t.Errorf("the dead letter does not name the field that F&O refused: %+v", d)
	}
}

func TestDemoTakesOwnFiles(t *testing.T) {
	dir := t.TempDir()
	odd := `Prices & "Terms" + Größe`
	for _, f := range []string{"Customer groups/02.csv", "Customer groups/01.csv", odd + "/01.xml", odd + "/02.xml"} {
		path := filepath.Join(dir, filepath.FromSlash(f))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("A,B\n1,"+f+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := runDemo(t, "--data", dir, "-o", "json")
	var s demo.Summary
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s\n%s", code, err, out, errs)
	}
	if s.Files != 4 || s.Processed != 4 || len(s.Entities) != 2 || s.Entities[1].Entity != odd {
		t.Errorf("want four files of two entities, got %s", out)
	}
}

func TestDemoSaysWhatIsWrongWithOwnFiles(t *testing.T) {
	empty := t.TempDir()
	mixed := t.TempDir()
	for _, f := range []string{"E/1.zip", "E/2.csv"} {
		_ = os.MkdirAll(filepath.Join(mixed, "E"), 0o750) // the write below fails if this did
		if err := os.WriteFile(filepath.Join(mixed, filepath.FromSlash(f)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		dir  string
		code exitCode
		say  string
	}{
		{filepath.Join(empty, "none"), exitNotFound, "--data"},
		{empty, exitUsage, "one folder per entity"},
		{mixed, exitUsage, "use two folders"},
	} {
		code, _, errs := runDemo(t, "--data", c.dir)
		if code != int(c.code) || !strings.Contains(errs, c.say) {
			t.Errorf("%s: exit code %d and %q, want %d and %q", c.dir, code, errs, c.code, c.say)
		}
	}
}

func TestSummaryIsNotOKWithAFinding(t *testing.T) {
	s := demo.Summary{Files: 1, Lost: 1, Findings: []string{"lost: a file"}}
	if s.OK() {
		t.Error("a demo that lost a file calls itself ok")
	}
	var out bytes.Buffer
	a := &app{stdout: &out}
	if err := a.printSummary(&s, formatTable); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "lost: a file") || !strings.Contains(out.String(), "1 lost") {
		t.Errorf("the finding is not shown: %s", out.String())
	}
	if err := a.printSummary(&s, formatJSON); err != nil {
		t.Error(err)
	}
}
