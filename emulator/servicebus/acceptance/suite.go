package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"
)

const sdk = "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

// shards are how many processes share the tests of the root package, most of which wait for something most of the time.
// Those of the other packages take random names from the same seed and so cannot run beside each other.
const shards = 4

// suite runs the three packages that have live tests.
type suite struct {
	dir, run string
	env      []string
	list     []skip
	results  *tally
}

// test compiles the packages, in an environment in which go can still fetch modules, and runs them in that of the
// tests.
func (s *suite) test(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.dir+string(filepath.Separator), sdk, sdk+"/internal",
		sdk+"/admin")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("compile the tests: %w", err)
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, pkg := range []string{"", "/internal", "/admin"} {
		all.Go(func() error { return s.pkg(ctx, sdk+pkg) })
	}
	return all.Wait()
}

// pkg runs the tests of one package in shards.
func (s *suite) pkg(ctx context.Context, pkg string) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		return fmt.Errorf("find %s: %w", pkg, err)
	}
	binary, dir := filepath.Join(s.dir, filepath.Base(pkg)+".test"), strings.TrimSpace(string(out))
	pattern := s.run
	if pattern == "" {
		pattern = "."
	}
	cmd := exec.CommandContext(ctx, binary, "-test.list="+pattern)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, s.env, nil // what it logs at the start comes again with the tests
	out, err = cmd.Output()
	if err != nil {
		return fmt.Errorf("list the tests of %s: %w", pkg, err)
	}
	var names [shards][]string
	n := 0
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "Test") {
			i := 0
			if pkg == sdk {
				i = n % shards
			}
			names[i] = append(names[i], regexp.QuoteMeta(name))
			n++
		}
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, share := range names {
		if len(share) > 0 {
			all.Go(func() error { return s.share(ctx, pkg, dir, binary, share) })
		}
	}
	return all.Wait()
}

// share runs some tests of a package. A failed test is a result, not an error.
func (s *suite) share(ctx context.Context, pkg, dir, binary string, names []string) error {
	var skips []string
	for _, x := range s.list {
		if !x.self {
			skips = append(skips, x.pattern())
		}
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", pkg, binary, "-test.v=test2json", "-test.timeout=10m",
		"-test.run=^("+strings.Join(names, "|")+")$", "-test.skip="+strings.Join(skips, "|"))
	cmd.Dir, cmd.Env, cmd.Stderr = dir, s.env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the tests of %s: %w", pkg, err)
	}
	err = s.results.read(out)
	waited := cmd.Wait()
	if _, failed := errors.AsType[*exec.ExitError](waited); waited != nil && !failed {
		err = errors.Join(err, waited)
	}
	return err
}
