// Package config reads bridge.yaml.
//
// What is promised: Load returns either a Config in which every field holds a usable value, defaults filled in and secrets
// read, or a Problems that lists everything wrong with the file at once, each with its line and column, what is wrong
// and what to write instead. What cannot be right is refused here, with the arithmetic shown: a request that may
// outlast the lease, an idle time longer than the lock, retries that go on after the deadline. A file written for an
// older version keeps working: a missing key means its default.
//
// What is not promised: that the entities, environments and data jobs exist, or that an identity may use them.
// `bridge validate --online` looks at those.
//
// A secret is never in the file. The file names an environment variable or another file; the value is read once, by
// Load, and nothing in this package prints it.
//
// This package imports nothing of the project. Other packages do not import it either: cmd/bridge turns its values
// into their plain options.
package config
