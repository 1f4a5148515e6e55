package config

import (
	"errors"
	"os"
	"testing"
)

// FuzzParse: whatever the file holds, there is either a usable configuration or at least one problem with advice.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"full", "twenty", "syntax", "anchors"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a {<<: *a}"))
	f.Add([]byte("? [a]: b\n"))
	f.Add([]byte("routes: !!map [*x, <<: {}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("bridge.yaml", data, env)
		if err != nil {
			problems, ok := errors.AsType[Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("not Problems: %v", err)
			}
			return
		}
		if _, err := c.Show(); err != nil {
			t.Fatal(err)
		}
	})
}
