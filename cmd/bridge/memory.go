package main

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

const (
	// ownPages is what the program takes beside what the Go runtime counts: its own code, mapped from its file.
	ownPages = 32 << 20
	// spaciousGC is how much the heap may grow between two garbage collections, in percent of what is in use: Go's own
	// 100 collects some five times as often. docs/measured.md has what either costs.
	spaciousGC = 400
)

// A pacing is what the garbage collector is told. The zero pacing leaves it as Go has it.
type pacing struct {
	limit   int64 // bytes, as GOMEMLIMIT
	percent int   // as GOGC
}

// pacingFor returns the pacing for a process with so much memory, 0 for one without a limit. Memory that was granted is
// better used than kept free: the heap may grow until the limit is near, and only then is it collected often. Who sets
// GOMEMLIMIT or GOGC is obeyed.
func pacingFor(memory int64, env environment) pacing {
	if memory == 0 || env.get("GOMEMLIMIT") != "" || env.get("GOGC") != "" {
		return pacing{}
	}
	return pacing{limit: max(memory/10*9-ownPages, memory/2), percent: spaciousGC}
}

func (p pacing) apply() {
	if p != (pacing{}) {
		debug.SetMemoryLimit(p.limit)
		debug.SetGCPercent(p.percent)
	}
}

// noLimit is more than any limit that somebody has set: control groups of version 1 have a number for none.
const noLimit = math.MaxInt64 / 2

// memoryLimit returns the least limit of the control groups that this process is in, 0 when there is none. root is "/".
// In a container the path of a group is often that of the host, which is not to be seen; the container's own group then
// stands at the top.
// Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
func memoryLimit(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // not Linux
	}
	least := int64(noLimit)
	for line := range strings.Lines(string(groups)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy, controllers, path
		switch {
		case len(part) != 3:
		case part[1] == "":
			least = min(least, leastAbove(root, "sys/fs/cgroup", part[2], "memory.max"))
		case slices.Contains(strings.Split(part[1], ","), "memory"):
			least = min(least, leastAbove(root, "sys/fs/cgroup/memory", part[2], "memory.limit_in_bytes"))
		}
	}
	if least == noLimit {
		return 0
	}
	return least
}

// leastAbove returns the least limit of a group and all above it, noLimit when none has one.
func leastAbove(root fs.FS, mount, group, file string) int64 {
	least := int64(noLimit)
	for group = path.Join("/", group); ; group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join(mount, group, file))
		if err == nil {
			limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && limit > 0 { // "max" is no number
				least = min(least, limit)
			}
		}
		if group == "/" {
			return least
		}
	}
}
