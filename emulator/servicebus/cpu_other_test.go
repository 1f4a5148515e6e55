//go:build !unix

package servicebus_test

import "testing"

// cpu counts nothing where processor time is not easily had.
func cpu(*testing.B) func(ops int) { return func(int) {} }
