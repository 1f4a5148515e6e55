package main

import (
	"io/fs"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func files(contents map[string]string) fs.FS {
	f := fstest.MapFS{}
	for name, text := range contents {
		f[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return f
}

func TestTheMemoryLimitIsThatOfTheControlGroups(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no control groups": {nil, 0},
		"version 2, a container": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n",
		}, 1 << 30},
		"version 2, no limit": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
		}, 0},
		"version 2, a service; the slice above has less": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/bridge.service\n",
			"sys/fs/cgroup/system.slice/bridge.service/memory.max": "1073741824\n",
			"sys/fs/cgroup/system.slice/memory.max":                "536870912\n",
		}, 512 << 20},
		"version 1, the path of the host": {map[string]string{
			"proc/self/cgroup":                                 "5:cpu,cpuacct:/pods/x\n4:hugetlb,memory:/pods/x\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":       "268435456\n",
			"sys/fs/cgroup/memory/other/memory.limit_in_bytes": "1\n",
		}, 256 << 20},
		"version 1, no limit": {map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "0\nx:y\n\n0::/\n", "sys/fs/cgroup/memory.max": "a lot\n",
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := memoryLimit(files(c.files)); got != c.want {
				t.Errorf("limit %d, want %d", got, c.want)
			}
		})
	}
}

func TestTheCollectorIsPacedByTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		memory int64
		env    environment
		want   pacing
	}{
		"no limit":          {0, nil, pacing{}},
		"1 GiB":             {1000 << 20, nil, pacing{limit: 868 << 20, percent: spaciousGC}},
		"64 MB":             {64 << 20, nil, pacing{limit: 32 << 20, percent: spaciousGC}},
		"GOMEMLIMIT is set": {1 << 30, environment{"GOMEMLIMIT=100MiB"}, pacing{}},
		"GOGC is set":       {1 << 30, environment{"GOGC=100"}, pacing{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pacingFor(c.memory, c.env); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestThePacingIsApplied(t *testing.T) {
	percent := debug.SetGCPercent(100)
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	pacing{}.apply()
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("no pacing changed the limit to %d", got)
	}
	pacing{limit: 1 << 40, percent: 321}.apply()
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("the limit is %d", got)
	}
	if got := debug.SetGCPercent(100); got != 321 {
		t.Errorf("the percentage is %d", got)
	}
}
