package demo

import (
	"os"
	"path/filepath"
	"testing"

	"fnobridge/internal/config"
)

// A folder that holds anything a file system can name becomes a configuration without problems.
func TestAFolderBecomesOneRoutePerEntity(t *testing.T) {
	dir := t.TempDir()
	odd := `Prices & "Terms": {50%} # Größe`
	for _, name := range []string{odd + "/2.csv", odd + "/1.csv", "Packages/1.ZIP", ".git/config", "Packages/.hidden"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, err := ownFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range in.files {
		names = append(names, f.session+"/"+f.name)
	}
	if len(names) != 3 || names[0] != "Packages/1.ZIP" || names[1] != odd+"/1.csv" {
		t.Errorf("files %q", names)
	}
	cfg, err := config.Parse(in.configName, in.config, noSecret)
	if err != nil {
		t.Fatalf("%v\n%s", err, in.config)
	}
	for entity, activity := range map[string]string{odd: filesJob, "Packages": packagesJob} {
		if r := cfg.Route("fno-inbound", entity, ""); r == nil || r.Activity != activity {
			t.Errorf("%s: route %+v, want one to job %s", entity, r, activity)
		}
	}
	if len(cfg.Routes) != 2 {
		t.Errorf("%d routes", len(cfg.Routes))
	}
}
