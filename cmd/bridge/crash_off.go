//go:build !crashpoints

package main

// crashPoint is nil: a released bridge has no crash points.
func crashPoint() func(string) { return nil }
