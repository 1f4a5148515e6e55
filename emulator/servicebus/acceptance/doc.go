// Command acceptance runs the Go SDK's own live tests, unmodified, from the module cache against the embedded Service
// Bus:
//
//	go run .            # everything but what skips.txt lists
//	go run . -run Name  # some tests, with their output
//
// It prints how many test functions passed, failed and were skipped per package, and fails if one failed or if a listed
// skip no longer exists. It is a module of its own so that the SDK's test dependencies stay out of the product's.
// Nothing leaves the machine.
package main
