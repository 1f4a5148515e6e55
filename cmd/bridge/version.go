package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version string

// buildInfo is what `bridge version -o json` prints.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes that are in no commit
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// build returns what is known about this binary.
func build() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	b.Version = cmp.Or(b.Version, "devel")
	return b
}

func newVersionCommand(a *app) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Long:  "Print the version, the commit and the Go version that this binary was built from.",
		Example: `  bridge version
  bridge version -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := build()
			if out == formatJSON {
				return writeJSON(a.stdout, b)
			}
			commit := cmp.Or(b.Commit, "unknown commit")
			if b.Modified {
				commit += " with changes"
			}
			_, err := fmt.Fprintf(a.stdout, "bridge %s (%s, %s, %s/%s)\n", b.Version, commit, b.Go, b.OS, b.Arch)
			return written(err)
		},
	}
	outputFlag(cmd, &out, formatTable, formatJSON)
	return cmd
}
