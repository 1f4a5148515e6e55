// Command bridge moves files between Azure Service Bus and Dynamics 365 Finance and Operations.
//
// This package is the wiring: one file per command. Data goes to stdout, everything else to stderr; the exit code says
// what kind of failure it was (exit.go).
package main

import (
	"context"
	"io"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; args[0] is its name. Tests call it with what they like.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: environment(environ), stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRootCommand(a)
	root.SetArgs(args[1:])
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = usageError{cmd.CommandPath(), err} // cobra's own: unknown commands and flags, missing arguments
	}
	return a.report(cmd.CommandPath(), err)
}
